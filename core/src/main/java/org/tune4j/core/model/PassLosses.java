package org.tune4j.core.model;

import java.util.function.Function;

/**
 * Losses of a {@link Pass}, one for each target.
 *
 * @param items for each target, the index of its example in the pass, ascending
 * @param losses unweighted, in nats or another unit of the model
 */
public record PassLosses(int[] items, float[] losses) {
  /**
   * Returns the sum of each example's losses.
   *
   * @param examples number of examples in the pass
   */
  public double[] sums(int examples) {
    double[] sums = new double[examples];
    for (int i = 0; i < items.length; i++) {
      sums[items[i]] += losses[i];
    }
    return sums;
  }

  /**
   * Returns the mean over all targets of passes; NaN if there are none.
   *
   * @param step computes the losses of a pass
   */
  public static double mean(Iterable<Pass> passes, Function<Pass, PassLosses> step) {
    double sum = 0;
    long n = 0;
    for (Pass pass : passes) {
      for (float loss : step.apply(pass).losses()) {
        sum += loss;
        n++;
      }
    }
    return sum / n;
  }
}
