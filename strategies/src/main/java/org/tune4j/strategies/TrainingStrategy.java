package org.tune4j.strategies;

import org.tune4j.core.train.TrainingPlan;

/**
 * A way of training several tasks: a planner without state or side effects, whose plan the trainer
 * executes. Implement this for custom strategies; {@code TrainingStrategyContract} tests them.
 */
public interface TrainingStrategy {
  /** Returns the name, for users and directories. */
  String name();

  /**
   * Returns the plan.
   *
   * @throws IllegalArgumentException if the strategy does not fit the tasks; the message says why
   */
  TrainingPlan plan(PlanContext context);
}
