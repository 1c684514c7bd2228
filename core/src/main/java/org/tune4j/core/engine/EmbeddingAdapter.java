package org.tune4j.core.engine;

/**
 * What an adapter does to rows taken from an embedding table. The tape calls {@link #forward} in
 * the order in which adapters are stacked, and {@link #backward} of each in the backward pass.
 */
public interface EmbeddingAdapter {
  /** Returns whether gradients of its parameters are wanted. */
  boolean trainable();

  /** Returns whether {@link #forward} sets the rows whatever they hold. */
  default boolean replacesRows() {
    return false;
  }

  /**
   * Changes rows of the table in place.
   *
   * @param ids the rows' indices in the table
   * @param x F32 {@code [ids.length, hidden]}
   */
  void forward(Engine engine, int[] ids, Tensor x);

  /**
   * Accumulates the gradients of its parameters. Only called if it is trainable.
   *
   * @param ids as in {@link #forward}; one may occur several times
   * @param dx F32 {@code [ids.length, hidden]}, the gradient by the changed rows
   */
  void backward(Engine engine, int[] ids, Tensor dx);

  /**
   * An adapter on rows {@code [from, from + count)} of a batch.
   *
   * @param from first row
   * @param count rows
   * @param adapter what is applied there
   */
  record Slice(int from, int count, EmbeddingAdapter adapter) {}
}
