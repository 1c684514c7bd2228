package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import org.tune4j.strategies.TrainingStrategy;

/**
 * A strategy to be weighed by {@link StrategyRecommender}: what it costs, and what speaks for and
 * against it. Those of this library are made by {@link Candidates}; one of your own joins them by
 * {@link StrategyRecommender#candidates(Candidate...)}, and is planned, timed, cut to the budget,
 * rated and explained as they are.
 *
 * <pre>{@code
 * record Curriculum(TrainingStrategy strategy) implements Candidate {
 *   public boolean joint() {
 *     return true; // one adapter for all tasks
 *   }
 *
 *   public double rating(Situation s) {
 *     return s.lean() + (s.imbalance() > 10 ? 0.2 : -0.2);
 *   }
 *
 *   public String inFavour(Situation s) {
 *     return "small tasks come first, and are not drowned by the large ones";
 *   }
 *
 *   public String against(Situation s, Assessment own, Assessment best) {
 *     return "the tasks are of a size: there is no order to gain by";
 *   }
 * }
 * }</pre>
 *
 * <p>Candidates have no state and no side effects: they may be asked more than once.
 */
public interface Candidate {
  /**
   * What a plan loses in proportion to the share of it that the budget does not pay, if tasks share
   * an adapter: one that is cut short is unfinished for every task, and cannot be continued for
   * one.
   */
  double JOINT_CUT = 0.8;

  /** What other plans lose so. */
  double CUT = 0.3;

  /** Returns the strategy, fit for the tasks that advice is asked for. */
  TrainingStrategy strategy();

  /** Returns its name, unlike that of any other candidate; by default the strategy's. */
  default String name() {
    return strategy().name();
  }

  /**
   * Returns whether several tasks share an adapter that learns them together: then conflicts
   * between them are warned of.
   */
  boolean joint();

  /**
   * Returns how well it is thought to serve if it is run in full: a finite number in the unit of
   * {@link Scorecard#lean()}. With the lean {@code l} as evidence for sharing, multi-task training
   * is rated {@code l} and an adapter each {@code -l}; a difference of 0.2 is a confidence of 0.77.
   */
  double rating(Situation situation);

  /**
   * Returns the rating of a plan of which the budget pays only a share, from 0 to 1. It must not
   * rise as the share falls, else a tighter budget might choose the dearer plan.
   */
  default double rating(Situation situation, double share) {
    return rating(situation) - (joint() ? JOINT_CUT : CUT) * (1 - share);
  }

  /**
   * Returns what it costs; by default, what its plan does. Override it for a cost that the plan
   * does not show, such as a teacher that must be trained first.
   *
   * @param plan price of the plan's stages, by steps timed on this machine
   */
  default PlanPrice price(PlanPrice plan) {
    return plan;
  }

  /** Returns what speaks for it should it be recommended, as part of a sentence. */
  String inFavour(Situation situation);

  /**
   * Returns what speaks against it should another be recommended, as part of a sentence. That it
   * does not fit the limits, or is cut by them, need not be said.
   *
   * @param own this candidate as it was weighed
   * @param best the one recommended
   */
  String against(Situation situation, Assessment own, Assessment best);

  /** Returns whole sentences to be said among the reasons should it be recommended. */
  default ImmutableList<String> reasons(Situation situation) {
    return ImmutableList.of();
  }
}
