package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.engine.MatrixSource;

/** The tensors of a model's checkpoint with their current values, including merged adapters. */
final class ModelTensors {
  private final ModelConfig config;
  private final WeightLoader weights;
  private final Decoder decoder;
  private ImmutableList<MatrixSource> hashedSources; // the sources that hash was computed from
  private String hash;

  ModelTensors(ModelConfig config, WeightLoader weights, Decoder decoder) {
    this.config = config;
    this.weights = weights;
    this.decoder = decoder;
  }

  /**
   * The tensors at one moment, which stay readable even if the model is changed or closed.
   *
   * @param tied whether the head has the embedding's weights
   */
  record Snapshot(List<WeightLoader.StoredTensor> tensors, boolean tied) {}

  /** Returns the current tensors; the caller must {@link WeightLoader#release} the weights. */
  Snapshot snapshot() {
    weights.retain();
    List<WeightLoader.StoredTensor> tensors = new ArrayList<>();
    for (WeightLoader.StoredTensor t : all()) {
      MatrixSource now = t.source().get();
      tensors.add(new WeightLoader.StoredTensor(t.name(), t.shape(), () -> now, t.transposed()));
    }
    return new Snapshot(tensors, tied());
  }

  /**
   * Returns a hash of all tensors; reads every weight if something was merged since the last call.
   */
  synchronized String hash() {
    ImmutableList<MatrixSource> now =
        decoder.groups().stream()
            .flatMap(g -> g.sources().stream())
            .collect(ImmutableList.toImmutableList());
    if (!now.equals(hashedSources)) {
      hash = WeightsHash.of(all());
      hashedSources = now;
    }
    return hash;
  }

  private List<WeightLoader.StoredTensor> all() {
    Map<String, MatrixSource> own = new HashMap<>();
    for (ProjectionGroup g : decoder.groups()) {
      for (int i = 0; i < g.members().size(); i++) {
        own.put(g.members().get(i).name() + ".weight", g.sources().get(i));
      }
    }
    List<WeightLoader.StoredTensor> all = new ArrayList<>();
    for (WeightLoader.StoredTensor t : weights.stored()) {
      MatrixSource source = own.remove(t.name());
      all.add(
          source == null
              ? t
              : new WeightLoader.StoredTensor(t.name(), t.shape(), () -> source, t.transposed()));
    }
    if (!tied()) {
      own.forEach( // a head that was tied when the model was loaded
          (name, source) ->
              all.add(
                  new WeightLoader.StoredTensor(
                      name, new long[] {source.rows(), source.cols()}, () -> source, false)));
    }
    return all;
  }

  /**
   * Returns whether the head still has the embedding's weights: merging may have changed one of
   * them.
   */
  private boolean tied() {
    return config.tiedHead() && decoder.head().sources().equals(decoder.groups().get(0).sources());
  }
}
