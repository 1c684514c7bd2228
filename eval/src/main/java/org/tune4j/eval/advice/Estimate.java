package org.tune4j.eval.advice;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Locale;

/**
 * What a score is thought to come to, as a normal distribution.
 *
 * @param mean in the unit of scores: 0.01 is a point of 100
 * @param deviation standard deviation, at least 0
 */
public record Estimate(double mean, double deviation) {
  /** Two-sided 90 % of a normal distribution. */
  private static final double NINETY = 1.645;

  /** Checks that both are numbers. */
  public Estimate {
    checkArgument(
        Double.isFinite(mean) && Double.isFinite(deviation) && deviation >= 0,
        "an estimate of %s with a standard deviation of %s; both must be finite, the second not negative",
        mean,
        deviation);
  }

  /** Returns an estimate. */
  public static Estimate of(double mean, double deviation) {
    return new Estimate(mean, deviation);
  }

  /** Returns what it is below with a probability of 5 %. */
  public double low() {
    return mean - NINETY * deviation;
  }

  /** Returns what it is above with a probability of 5 %. */
  public double high() {
    return mean + NINETY * deviation;
  }

  /** Returns the mean with the 90 % interval, without signs, in points of 100. */
  String points() {
    return String.format(Locale.ROOT, "%.1f [%.1f, %.1f]", 100 * mean, 100 * low(), 100 * high());
  }

  Estimate plus(Estimate independent) {
    return new Estimate(mean + independent.mean, Math.hypot(deviation, independent.deviation));
  }

  Estimate minus(double value) {
    return new Estimate(mean - value, deviation);
  }

  /** Returns the mean with the 90 % interval, in points of 100. */
  @Override
  public String toString() {
    return String.format(
        Locale.ROOT, "%+.1f [%+.1f, %+.1f]", 100 * mean, 100 * low(), 100 * high());
  }
}
