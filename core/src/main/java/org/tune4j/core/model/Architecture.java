package org.tune4j.core.model;

/**
 * What a model has beyond the sizes of its {@link ModelConfig}, and what only its family knows of
 * it: an immutable value, which the {@link ModelFamily} reads from {@code config.json}.
 */
public interface Architecture {
  /** A matrix of a checkpoint: its name, and its shape as stored. */
  record StoredMatrix(String name, int rows, int cols) {}

  /** Returns the family that it belongs to. */
  ModelFamily family();

  /** Loads the network, tensors in the order in which data flows. */
  Decoder decoder(ModelConfig config, WeightLoader load);

  /**
   * Returns what the names of a causal model's tensors begin with, and those of a bare one lack.
   */
  String prefix();

  /** Returns the name of the token embedding's weight. */
  String embedding();

  /** Returns a matrix of the last layer that tells {@link ModelConfig#intermediateSize()}. */
  StoredMatrix lastMatrix(ModelConfig config);

  /** Returns whether the embedding of {@code pad_token_id} is never trained. */
  boolean padsEmbedding();

  /** Returns whether the feed-forward network has a gate: three matrices instead of two. */
  boolean gated();

  /** Returns the number of weights in the norms and biases of a layer. */
  long layerVectors(ModelConfig config);

  /** Returns the number of weights outside layers, token embedding and output head. */
  long otherWeights(ModelConfig config);
}
