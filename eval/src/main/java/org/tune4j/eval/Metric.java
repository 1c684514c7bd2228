package org.tune4j.eval;

import java.util.List;

/**
 * Compares predictions with references. {@link Metrics} has the usual ones; pass custom ones to
 * {@link Evaluator#metric}.
 */
public interface Metric {
  /** Returns the name to report the value under, such as {@code rouge-l}. */
  String name();

  /** Returns whether a higher value is better. */
  boolean higherIsBetter();

  /**
   * Returns the value over a whole set of examples.
   *
   * @param predictions at least one
   * @param references one for each prediction, in the same order
   * @throws IllegalArgumentException if there are none, or the numbers differ
   */
  double score(List<String> predictions, List<String> references);
}
