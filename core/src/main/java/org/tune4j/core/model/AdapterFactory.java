package org.tune4j.core.model;

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
   * Returns how many parameters an adapter for the model will have, for estimating memory; 0 if
   * that is not known.
   */
  default long parameters(AdaptableModel model) {
    return 0;
  }
}
