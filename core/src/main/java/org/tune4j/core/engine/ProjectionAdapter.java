package org.tune4j.core.engine;

/**
 * The effect of an adapter on the output of one product {@code y = x W^T + bias}, on a contiguous
 * slice of rows. The tape calls {@link #forward} after the product, in the order in which adapters
 * are stacked, and {@link #rescaleGradient} and {@link #backward} in reverse. Instances hold no
 * per-step state: what backward needs is in the object that forward returns.
 */
public interface ProjectionAdapter {
  /** Returns whether its parameters are trained. */
  boolean trainable();

  /** Returns whether {@link #forward} scales {@code y} rather than only adding to it (DoRA). */
  default boolean rescalesOutput() {
    return false;
  }

  /**
   * Returns whether {@link #forward} overwrites {@code y} without reading it, so that the product
   * need not be computed and receives no gradient. Only for output heads.
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
   * @param dropoutSeed seed of this call's dropout masks; 0 for no dropout, outside training
   * @param recording whether {@link #backward} will follow
   * @return what backward needs; may be null
   */
  Object forward(Engine engine, Tensor x, Tensor y, long dropoutSeed, boolean recording);

  /**
   * Replaces the gradient with respect to the adapted output by that with respect to the {@code y}
   * that {@link #forward} was given, after accumulating the gradients of parameters that need the
   * former. Only called if {@link #rescalesOutput()}.
   *
   * @param dy compute type {@code [n, out]}
   */
  default void rescaleGradient(Engine engine, Object state, Tensor x, Tensor dy) {}

  /**
   * Accumulates the gradients of its parameters if trainable, and adds its contribution to {@code
   * dx}.
   *
   * @param dy compute type {@code [n, out]}, after {@link #rescaleGradient}
   * @param dx compute type {@code [n, in]}, which others contribute to as well; null if not needed
   */
  void backward(Engine engine, Object state, Tensor x, Tensor dy, Tensor dx);

  /** An adapter on rows {@code [from, from + count)}. */
  record Slice(int from, int count, ProjectionAdapter adapter) {}
}
