package org.tune4j.core.model;

import java.util.Set;
import org.tune4j.core.engine.Engine;

/**
 * Creates adapters for a model; used by training stages that start a new one. Implemented by
 * adapter configurations, whose {@code toString} describes everything that determines an adapter: a
 * run is only resumed with a factory of the same description.
 */
public interface AdapterFactory {
  /**
   * Returns a new, trainable adapter in its initial state, in which it changes no output.
   *
   * @param seed determines the initial values
   * @throws IllegalArgumentException if the configuration does not fit the model; the message names
   *     the field
   */
  Adapter create(AdaptableModel model, String name, long seed);

  /**
   * Like {@link #create(AdaptableModel, String, long)}, for adapters that have something of each
   * task's own, such as an output layer.
   *
   * @param tasks names of all that the adapter will learn
   */
  default Adapter create(AdaptableModel model, String name, Set<String> tasks, long seed) {
    return create(model, name, seed);
  }

  /**
   * Returns a copy of an adapter from this factory, which has the same effect on its model as the
   * original. This implementation copies the parameters, which is right if these, the model and the
   * seed are all that determines an adapter.
   *
   * @param model the original's, or one with other adapters merged in
   * @param name of the copy
   * @param seed that the original was created with
   */
  default Adapter copy(Adapter original, AdaptableModel model, String name, long seed) {
    Adapter copy = create(model, name, seed);
    Engine engine = model.engine();
    engine.lock().lock();
    try {
      float[] values = engine.read(original.parameters().flat());
      engine.write(copy.parameters().flat(), values);
      copy.parameters().changed();
    } finally {
      engine.lock().unlock();
    }
    return copy;
  }

  /**
   * Like {@link #copy(Adapter, AdaptableModel, String, long)}, for adapters that have something of
   * each task's own.
   *
   * @param tasks names of what the copy will learn, besides what the original has
   */
  default Adapter copy(
      Adapter original, AdaptableModel model, String name, Set<String> tasks, long seed) {
    return copy(original, model, name, seed);
  }

  /**
   * Returns a factory of adapters that differ only in size.
   *
   * @param share positive factor of the size; for LoRA, of the rank
   * @throws UnsupportedOperationException if adapters of this kind have a fixed size
   */
  default AdapterFactory sized(double share) {
    if (share == 1) {
      return this;
    }
    throw new UnsupportedOperationException(
        "adapters of %s times the size cannot be created by %s".formatted(share, this));
  }

  /**
   * Returns how many parameters an adapter for the model will have, for estimating memory; 0 if
   * unknown.
   */
  default long parameters(AdaptableModel model) {
    return 0;
  }
}
