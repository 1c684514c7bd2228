package org.tune4j.core.train;

import java.util.Map;
import org.tune4j.core.engine.Parameters;

/**
 * Updates the parameters of one adapter by their gradients, for the duration of a stage. Its state
 * is part of every checkpoint, so that a resumed run continues with the same bits.
 *
 * <p>All methods are called under the engine's lock.
 */
public interface Optimizer extends AutoCloseable {
  /**
   * Creates optimizers; {@code toString} describes everything that determines them besides the
   * hyperparameters, and a run is only resumed with a factory of the same description.
   */
  interface Factory {
    /** Returns a new optimizer for an adapter. */
    Optimizer create(Parameters parameters, Hyperparameters h);
  }

  /**
   * Updates {@link Parameters#flat()} by {@link Parameters#flatGradients()} and calls {@link
   * Parameters#changed()}.
   *
   * @param gradientScale factor of the gradients, for clipping
   * @param step number of this step in the stage, from 1
   */
  void apply(double learningRate, double gradientScale, int step);

  /** Returns the names of the parts that {@link #save} returns, with their numbers of values. */
  Map<String, Integer> sizes();

  /** Returns the state, by name. */
  Map<String, float[]> save();

  /** Restores one part of what {@link #save} returned. */
  void restore(String name, float[] values);

  @Override
  void close();
}
