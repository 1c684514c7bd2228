package org.tune4j.core.model;

/**
 * Makes adapters for a model: what a training stage uses where it wants a new one. Implemented by
 * adapter configurations.
 */
public interface AdapterFactory {
  /**
   * Returns a new, trainable adapter in its initial state, in which it changes no output.
   *
   * @param seed determines the initial values
   * @throws IllegalArgumentException if the configuration does not fit the model, naming the field
   */
  Adapter create(LanguageModel model, String name, long seed);
}
