package org.tune4j.core.model;

/**
 * Thrown before work starts if its estimated memory is not available. Remedies: smaller batches,
 * {@link org.tune4j.core.engine.Precision#BF16}, checkpointing, or higher limits of JavaCPP ({@code
 * -Dorg.bytedeco.javacpp.maxbytes}, {@code …maxphysicalbytes}).
 */
public final class NotEnoughMemoryException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final long needed;
  private final long available;

  NotEnoughMemoryException(String purpose, MemoryEstimate estimate, long available) {
    super(
        ("%s needs about %s outside the heap, and %s are available; use smaller batches or Precision.BF16, or raise"
                + " -Dorg.bytedeco.javacpp.maxbytes and -Dorg.bytedeco.javacpp.maxphysicalbytes")
            .formatted(purpose, estimate, MemoryEstimate.format(available)));
    this.needed = estimate.total();
    this.available = available;
  }

  /** Returns the estimated bytes. */
  public long needed() {
    return needed;
  }

  /** Returns the available bytes. */
  public long available() {
    return available;
  }
}
