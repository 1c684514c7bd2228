package org.tune4j.core.train;

import java.util.Map;
import org.tune4j.core.engine.Parameters;

/**
 * Changes the parameters of one adapter by their gradients, a stage long. What it keeps between
 * steps is part of every checkpoint, so that a resumed run goes on with the same bits.
 *
 * <p>All calls are made by one who holds the engine's lock.
 */
public interface Optimizer extends AutoCloseable {
  /**
   * Makes optimizers; {@code toString} says all that determines them beside the hyperparameters, as
   * a run is only resumed with what says the same.
   */
  interface Factory {
    /** Returns the optimizer of an adapter, as it is before the first step. */
    Optimizer create(Parameters parameters, Hyperparameters h);
  }

  /**
   * Changes {@link Parameters#flat()} by {@link Parameters#flatGradients()} and calls {@link
   * Parameters#changed()}.
   *
   * @param gradientScale factor of the gradients, for clipping
   * @param step number of this step in the stage, from 1
   */
  void apply(double learningRate, double gradientScale, int step);

  /** Returns the names of what {@link #save} returns, with the number of values. */
  Map<String, Integer> sizes();

  /** Returns what it keeps between steps. */
  Map<String, float[]> save();

  /** Takes back a part of what {@link #save} returned. */
  void restore(String name, float[] values);

  @Override
  void close();
}
