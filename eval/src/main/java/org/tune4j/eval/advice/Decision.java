package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.tune4j.core.io.FileNames;
import org.tune4j.eval.advice.StrategyRecommender.Level;
import org.tune4j.strategies.TrainingStrategy;

/** Ranks candidates, and says how clear the lead of the first is. */
final class Decision {
  /** Plans that can be run by their score; of others, those first that take least. */
  private static final Comparator<Assessment> BEST_FIRST =
      Comparator.comparingDouble(Assessment::score)
          .reversed()
          .thenComparingLong(a -> a.feasible() ? 0 : a.price().memoryBytes())
          .thenComparingLong(a -> a.feasible() ? 0 : a.price().tokens());

  /** Strategies to try are added until one of them is the best with this probability. */
  private static final double TRY_UNTIL = 0.9;

  /** More are not worth trying. */
  private static final int TRY_MOST = 3;

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
   * @param experimenting trains some of them, if that is wanted
   */
  Recommendation among(
      List<Candidate> candidates, Set<String> withoutGradient, Experimenting experimenting)
      throws IOException {
    List<Assessment> weighed = weigh(candidates);
    Contest contest =
        new Contest(weighed.stream().filter(Assessment::feasible).toList(), Forecast.standard());
    Level level = experimenting.run(contest);
    List<Assessment> all = new ArrayList<>(contest.rated(new Random(request.seed())));
    weighed.stream().filter(a -> !a.feasible()).forEach(all::add);
    Assessment best = all.get(0);
    List<Assessment> feasible = all.stream().filter(Assessment::feasible).toList();
    double confidence = best.probability();
    ImmutableList<TrainingStrategy> worthTrying =
        level == Level.EXPERIMENT ? ImmutableList.of() : worthTrying(feasible);
    Explanation words =
        new Explanation(
            situation,
            contest.trials(),
            request.hyperparameters(),
            request.budget(),
            memory.limit());
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
        level,
        contest.trials(),
        () ->
            contest.trials().stream()
                .filter(t -> t.name().equals(best.name()))
                .findFirst()
                .map(Trial::output)
                .or(() -> experimenting.output().map(o -> o.resolve(FileNames.of(best.name()))))
                .map(output -> request.tuner(best).output(output).resume())
                .orElseGet(() -> request.tuner(best)));
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

  /**
   * The recommended plan and the likeliest others, until the best is thought to be among them, as
   * far as the budget pays for all of them.
   */
  private ImmutableList<TrainingStrategy> worthTrying(List<Assessment> feasible) {
    if (feasible.isEmpty() || feasible.get(0).probability() >= StrategyRecommender.TRY_BELOW) {
      return ImmutableList.of();
    }
    List<Assessment> likely = new ArrayList<>(feasible.subList(1, feasible.size()));
    likely.sort(Comparator.comparingDouble(a -> -a.probability()));
    likely.add(0, feasible.get(0));
    List<TrainingStrategy> tried = new ArrayList<>();
    double covered = 0;
    long tokens = 0;
    double seconds = 0;
    for (Assessment a : likely) {
      tokens += a.price().tokens();
      seconds += a.price().seconds();
      if (a.share() < 1
          || tokens > request.budget().tokens()
          || seconds > request.budget().seconds()
          || covered >= TRY_UNTIL
          || tried.size() == TRY_MOST) {
        break;
      }
      covered += a.probability();
      tried.add(a.strategy());
    }
    return tried.size() > 1 ? ImmutableList.copyOf(tried) : ImmutableList.of();
  }
}
