package org.tune4j.eval.advice;

import org.tune4j.core.train.Hyperparameters;
import org.tune4j.strategies.TrainingStrategy;

/**
 * A candidate, weighed.
 *
 * @param candidate that was weighed
 * @param hyperparameters to run it with: the caller's, with fewer epochs if the budget pays no
 *     more, and with smaller passes or checkpointing if memory allows no more
 * @param score of {@link Candidate#rating(Situation, double)}; negative infinity if it cannot be
 *     run within the budget
 * @param share of the epochs asked for that the budget pays, from 0 to 1
 * @param price of the plan as it would be run
 * @param verdict why it is not the one recommended, or what speaks for it, in a sentence
 */
public record Assessment(
    Candidate candidate,
    Hyperparameters hyperparameters,
    double score,
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

  /** Returns whether it can be run within the budget. */
  public boolean feasible() {
    return score > Double.NEGATIVE_INFINITY;
  }

  Assessment withVerdict(String sentence) {
    return new Assessment(candidate, hyperparameters, score, share, price, sentence);
  }
}
