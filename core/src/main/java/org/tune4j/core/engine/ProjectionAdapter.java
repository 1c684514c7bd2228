package org.tune4j.core.engine;

/**
 * What an adapter does to the output of one product {@code y = x W^T + bias}, on a contiguous slice
 * of rows. The tape calls {@link #forward} after the product, in the order in which adapters are
 * stacked, and in the backward pass {@link #rescaleGradient} and {@link #backward} of each, from
 * the last to the first. Instances hold no state of a step: what backward needs is in the object
 * that forward returns.
 */
public interface ProjectionAdapter {
  /** Returns whether gradients of its parameters are wanted. */
  boolean trainable();

  /**
   * Returns whether {@link #forward} changes what is already in {@code y} rather than adding to it
   * (DoRA).
   */
  default boolean rescalesOutput() {
    return false;
  }

  /**
   * Returns whether {@link #forward} sets {@code y} whatever it holds: the product that it belongs
   * to need not be made, and no gradient flows into it. Only an output head is replaced so.
   */
  default boolean replacesOutput() {
    return false;
  }

  /**
   * Changes {@code y} in place.
   *
   * @param x compute type {@code [n, in]}
   * @param y {@code [n, out]}: compute type, or F32 if a residual was added and this adapter does
   *     not rescale, or if these are logits
   * @param dropoutSeed seed of this application's dropout masks; 0 outside training: no dropout
   * @param recording whether {@link #backward} will follow
   * @return what backward needs; may be null
   */
  Object forward(Engine engine, Tensor x, Tensor y, long dropoutSeed, boolean recording);

  /**
   * Takes the gradient by the adapted output, accumulates the gradients of parameters that need it
   * in this form, and turns it in place into the gradient by what {@link #forward} was given. Only
   * called if {@link #rescalesOutput()}.
   *
   * @param dy compute type {@code [n, out]}
   */
  default void rescaleGradient(Engine engine, Object state, Tensor x, Tensor dy) {}

  /**
   * Accumulates the gradients of its parameters if trainable, and adds its part to {@code dx}.
   *
   * @param dy compute type {@code [n, out]}, after {@link #rescaleGradient}
   * @param dx compute type {@code [n, in]}, holding the parts of others; null if nobody needs it
   */
  void backward(Engine engine, Object state, Tensor x, Tensor dy, Tensor dx);

  /**
   * An adapter on rows {@code [from, from + count)}.
   *
   * @param from first row
   * @param count rows
   * @param adapter what is applied there
   */
  record Slice(int from, int count, ProjectionAdapter adapter) {}
}
