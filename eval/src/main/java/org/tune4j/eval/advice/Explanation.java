package org.tune4j.eval.advice;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.strategies.TrainingStrategy;

/**
 * Puts a decision into words. What it says follows from the plan that is recommended and from the
 * sign of the lean: it never claims that evidence leans to a side that it does not lean to, nor
 * warns of what the recommended plan does not do.
 */
final class Explanation {
  /** Evidence that leans less is said to lean to neither side. */
  private static final double INDIFFERENT = 0.005;

  /** Less is not told apart from nothing. */
  private static final double FORGETTING = 0.01;

  private static final double LOW_RELIABILITY = 0.3;
  private static final double CONFLICT = -0.2;

  /** A pilot with less is said to have seen the form of answers only. */
  static final double MATURE = 0.25;

  private final int tasks;
  private final boolean arriving;
  private final Hyperparameters asked;
  private final ComputeBudget budget;
  private final long memoryLimit;
  private final double lean;
  private final Optional<Pilot> pilot;

  /**
   * Takes what the decision rests on.
   *
   * @param asked hyperparameters of the caller's
   * @param memoryLimit bytes outside the heap that there are
   */
  Explanation(
      int tasks,
      boolean arriving,
      Hyperparameters asked,
      ComputeBudget budget,
      long memoryLimit,
      double lean,
      Optional<Pilot> pilot) {
    this.tasks = tasks;
    this.arriving = arriving;
    this.asked = asked;
    this.budget = budget;
    this.memoryLimit = memoryLimit;
    this.lean = lean;
    this.pilot = pilot;
  }

  // ---- verdicts

  private boolean sharing() {
    return lean > INDIFFERENT;
  }

  private boolean apart() {
    return lean < -INDIFFERENT;
  }

  /** Returns what the evidence as a whole says, to be used in a sentence. */
  private String leaning() {
    return sharing()
        ? say("the evidence leans to sharing an adapter (%+.2f)", lean)
        : apart()
            ? say("the evidence leans to task-specific training (%+.2f)", lean)
            : "the evidence leans to neither side";
  }

  /** Returns what speaks for the plan that is recommended. */
  String inFavour(Assessment best) {
    if (!best.feasible()) {
      return "nothing fits the limits; this takes the least";
    }
    if (tasks == 1) {
      return "one task, one adapter";
    }
    String limits = "the best of what fits the limits; " + leaning();
    return switch (best.kind()) {
      case MULTI_TASK -> sharing() ? leaning() : limits;
      case INDEPENDENT ->
          apart()
              ? leaning()
              : !sharing()
                  ? leaning() + ", and adapters of their own cannot harm one another"
                  : arriving
                      ? say(
                          "the tasks have too little in common to build on one another as they arrive (%+.2f)",
                          lean)
                      : limits;
      case SEQUENTIAL_REPLAY ->
          sharing()
              ? say(
                  "the tasks have enough in common to share an adapter (%+.2f), and replay keeps the earlier ones",
                  lean)
              : limits;
      case SEQUENTIAL_STACKED ->
          sharing()
              ? say(
                  "later tasks can build on earlier ones (%+.2f), whose adapters stay untouched",
                  lean)
              : limits;
      case SEQUENTIAL -> limits;
    };
  }

  /** Returns what speaks against another plan. */
  String against(Assessment a, Assessment best) {
    if (!a.feasible()) {
      return a.price().memoryBytes() > memoryLimit
          ? say(
              "needs %s of memory; there are %s",
              PlanPrice.bytes(a.price().memoryBytes()), PlanPrice.bytes(memoryLimit))
          : say(
              "the budget pays %.1f %% of it, less than %d steps of each adapter",
              100 * a.share(), StrategyRecommender.LEAST_STEPS);
    }
    String cut =
        a.share() < 1 && a.share() < best.share()
            ? say("; the budget pays %.0f %% of it", 100 * a.share())
            : "";
    String reason =
        switch (a.kind()) {
          case MULTI_TASK ->
              arriving
                  ? "would have to be trained again on all tasks at every arrival"
                  : sharing()
                      ? leaning() + ", but cut short, a common adapter is unfinished for every task"
                      : leaning();
          case INDEPENDENT ->
              best.kind() == PlanKind.SEQUENTIAL_STACKED
                  ? "adapters of their own cannot build on one another"
                  : apart() ? leaning() + ", but it gets less done within the limits" : leaning();
          case SEQUENTIAL ->
              pilot.isPresent() && pilot.get().forgetting() >= FORGETTING
                  ? say(
                      "forgets: in the pilot it ended with a validation loss %.0f %% above an adapter each",
                      100 * pilot.get().forgetting())
                  : "earlier tasks are forgotten while later ones are learned, the more the longer it trains";
          case SEQUENTIAL_REPLAY ->
              arriving
                  ? say("sharing one adapter costs more than it gives here (%+.2f)", lean)
                  : "only approximates multi-task training; made for tasks that arrive over time";
          case SEQUENTIAL_STACKED ->
              arriving
                  ? say(
                      "stacked adapters are slower, and there is little to build on or a better way to share (%+.2f)",
                      lean)
                  : "slower to train and to serve than an adapter each; made for tasks that arrive over time";
        };
    return reason + cut;
  }

  // ---- warnings

