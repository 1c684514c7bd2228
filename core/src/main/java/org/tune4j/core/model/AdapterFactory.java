package org.tune4j.core.model;

import org.tune4j.core.engine.Engine;

/**
 * Makes adapters for a model: what a training stage uses where it wants a new one. Implemented by
 * adapter configurations, whose {@code toString} says all that determines an adapter: a run is only
 * resumed with a factory that reads the same.
 */
public interface AdapterFactory {
  /**
   * Returns a new, trainable adapter in its initial state, in which it changes no output.
   *
   * @param seed determines the initial values
   * @throws IllegalArgumentException if the configuration does not fit the model, naming the field
   */
  Adapter create(AdaptableModel model, String name, long seed);

  /**
   * Returns a copy of an adapter that this made, which does on its model what the original does.
   * The parameters are copied, which is right if these, the model and the seed are all that
   * determines an adapter.
   *
   * @param model the original's, or one that others were merged into
   * @param name of the copy
   * @param seed that the original was made with
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
   * Returns a factory of adapters of another size that are otherwise like this one's.
   *
   * @param share of this one's size, positive; of LoRA, of the rank
   * @throws UnsupportedOperationException if this kind of adapter has one size
   */
  default AdapterFactory sized(double share) {
    if (share == 1) {
      return this;
    }
    throw new UnsupportedOperationException(
        "adapters of %s times the size cannot be made of %s".formatted(share, this));
  }

  /**
   * Returns how many parameters an adapter for the model will have, for estimating memory; 0 if
   * that is not known.
   */
  default long parameters(AdaptableModel model) {
    return 0;
  }
}
