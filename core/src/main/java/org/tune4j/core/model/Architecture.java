package org.tune4j.core.model;

/**
 * The family-specific part of a {@link ModelConfig}: an immutable value that the {@link
 * ModelFamily} reads from {@code config.json}.
 */
public interface Architecture {
  /** A matrix in a checkpoint: its name, and its shape as stored. */
  record StoredMatrix(String name, int rows, int cols) {}

  /** Returns the family that it belongs to. */
  ModelFamily family();

  /** Loads the network, with tensors in the order in which data flows. */
  Decoder decoder(ModelConfig config, WeightLoader load);

  /** Returns the prefix of tensor names in a causal model, which those of a bare model lack. */
  String prefix();

  /** Returns the name of the token embedding's weight. */
  String embedding();

  /**
   * Returns a matrix of the last layer whose shape has {@link ModelConfig#intermediateSize()}, to
   * check files by.
   */
  StoredMatrix lastMatrix(ModelConfig config);

  /** Returns whether the embedding of {@code pad_token_id} is never trained. */
  boolean padsEmbedding();

  /** Returns whether the feed-forward network has a gate: three matrices instead of two. */
  boolean gated();

  /** Returns the number of weights in the norms and biases of a layer. */
  long layerVectors(ModelConfig config);

  /** Returns the number of weights outside of layers, token embedding and output head. */
  long otherWeights(ModelConfig config);
}
