package org.tune4j.strategies;

import java.util.Locale;

/**
 * How the gradients of two tasks stood to one another under {@link MultiTask#gradientSurgery}.
 *
 * @param steps that had examples of both
 * @param share of these in which the gradients pointed against one another, their cosine below 0
 * @param meanCosine over these steps; 0 counts for a gradient that is zero
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
