package org.tune4j.strategies;

import org.tune4j.core.train.TrainingPlan;

/**
 * A way of training several tasks: a planner, without state and without side effects, whose plan
 * the trainer executes. A strategy of your own implements this; {@code TrainingStrategyContract}
 * tests it.
 */
public interface TrainingStrategy {
  /** Returns its name, for people and folders. */
  String name();

  /**
   * Returns the plan.
   *
   * @throws IllegalArgumentException if it does not fit the tasks, naming what is wrong
   */
  TrainingPlan plan(PlanContext context);
}
