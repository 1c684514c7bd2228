package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.Locale;

/**
 * The evidence for one adapter on all tasks against an adapter for each, laid open: every factor
 * with the value that was found and what it adds to the expected difference between multi-task and
 * independent training. The {@link #lean} is their sum. {@link Forecast} tells where it comes from.
 *
 * @param factors the weightiest first
 */
public record Scorecard(ImmutableList<Factor> factors) {
  /** What evidence speaks for. */
  public enum Side {
    /** One adapter that learns all tasks together. */
    MULTI_TASK,
    /** An adapter for each task. */
    TASK_SPECIFIC,
    /** Neither. */
    NEITHER
  }

  /**
   * One piece of evidence.
   *
   * @param name short
   * @param value as it was found
   * @param points of 100 that it adds to the score of multi-task training over that of independent
   *     training; below 0 it speaks for the latter
   * @param sentence what was found, with its numbers
   */
  public record Factor(String name, double value, double points, String sentence) {
    /** Points that decide nothing. */
    private static final double INDIFFERENT = 0.25;

    /** Returns which side it speaks for. */
    public Side favours() {
      if (Math.abs(points) < INDIFFERENT) {
        return Side.NEITHER;
      }
      return points > 0 ? Side.MULTI_TASK : Side.TASK_SPECIFIC;
    }
  }

  /**
   * Returns by how much the score of multi-task training is thought to exceed that of independent
   * training, in the unit of scores.
   */
  public double lean() {
    return factors.stream().mapToDouble(Factor::points).sum() / 100;
  }

  /** Returns a table with a line for each factor. */
  @Override
  public String toString() {
    StringBuilder out =
        new StringBuilder(
            String.format(Locale.ROOT, "%-14s %9s %9s  favours%n", "factor", "value", "points"));
    for (Factor f : factors) {
      out.append(
          String.format(
              Locale.ROOT,
              "%-14s %9.2f %+9.1f  %s%n",
              f.name(),
              f.value(),
              f.points(),
              f.favours().name().toLowerCase(Locale.ROOT).replace('_', '-')));
    }
    return out.append(String.format(Locale.ROOT, "%-14s %9s %+9.1f%n", "sum", "", 100 * lean()))
        .toString();
  }
}
