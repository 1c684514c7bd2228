package org.tune4j.eval.advice;

import org.tune4j.core.train.Hyperparameters;
import org.tune4j.strategies.TrainingStrategy;

/**
 * A strategy, weighed.
 *
 * @param kind of plan
 * @param strategy with its configuration
 * @param hyperparameters to run it with: the caller's, with fewer epochs if the budget pays no
 *     more, and with smaller passes or checkpointing if memory allows no more
 * @param score of {@link PlanKind#score}; negative infinity if it cannot be run within the budget
 * @param share of the epochs asked for that the budget pays, from 0 to 1
 * @param price of the plan as it would be run
 * @param verdict why it is not the one recommended, or what speaks for it, in a sentence
 */
public record Assessment(
    PlanKind kind,
    TrainingStrategy strategy,
    Hyperparameters hyperparameters,
    double score,
    double share,
    PlanPrice price,
    String verdict) {
  /** Returns whether it can be run within the budget. */
  public boolean feasible() {
    return score > Double.NEGATIVE_INFINITY;
  }

  Assessment withVerdict(String sentence) {
    return new Assessment(kind, strategy, hyperparameters, score, share, price, sentence);
  }
}
