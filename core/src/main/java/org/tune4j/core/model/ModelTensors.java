package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.engine.MatrixSource;

/** The tensors of a model's checkpoint, with the values that it has: merged adapters show. */
final class ModelTensors {
  private final ModelConfig config;
  private final WeightLoader weights;
  private final Decoder decoder;
  private ImmutableList<MatrixSource> hashed; // what is in the hash
  private String hash;

  ModelTensors(ModelConfig config, WeightLoader weights, Decoder decoder) {
    this.config = config;
    this.weights = weights;
    this.decoder = decoder;
  }

  /**
   * Tensors as they were at a moment, readable whatever becomes of the model.
   *
   * @param tied whether the head has the embedding's weights
   */
  record Held(List<WeightLoader.StoredTensor> tensors, boolean tied) {}

  /** Returns them as they are; the weights are the caller's to {@link WeightLoader#release}. */
  Held hold() {
    weights.retain();
    List<WeightLoader.StoredTensor> held = new ArrayList<>();
    for (WeightLoader.StoredTensor t : all()) {
      MatrixSource now = t.source().get();
      held.add(new WeightLoader.StoredTensor(t.name(), t.shape(), () -> now, t.transposed()));
    }
    return new Held(held, tied());
  }

  /** Returns a hash of all; reads every weight where something was merged since the last one. */
  synchronized String hash() {
    ImmutableList<MatrixSource> now =
        decoder.groups().stream()
            .flatMap(g -> g.sources().stream())
            .collect(ImmutableList.toImmutableList());
    if (!now.equals(hashed)) {
      hash = WeightsHash.of(all());
      hashed = now;
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

  /** Returns whether the head has the embedding's weights; merging can change only one of them. */
  private boolean tied() {
    return config.tiedHead() && decoder.head().sources().equals(decoder.groups().get(0).sources());
  }
}
