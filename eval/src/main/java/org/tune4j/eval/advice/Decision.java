package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.TrainingStrategy;

/** Ranks candidates, and says how clear the lead of the first is. */
final class Decision {
  /** Plans that can be run by their score; of others, those first that take least. */
  private static final Comparator<Assessment> BEST_FIRST =
      Comparator.comparingDouble(Assessment::score)
          .reversed()
          .thenComparingLong(a -> a.feasible() ? 0 : a.price().memoryBytes())
          .thenComparingLong(a -> a.feasible() ? 0 : a.price().tokens());

  private final Request request;
  private final Pricing pricing;
  private final MemoryFit memory;
  private final Situation situation;
  private final Warnings warnings;

  Decision(
      Request request, Pricing pricing, MemoryFit memory, Situation situation, Warnings warnings) {
    this.request = request;
    this.pricing = pricing;
    this.memory = memory;
    this.situation = situation;
    this.warnings = warnings;
  }

  /**
   * Decides.
   *
   * @param withoutGradient tasks whose gradient is zero or not finite
   */
  Recommendation among(List<Candidate> candidates, Set<String> withoutGradient) {
    List<Assessment> all = weigh(candidates);
    Assessment best = all.get(0);
    List<Assessment> feasible = all.stream().filter(Assessment::feasible).toList();
    double confidence =
        switch (feasible.size()) {
          case 0 -> confidence(0);
          case 1 -> 1;
          default -> confidence(best.score() - feasible.get(1).score());
        };
    if (request.several()) {
      confidence = Math.min(confidence, mostConfidence(situation.pilot()));
    }
    ImmutableList<TrainingStrategy> worthTrying = worthTrying(feasible);
    Explanation words =
        new Explanation(situation, request.hyperparameters(), request.budget(), memory.limit());
    warnings.addAll(words.warnings(withoutGradient, best));
    List<Assessment> others = new ArrayList<>();
    for (Assessment a : all.subList(1, all.size())) {
      others.add(a.withVerdict(words.against(a, best)));
    }
    return new Recommendation(
        best.withVerdict(words.inFavour(best)),
        confidence,
        ImmutableList.copyOf(
            words.reasons(best, all.size(), feasible.size(), confidence, worthTrying)),
        ImmutableList.copyOf(others),
        warnings.all(),
        worthTrying,
        situation.scorecard(),
        situation.profiles(),
        situation.similarity(),
        situation.pilot(),
        request.budget(),
        () ->
            FineTuner.of(request.model())
                .tasks(request.tasks())
                .lora(request.lora())
                .strategy(best.strategy())
                .hyperparameters(best.hyperparameters()));
  }

  /**
   * Returns all candidates, best first. If none is of use within the limits, those that do what
   * they can within them come first, and then those that exceed them least.
   */
  private List<Assessment> weigh(List<Candidate> candidates) {
    List<Assessment> all = weigh(candidates, true);
    if (all.stream().noneMatch(Assessment::feasible)) {
      all = weigh(candidates, false);
      Assessment best = all.get(0);
      warnings.add(
          "The limits (%s) are too small for any plan to be of use: %s, cut as far as it goes, takes %s; at least %d optimizer steps of each adapter are wanted.",
          request.budget(), best.strategy().name(), best.price(), StrategyRecommender.LEAST_STEPS);
    }
    return all;
  }

  private List<Assessment> weigh(List<Candidate> candidates, boolean useful) {
    return candidates.stream()
        .map(c -> pricing.weigh(c, situation, useful))
        .sorted(BEST_FIRST)
        .toList();
  }

  /** The plans that the lead does not settle against, as far as the budget pays for all of them. */
  private ImmutableList<TrainingStrategy> worthTrying(List<Assessment> feasible) {
    List<TrainingStrategy> tried = new ArrayList<>();
    long tokens = 0;
    double seconds = 0;
    double top = feasible.isEmpty() ? 0 : feasible.get(0).score();
    for (Assessment a : feasible) {
      if (a.share() < 1
          || (!tried.isEmpty() && confidence(top - a.score()) >= StrategyRecommender.TRY_BELOW)) {
        break;
      }
      tokens += a.price().tokens();
      seconds += a.price().seconds();
      if (tokens > request.budget().tokens() || seconds > request.budget().seconds()) {
        break;
      }
      tried.add(a.strategy());
    }
    return tried.size() > 1 ? ImmutableList.copyOf(tried) : ImmutableList.of();
  }

  /** Returns the most confidence that what was tried allows. */
  static double mostConfidence(Optional<Pilot> pilot) {
    double untried = StrategyRecommender.UNTRIED_CONFIDENCE;
    return untried + (1 - untried) * pilot.map(Pilot::maturity).orElse(0.0);
  }

  /** Returns the confidence that a lead in score gives. */
  static double confidence(double lead) {
    return 1 / (1 + Math.exp(-StrategyRecommender.CONFIDENCE_SLOPE * lead));
  }
}
