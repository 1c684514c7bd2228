package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableMap;

/**
 * The scores of a strategy in a scenario after full training.
 *
 * @param scenario its id
 * @param settings hash of the scenario's definition when this was measured
 * @param strategy name among the contenders
 * @param seed of initial values and of the order of the data
 * @param test score by task on the test split, from 0 to 1: accuracy or exact match
 * @param validation the same on the validation split, which is as noisy as training
 * @param tokens trained on
 * @param seconds of training
 * @param precision of the frozen weights
 */
public record Truth(
    String scenario,
    String settings,
    String strategy,
    long seed,
    ImmutableMap<String, Double> test,
    ImmutableMap<String, Double> validation,
    long tokens,
    double seconds,
    String precision) {
  /** Returns the mean test score over tasks. */
  double score() {
    return mean(test);
  }

  /** Returns the mean validation score over tasks. */
  double validationScore() {
    return mean(validation);
  }

  private static double mean(ImmutableMap<String, Double> scores) {
    return scores.values().stream().mapToDouble(Double::doubleValue).average().orElseThrow();
  }

  /** Returns what identifies the run, except the settings. */
  String key() {
    return scenario + ' ' + strategy + ' ' + seed;
  }
}
