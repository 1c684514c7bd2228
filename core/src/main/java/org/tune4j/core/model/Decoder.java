package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import java.util.function.UnaryOperator;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;

/** The network of a model, created by its {@link Architecture}. */
public interface Decoder {
  /** Attention with keys and values of the batch, or of a cache. */
  @FunctionalInterface
  interface Attention {
    /**
     * Attends.
     *
     * @param qkv compute type {@code [n, (heads + 2 kvHeads) * headDim]}, rotated
     * @return compute type {@code [n, heads * headDim]}
     */
    Tensor attend(Tape tape, int layer, Tensor qkv, AttentionShape shape);
  }

  /**
   * Returns the residual stream after the last layer: F32 {@code [ids.length, hidden]}.
   *
   * @param length tokens of the longest sequence that is run, possibly in several parts; some
   *     scalings of rotary embedding depend on it
   */
  Tensor residual(
      Tape tape, int[] ids, int[] positions, int length, Attention attention, Routing routing);

  /** Returns the final norm: compute type. */
  Tensor finalNorm(Tape tape, Tensor residual);

  /**
   * Returns the input of the output head: the normed residual stream itself, unless the family
   * scales its logits.
   */
  default Tensor headInput(Tape tape, Tensor normed) {
    return normed;
  }

  /** Returns the output head, {@code [vocabulary, hidden]}. */
  ProjectionGroup head();

  /**
   * Returns everything that adapters can change, including embeddings and head, in the order of
   * PyTorch's modules.
   */
  ImmutableList<ProjectionGroup> groups();

  /** Returns a network that differs only in its {@link #groups()}. */
  Decoder withGroups(UnaryOperator<ProjectionGroup> replacement);
}
