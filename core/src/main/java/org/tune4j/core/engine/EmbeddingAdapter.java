package org.tune4j.core.engine;

/**
 * The effect of an adapter on rows looked up in an embedding table. The tape calls {@link #forward}
 * in the order in which adapters are stacked, and {@link #backward} in reverse. Instances hold no
 * per-step state: what backward needs is in the object that forward returns.
 */
public interface EmbeddingAdapter {
  /** Returns whether its parameters are trained. */
  boolean trainable();

  /** Returns whether {@link #forward} overwrites the rows without reading them. */
  default boolean replacesRows() {
    return false;
  }

  /** Returns whether {@link #forward} scales the rows rather than only adding to them (DoRA). */
  default boolean rescalesRows() {
    return false;
  }

  /**
   * Changes rows of the table in place.
   *
   * @param ids the rows' indices in the table
   * @param x F32 {@code [ids.length, hidden]}
   * @param recording whether {@link #backward} will follow
   * @return what backward needs; may be null
   */
  Object forward(Engine engine, int[] ids, Tensor x, boolean recording);

  /**
   * Accumulates the gradients of its parameters if trainable. If {@link #rescalesRows()}, it also
   * replaces {@code dx} by the gradient with respect to the rows that {@link #forward} was given.
   * Only called if at least one of these applies.
   *
   * @param ids as in {@link #forward}; one may occur several times
   * @param dx F32 {@code [ids.length, hidden]}, the gradient with respect to the changed rows
   */
  void backward(Engine engine, Object state, int[] ids, Tensor dx);

  /** An adapter on rows {@code [from, from + count)} of a batch. */
  record Slice(int from, int count, EmbeddingAdapter adapter) {}
}
