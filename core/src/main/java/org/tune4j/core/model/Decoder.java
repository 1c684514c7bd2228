package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import java.util.function.UnaryOperator;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;

/** The network of a model, as its {@link Architecture} makes it. */
public interface Decoder {
  /** How queries meet keys and values: within a batch, or in a cache. */
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
   * @param length tokens of the longest sequence of which this runs a part; what rotary embedding
   *     depends on where it is scaled with the length
   */
  Tensor residual(
      Tape tape, int[] ids, int[] positions, int length, Attention attention, Routing routing);

  /** Returns the final norm: compute type. */
  Tensor finalNorm(Tape tape, Tensor residual);

  /**
   * Returns what the output head takes of the normed residual stream: that itself, unless the
   * family scales its logits.
   */
  default Tensor headInput(Tape tape, Tensor normed) {
    return normed;
  }

  /** Returns the output head, {@code [vocabulary, hidden]}. */
  ProjectionGroup head();

  /**
   * Returns all that adapters change, embeddings and head included, in the order in which PyTorch
   * lists the modules.
   */
  ImmutableList<ProjectionGroup> groups();

  /** Returns a network that differs in its {@link #groups()} only. */
  Decoder withGroups(UnaryOperator<ProjectionGroup> replacement);
}
