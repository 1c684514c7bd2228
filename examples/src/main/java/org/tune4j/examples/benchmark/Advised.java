package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableMap;
import org.tune4j.eval.advice.StrategyRecommender.Level;

/**
 * What was advised in a scenario.
 *
 * @param scenario its id
 * @param settings hash, as in {@link Truth}
 * @param level that was asked for
 * @param seed of training and of the advice
 * @param recommended the strategy, by its name among the contenders
 * @param probabilities of being the best, by strategy
 * @param gains points over multi-task training that were expected, by strategy, from -1 to 1
 * @param similarity mean over pairs of tasks, gradients, hidden states and vocabulary combined
 * @param trials mean validation score by strategy, of those that were trained; empty without an
 *     experiment
 * @param spent tokens that were trained on in trials
 * @param beside tokens that were trained on in trials that did not win
 * @param all tokens of training all strategies
 * @param seconds that the advice took, trainings included
 * @param share of the seconds that training the recommended plan was expected to take
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

  /** Returns what tells this from other advice. */
  String key() {
    return scenario + ' ' + settings + ' ' + level + ' ' + seed;
  }
}
