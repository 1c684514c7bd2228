package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Locale;

/**
 * A mean with its confidence interval.
 *
 * @param mean as measured
 * @param low at most the mean
 * @param high at least the mean
 */
public record ConfidenceInterval(double mean, double low, double high) {
  /** Checks the order. */
  public ConfidenceInterval {
    checkArgument(low <= mean && mean <= high, "%s is not within [%s, %s]", mean, low, high);
  }

  @Override
  public String toString() {
    return String.format(Locale.ROOT, "%.3f [%.3f, %.3f]", mean, low, high);
  }
}
