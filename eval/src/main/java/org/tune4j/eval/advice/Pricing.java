package org.tune4j.eval.advice;

import java.util.Map;
import java.util.Optional;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.strategies.PlanContext;

/** Prices candidates' plans, and cuts them to what the budget pays. */
final class Pricing {
  private final Request request;
  private final Profiles profiles;
  private final MemoryFit memory;
  private final StepRates rates;

  Pricing(Request request, Profiles profiles, MemoryFit memory, StepRates rates) {
    this.request = request;
    this.profiles = profiles;
    this.memory = memory;
    this.rates = rates;
  }

  /**
   * Weighs a candidate, its plan cut to what the budget pays.
   *
   * @param useful whether a plan that is cut to fewer than {@link StrategyRecommender#LEAST_STEPS}
   *     steps of an adapter is out; else it is cut as far as it goes
   */
  Assessment weigh(Candidate candidate, Situation situation, boolean useful) {
    ComputeBudget budget = request.budget();
    TrainingPlan full = plan(candidate, request.hyperparameters());
    Optional<Hyperparameters> fitted = memory.fit(lanes(full), full.adapters().size());
    Hyperparameters h = fitted.orElseGet(memory::least);
    PlanPrice price = candidate.price(price(full, h));
    double share = budget.share(price);
    long most = request.tasks().stream().mapToLong(t -> t.train().size()).max().orElse(1);
    boolean feasible = fitted.isPresent() && price.memoryBytes() <= memory.limit();
    double epochs = h.epochs();
    // below that, one example of each task is left
    while (feasible && budget.share(price) < 1 && epochs * most >= 0.5) {
      // whole examples: what the mean promises may come out a little above the budget
      epochs *= Math.min(0.999, budget.share(price));
      h = h.toBuilder().epochs(epochs).build();
      TrainingPlan cut = plan(candidate, h);
      price = candidate.price(price(cut, h));
      feasible =
          !useful
              || fewestSteps(cut, h)
                  >= Math.min(StrategyRecommender.LEAST_STEPS, fewestSteps(full, h));
    }
    feasible = feasible && budget.share(price) == 1;
    Forecast forecast = Forecast.standard();
    Estimate gain = forecast.cut(candidate.gain(situation), share);
    return new Assessment(
        candidate,
        h,
        gain,
        forecast.base(situation.features()).plus(gain),
        0,
        feasible && candidate.ruledOut(situation).isEmpty(),
        share,
        price,
        "");
  }

  private TrainingPlan plan(Candidate candidate, Hyperparameters h) {
    return candidate.strategy().plan(PlanContext.of(request.tasks(), h));
  }

  private PlanPrice price(TrainingPlan plan, Hyperparameters h) {
    double seconds = 0;
    double tokens = 0;
    for (Stage s : plan.stages()) {
      double stageTokens = 0;
      for (Map.Entry<String, Integer> e : s.examples().entrySet()) {
        stageTokens += e.getValue() * profiles.meanTokens(e.getKey());
      }
      tokens += stageTokens;
      seconds += stageTokens * rates.secondsPerToken(StepRates.Shape.of(s));
    }
    return new PlanPrice(
        plan.examples(),
        Math.round(tokens),
        plan.steps(h),
        seconds,
        memory.bytes(h, lanes(plan), plan.adapters().size()),
        memory.savedBytes(plan.adapters().size()));
  }

  /** Returns the fewest steps that an adapter of a plan gets, a last smaller one included. */
  private static long fewestSteps(TrainingPlan plan, Hyperparameters h) {
    long examples =
        plan.adapters().stream()
            .mapToLong(a -> plan.stages().stream().mapToLong(s -> s.examples(a)).sum())
            .min()
            .orElseThrow();
    return (examples + h.examplesPerStep() - 1) / h.examplesPerStep();
  }

  private static int lanes(TrainingPlan plan) {
    return plan.stages().stream().mapToInt(s -> StepRates.Shape.of(s).lanes()).max().orElse(1);
  }
}
