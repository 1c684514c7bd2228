package org.tune4j.core.train;

import org.apache.commons.math3.distribution.TDistribution;

/**
 * How much an adapter lowers the loss on the validation examples of its tasks, compared with the
 * adapters below it: a paired comparison of each example's loss with and without it.
 *
 * @param mean mean reduction of an example's total loss in nats; NaN if there are no examples
 * @param standardError of the mean; NaN for fewer than two examples
 * @param examples number of compared examples
 */
public record Gain(double mean, double standardError, int examples) {
  private static final double CONFIDENCE = 0.95;

  /**
   * Computes the gain.
   *
   * @param without each example's loss without the adapter
   * @param with each example's loss with it
   */
  public static Gain of(double[] without, double[] with) {
    int n = with.length;
    double mean = 0;
    for (int i = 0; i < n; i++) {
      mean += (without[i] - with[i]) / n;
    }
    double squares = 0;
    for (int i = 0; i < n; i++) {
      double off = without[i] - with[i] - mean;
      squares += off * off;
    }
    return new Gain(
        n == 0 ? Double.NaN : mean, n < 2 ? Double.NaN : Math.sqrt(squares / (n - 1) / n), n);
  }

  /**
   * Returns whether the adapter is kept: whether the 95 % confidence interval of the mean, by a
   * paired t-test, lies above 0. An adapter without a measured benefit is left out, as it costs
   * time and memory wherever the task is served.
   */
  public boolean kept() {
    if (examples < 2) {
      return false;
    }
    double times =
        new TDistribution(examples - 1.0).inverseCumulativeProbability((1 + CONFIDENCE) / 2);
    return mean > times * standardError;
  }
}
