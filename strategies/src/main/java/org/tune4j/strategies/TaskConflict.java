package org.tune4j.strategies;

import java.util.Locale;

/**
 * Statistics of the gradients of two tasks under {@link MultiTask#gradientSurgery}.
 *
 * @param steps number of steps with examples of both
 * @param share share of these steps in which the gradients conflicted, with a cosine below 0
 * @param meanCosine mean over these steps; a zero gradient counts as 0
 */
public record TaskConflict(
    String first, String second, long steps, double share, double meanCosine) {
  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "%s and %s: in conflict in %.0f %% of %,d steps, mean cosine %+.3f",
        first,
        second,
        100 * share,
        steps,
        meanCosine);
  }
}
