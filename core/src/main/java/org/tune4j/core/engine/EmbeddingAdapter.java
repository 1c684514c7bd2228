package org.tune4j.core.engine;

/**
 * What an adapter does to rows taken from an embedding table. The tape calls {@link #forward} in
 * the order in which adapters are stacked, and in the backward pass {@link #backward} of each, from
 * the last to the first. Instances hold no state of a step: what backward needs is in the object
 * that forward returns.
 */
public interface EmbeddingAdapter {
  /** Returns whether gradients of its parameters are wanted. */
  boolean trainable();

  /** Returns whether {@link #forward} sets the rows whatever they hold. */
  default boolean replacesRows() {
    return false;
  }

  /**
   * Returns whether {@link #forward} changes what is in the rows rather than adding to it (DoRA).
   */
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
   * turns {@code dx} in place into the gradient by what {@link #forward} was given. Only called if
   * one of these is so.
   *
   * @param ids as in {@link #forward}; one may occur several times
   * @param dx F32 {@code [ids.length, hidden]}, the gradient by the changed rows
   */
  void backward(Engine engine, Object state, int[] ids, Tensor dx);

  /**
   * An adapter on rows {@code [from, from + count)} of a batch.
   *
   * @param from first row
   * @param count rows
   * @param adapter what is applied there
   */
  record Slice(int from, int count, EmbeddingAdapter adapter) {}
}
