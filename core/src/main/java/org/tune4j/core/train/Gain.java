package org.tune4j.core.train;

import org.apache.commons.math3.distribution.TDistribution;

/**
 * What an adapter saves on the validation examples of its tasks, against what it was trained on top
 * of: the losses of each example with it and without it, pair by pair.
 *
 * @param mean nats that an example's learned tokens cost less with the adapter; NaN if there are no
 *     examples
 * @param standardError of the mean; NaN for fewer than two examples
 * @param examples compared
 */
public record Gain(double mean, double standardError, int examples) {
  private static final double CONFIDENCE = 0.95;

  /**
   * Compares.
   *
   * @param without each example's loss without the adapter
   * @param with each one's loss with it
   */
  static Gain of(double[] without, double[] with) {
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
   * Returns whether the adapter is kept: whether the 95 % interval of the mean, by Student's t for
   * pairs, lies above 0. What is not measured to help is left out, as it costs time and memory
   * wherever the task is served.
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
