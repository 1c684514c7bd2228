package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableMap;
import org.tune4j.eval.advice.StrategyRecommender.Level;

/**
 * The advice in a scenario.
 *
 * @param scenario its id
 * @param settings hash, as in {@link Truth}
 * @param level requested level
 * @param seed of training and of the advice
 * @param recommended the strategy's name among the contenders
 * @param probabilities of being the best, by strategy
 * @param gains expected difference in score from multi-task training, by strategy, from -1 to 1
 * @param similarity mean over pairs of tasks; gradients, hidden states and vocabulary combined
 * @param trials mean validation score of each trained strategy; empty without an experiment
 * @param spent tokens trained on in all trials
 * @param beside tokens trained on in the trials that did not win
 * @param all tokens of training all strategies
 * @param seconds duration of the advice, including trials
 * @param share the duration divided by the expected training time of the recommended plan
 */
record Advised(
    String scenario,
    String settings,
    Level level,
    long seed,
    String recommended,
    ImmutableMap<String, Double> probabilities,
    ImmutableMap<String, Double> gains,
    double similarity,
    ImmutableMap<String, Double> trials,
    long spent,
    long beside,
    long all,
    double seconds,
    double share) {
  /** Returns the probability of the recommended strategy. */
  double confidence() {
    return probabilities.get(recommended);
  }

  /** Returns what identifies the request. */
  String key() {
    return key(scenario, settings, level, seed);
  }

  static String key(String scenario, String settings, Level level, long seed) {
    return scenario + ' ' + settings + ' ' + level + ' ' + seed;
  }
}
