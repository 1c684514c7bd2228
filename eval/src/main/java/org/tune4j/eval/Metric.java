package org.tune4j.eval;

import java.util.List;

/**
 * Compares what a model said with what it was to say. {@link Metrics} has the usual ones; one of
 * your own is given to {@link Evaluator#metric}.
 */
public interface Metric {
  /** Returns the name under which the value is reported, such as {@code rouge-l}. */
  String name();

  /** Returns whether a higher value is better. */
  boolean higherIsBetter();

  /**
   * Returns the value over a whole set of examples.
   *
   * @param predictions what was said, at least one
   * @param references what was to be said, one for each prediction, in the same order
   * @throws IllegalArgumentException if there are none, or not equally many
   */
  double score(List<String> predictions, List<String> references);
}
