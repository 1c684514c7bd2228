package org.tune4j.eval.advice;

import org.tune4j.core.train.Hyperparameters;
import org.tune4j.strategies.TrainingStrategy;

/**
 * A candidate, weighed.
 *
 * @param candidate that was weighed
 * @param hyperparameters to run it with: the caller's, with fewer epochs if the budget pays no
 *     more, and with smaller passes or checkpointing if memory allows no more
 * @param gain by how much its mean score is thought to differ from that of multi-task training in
 *     full, as the plan would be run
 * @param expected mean score over tasks that it is thought to reach on data that was not trained on
 * @param probability of being the best of all that can be run, from 0 to 1
 * @param feasible whether it can serve, and be run within the budget
 * @param share of the epochs asked for that the budget pays, from 0 to 1
 * @param price of the plan as it would be run
 * @param verdict why it is not the one recommended, or what speaks for it, in a sentence
 */
public record Assessment(
    Candidate candidate,
    Hyperparameters hyperparameters,
    Estimate gain,
    Estimate expected,
    double probability,
    boolean feasible,
    double share,
    PlanPrice price,
    String verdict) {
  /** Returns the candidate's name. */
  public String name() {
    return candidate.name();
  }

  /** Returns the strategy with its configuration. */
  public TrainingStrategy strategy() {
    return candidate.strategy();
  }

  /** Returns the mean of {@link #gain}; negative infinity for one that is not feasible. */
  public double score() {
    return feasible ? gain.mean() : Double.NEGATIVE_INFINITY;
  }

  Assessment withVerdict(String sentence) {
    return new Assessment(
        candidate, hyperparameters, gain, expected, probability, feasible, share, price, sentence);
  }

  Assessment withBelief(Estimate ofGain, Estimate ofScore, double best) {
    return new Assessment(
        candidate, hyperparameters, ofGain, ofScore, best, feasible, share, price, verdict);
  }

  Assessment infeasible(String why) {
    return new Assessment(candidate, hyperparameters, gain, expected, 0, false, share, price, why);
  }
}
