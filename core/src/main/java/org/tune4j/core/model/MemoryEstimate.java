package org.tune4j.core.model;

import java.util.Locale;
import org.bytedeco.javacpp.Pointer;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;

/**
 * Bytes outside the heap that working with a model will take, reckoned from its shape before
 * anything is loaded. An upper bound in spirit: what engines save by fusing is not subtracted.
 *
 * @param weights the frozen base model
 * @param activations the arena of one step
 * @param adapters weights, gradients and both moments of AdamW
 */
public record MemoryEstimate(long weights, long activations, long adapters) {

  /**
   * Reckons one step with a recording tape.
   *
   * @param rows tokens of a batch
   * @param sequence tokens of its longest sequence
   * @param trainable trained parameters; 0 for inference
   */
  public static MemoryEstimate of(
      ModelConfig config, Precision precision, int rows, int sequence, long trainable) {
    return of(config, precision, rows, sequence, trainable, Tape.Mode.RECORDING);
  }

  /** Reckons one step; {@code mode} matters if parameters are trained. */
  public static MemoryEstimate of(
      ModelConfig config,
      Precision precision,
      int rows,
      int sequence,
      long trainable,
      Tape.Mode mode) {
    long compute = precision.computeType().bytes();
    long projections = config.layers() * config.projectionWeights();
    long others = config.parameters() - projections;
    long weights =
        precision == Precision.INT8 ? projections + 2 * others : compute * (projections + others);
    long hidden = config.hiddenSize();
    long qkv = (long) (config.heads() + 2 * config.kvHeads()) * config.headDim();
    long inner = config.feedForwardMatrices() * config.intermediateSize();
    // a layer keeps two residuals (F32), two norms, qkv, attention's output, what the feed-forward
    // network holds
    long layer =
        2 * 4 * hidden
            + compute * (2 * hidden + qkv + (long) config.heads() * config.headDim() + inner);
    long scores = compute * config.heads() * Math.min(sequence, rows); // per row
    boolean training = trainable > 0 && mode != Tape.Mode.INFERENCE;
    long kept =
        training && mode == Tape.Mode.RECORDING
            ? config.layers() * (layer + scores)
            : 2 * (layer + scores) + (training ? 4 * hidden * config.layers() : 0);
    long gradients = training ? 2 * layer : 0;
    long head = 4L * Math.min(rows, 512) * config.vocabularySize(); // one chunk of logits
    // a quarter more for what the arena loses between blocks
    return new MemoryEstimate(weights, (rows * (kept + gradients) + head) * 5 / 4, 16 * trainable);
  }

  /** Returns the estimate of what comes on top of a model that is loaded. */
  public MemoryEstimate beyondWeights() {
    return new MemoryEstimate(0, activations, adapters);
  }

  /** Returns the estimate with further copies of a model's projections, as merging makes them. */
  public MemoryEstimate withProjections(ModelConfig config, Precision precision, int copies) {
    long bytes = precision == Precision.INT8 ? 1 : precision.computeType().bytes();
    return new MemoryEstimate(
        weights + copies * bytes * config.layers() * config.projectionWeights(),
        activations,
        adapters);
  }

  /** Returns the sum of all parts in bytes. */
  public long total() {
    return weights + activations + adapters;
  }

  /**
   * Returns the bytes outside the heap that this process may still take: JavaCPP's limits and the
   * machine's free memory.
   */
  public static long available() {
    long free = Long.MAX_VALUE;
    if (Pointer.maxBytes() > 0) {
      free = Math.min(free, Pointer.maxBytes() - Pointer.totalBytes());
    }
    if (Pointer.maxPhysicalBytes() > 0) {
      free = Math.min(free, Pointer.maxPhysicalBytes() - Pointer.physicalBytes());
    }
    long machine = Pointer.availablePhysicalBytes();
    return Math.max(0, machine > 0 ? Math.min(free, machine) : free);
  }

  /**
   * Checks that this much is available.
   *
   * @param purpose what for, as the message begins
   * @throws NotEnoughMemoryException if it is not
   */
  public void require(String purpose) {
    require(purpose, available());
  }

  /** As {@link #require(String)} with a limit of the caller's. */
  public void require(String purpose, long available) {
    if (total() > available) {
      throw new NotEnoughMemoryException(purpose, this, available);
    }
  }

  /** Formats bytes in MiB or GiB. */
  static String format(long bytes) {
    double mib = bytes / (1024.0 * 1024);
    return mib < 1024
        ? String.format(Locale.ROOT, "%.1f MiB", mib)
        : String.format(Locale.ROOT, "%.2f GiB", mib / 1024);
  }

  @Override
  public String toString() {
    return "%s (weights %s, activations %s, adapters %s)"
        .formatted(format(total()), format(weights), format(activations), format(adapters));
  }
}
