package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.Optional;
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
 *   public Estimate gain(Situation s) {
 *     return Estimate.of(s.imbalance() > 10 ? 0.01 : -0.01, 0.02); // a point better or worse
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
   * Returns by how much its mean score over tasks is thought to differ from that of multi-task
   * training, if both are run in full, and how sure that is. {@link Forecast} has figures for the
   * strategies of this library; of your own strategy, measure it.
   */
  Estimate gain(Situation situation);

  /** Returns why it cannot serve at all, as part of a sentence; empty if it can. */
  default Optional<String> ruledOut(Situation situation) {
    return Optional.empty();
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
