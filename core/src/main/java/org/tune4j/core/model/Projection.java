package org.tune4j.core.model;

import org.tune4j.core.engine.MatrixSource;

/**
 * A linear layer of a model, its output head or an embedding, to which adapters can be attached;
 * named by its Hugging Face module path, such as {@code model.layers.0.self_attn.q_proj}.
 *
 * @param name module path
 * @param layer index of its decoder layer; -1 for heads and embeddings
 * @param in input features; entries of an embedding
 * @param out output features
 * @param source the frozen weight, {@code [out, in]} regardless of the file's orientation; for an
 *     embedding its table, {@code [in, out]}
 * @param bias the frozen bias {@code [out]}, or null
 * @param fanInFanOut whether the checkpoint stores {@code [in, out]} (GPT-2's Conv1D), as PEFT's
 *     {@code fan_in_fan_out} must say
 */
public record Projection(
    String name,
    int layer,
    int in,
    int out,
    MatrixSource source,
    float[] bias,
    boolean fanInFanOut) {
  /** Returns the same layer with another weight. */
  Projection withSource(MatrixSource weight) {
    return new Projection(name, layer, in, out, weight, bias, fanInFanOut);
  }
}