  /**
   * Returns what to look after with the plan that is recommended.
   *
   * @param withoutGradient tasks whose gradient is zero or not finite
   */
  List<String> warnings(TaskSimilarity similarity, Set<String> withoutGradient, Assessment best) {
    List<String> warnings = new ArrayList<>();
    if (tasks > 1) {
      unreliable(similarity, withoutGradient, warnings);
      pilot.ifPresent(p -> pilotWarnings(p, best, warnings));
    }
    Hyperparameters h = best.hyperparameters();
    if (best.price().memoryBytes() > memoryLimit) {
      warnings.add(
          say(
              "It needs about %s of memory, and there are %s; training may be refused.",
              PlanPrice.bytes(best.price().memoryBytes()), PlanPrice.bytes(memoryLimit)));
    }
    if (h.tokensPerPass() < asked.tokensPerPass()) {
      warnings.add(
          say(
              "Passes are cut to %d tokens to fit memory: slower, with the same result.",
              h.tokensPerPass()));
    }
    if (h.activationCheckpointing() && !asked.activationCheckpointing()) {
      warnings.add(
          "Activations are computed twice to fit memory: about a third slower, with the same result.");
    }
    return warnings;
  }

  private static void unreliable(
      TaskSimilarity similarity, Set<String> withoutGradient, List<String> warnings) {
    similarity
        .gradientReliability()
        .forEach(
            (task, r) -> {
              if (withoutGradient.contains(task)) {
                warnings.add(
                    say(
                        "The gradient of task %s is zero or no number: how similar it is to others rests on hidden states and vocabulary.",
                        task));
              } else if (r < LOW_RELIABILITY) {
                warnings.add(
                    say(
                        "Gradients of task %s agree little between halves of its sample (%.2f): its similarity to others is uncertain; more examples would help.",
                        task, r));
              }
            });
  }

  private void pilotWarnings(Pilot p, Assessment best, List<String> warnings) {
    if (p.maturity() < MATURE) {
      warnings.add(
          say(
              "The pilot hardly got beyond the form of answers (maturity %.2f of 1): what it shows is how training begins, and confidence is limited; more pilot examples would help.",
              p.maturity()));
    }
    if (!best.kind().joint()) {
      return; // what follows is of tasks that share an adapter
    }
    if (tasks > 2) {
      SimilarityMatrix.Pair least = p.agreement().least();
      if (least.similarity() < CONFLICT) {
        warnings.add(
            say(
                "Tasks %s and %s still pulled the common adapter apart at the end of the pilot (cosine of gradients %.2f): of all tasks, look at the scores of these two after training.",
                least.first(), least.second(), least.similarity()));
      }
    }
    for (String t : p.tasks()) {
      double gain = p.jointGain(t);
      if (gain < -Scorecard.GAIN_RANGE) {
        warnings.add(
            say(
                "Task %s left the joint pilot with a validation loss %.0f %% higher than with an adapter of its own: look at its score after training.",
                t, -100 * gain));
      }
    }
  }

  // ---- reasons

  /**
   * Returns why, the weightiest first.
   *
   * @param imbalance examples of the largest task over those of the smallest
   */
  List<String> reasons(
      Scorecard scorecard,
      Assessment best,
      boolean only,
      double confidence,
      List<TrainingStrategy> worthTrying,
      double imbalance) {
    List<String> reasons = new ArrayList<>();
    if (tasks == 1) {
      reasons.add("There is one task: every strategy trains one adapter on it.");
    }
    if (arriving && tasks > 1) {
      reasons.add(
          "Tasks arrive over time: training all of them together would start again at every arrival.");
    }
    scorecard.factors().stream()
        .sorted(
            Comparator.comparingDouble(
                (Scorecard.Factor f) -> -f.weight() * Math.abs(f.evidence())))
        .forEach(f -> reasons.add(f.sentence() + " " + consequence(f)));
    if (best.share() < 1) {
      reasons.add(
          say(
              "The budget (%s) pays %s %% of the %s epochs asked for; the plan is cut to %s epochs.",
              budget,
              few(100 * best.share()),
              number(asked.epochs()),
              few(best.hyperparameters().epochs())));
    }
    if (best.kind() == PlanKind.MULTI_TASK && imbalance > StrategyRecommender.IMBALANCE) {
      reasons.add(
          say(
              "The largest task has %.1f times the examples of the smallest: a mixing temperature of %s keeps the small ones from drowning.",
              imbalance, number(StrategyRecommender.TEMPERATURE)));
    }
    if (only && tasks > 1) {
      reasons.add("No other plan fits the limits.");
    } else if (!worthTrying.isEmpty()) {
      reasons.add(
          say(
              "The lead over the next plan is small (confidence %.2f), and the budget pays for trying: compare %s in an experiment.",
              confidence,
              String.join(" and ", worthTrying.stream().map(TrainingStrategy::name).toList())));
    } else if (confidence < StrategyRecommender.TRY_BELOW) {
      reasons.add(
          say(
              "The lead over the next plan is small (confidence %.2f), but the budget does not pay for trying more than one.",
              confidence));
    }
    return reasons;
  }

  private String consequence(Scorecard.Factor f) {
    return switch (f.favours()) {
      case MULTI_TASK -> "That speaks for one adapter on all tasks.";
      case TASK_SPECIFIC -> "That speaks for task-specific training.";
      case NEITHER ->
          pilot.isPresent()
                  && pilot.get().maturity() < MATURE
                  && f.value() > 0
                  && (f.name().equals(Scorecard.JOINT_GAIN) || f.name().equals(Scorecard.AGREEMENT))
              ? "That decides nothing, since the pilot did not get beyond the form of answers."
              : "That decides nothing.";
    };
  }

  static String say(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  private static String number(double value) {
    return value == Math.rint(value) ? Long.toString((long) value) : Double.toString(value);
  }

  /** Two decimal places, more where they would show nothing. */
  private static String few(double value) {
    return value >= 0.1 ? say("%.2f", value) : say("%.2g", value);
  }
}
