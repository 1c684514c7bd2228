package org.tune4j.eval.advice;

import com.google.common.base.Ascii;
import com.google.common.base.CharMatcher;
import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.strategies.TrainingStrategy;

/**
 * Puts a decision into words; those on a plan itself are its {@link Candidate}'s. What it says
 * follows from the plan that is recommended and from the sign of the lean: it never claims that
 * evidence leans to a side that it does not lean to, nor warns of what the recommended plan does
 * not do.
 */
final class Explanation {
  private static final double LOW_RELIABILITY = 0.3;
  private static final double CONFLICT = -0.2;

  /** Share of its loss by which a task's joint training must be worse to be warned of. */
  private static final double WORSE = 0.1;

  /** A pilot with less is said to have seen the form of answers only. */
  static final double MATURE = 0.25;

  private final Situation situation;
  private final ImmutableList<Trial> trials;
  private final Optional<Pilot> pilot;
  private final int tasks;
  private final Hyperparameters asked;
  private final ComputeBudget budget;
  private final long memoryLimit;

  /**
   * Takes what the decision rests on.
   *
   * @param trials of candidates, in the order in which they were trained
   * @param asked hyperparameters of the caller's
   * @param memoryLimit bytes outside the heap that there are
   */
  Explanation(
      Situation situation,
      ImmutableList<Trial> trials,
      Hyperparameters asked,
      ComputeBudget budget,
      long memoryLimit) {
    this.situation = situation;
    this.trials = trials;
    this.pilot = situation.pilot();
    this.tasks = situation.profiles().size();
    this.asked = asked;
    this.budget = budget;
    this.memoryLimit = memoryLimit;
  }

  // ---- verdicts

  /** Returns what speaks for the plan that is recommended. */
  String inFavour(Assessment best) {
    if (!best.feasible()) {
      return "nothing fits the limits; this takes the least";
    }
    return trials.isEmpty()
        ? best.candidate().inFavour(situation)
        : "trained, and the best of those that were";
  }

  /** Returns what speaks against another plan. */
  String against(Assessment a, Assessment best) {
    Optional<String> ruledOut = a.candidate().ruledOut(situation);
    if (ruledOut.isPresent()) {
      return ruledOut.get();
    }
    if (!a.verdict().isEmpty()) {
      return a.verdict(); // why it failed
    }
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
    return a.candidate().against(situation, a, best) + cut;
  }

  // ---- warnings

  /**
   * Returns what to look after with the plan that is recommended.
   *
   * @param withoutGradient tasks whose gradient is zero or not finite
   */
  List<String> warnings(Set<String> withoutGradient, Assessment best) {
    List<String> warnings = new ArrayList<>();
    conflicts(best, warnings);
    if (tasks > 1) {
      unreliable(situation.similarity(), withoutGradient, warnings);
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

  private void conflicts(Assessment best, List<String> warnings) {
    for (AnswerConflicts.Within w : situation.conflicts().within()) {
      warnings.add(
          say(
              "Task %s contradicts itself: %.1f %% of its examples have another answer than is most frequent for their prompt, such as '%s'. No training can learn them, and none should try.",
              w.task(), 100 * w.share(), shortened(w.prompt())));
    }
    for (AnswerConflicts.Between b : situation.conflicts().between()) {
      if (best.candidate().joint()) {
        warnings.add(
            say(
                "Tasks %s and %s answer the same prompts differently, such as '%s' with '%s' and '%s': sharing an adapter, they lose at least %.1f points of 100 of their mean score.",
                b.first(),
                b.second(),
                shortened(b.prompt()),
                shortened(b.firstAnswer()),
                shortened(b.secondAnswer()),
                100 * b.lost()));
      }
    }
  }

  private static String shortened(String text) {
    return Ascii.truncate(CharMatcher.whitespace().trimAndCollapseFrom(text, ' '), 60, "…");
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
              "The pilot hardly got beyond the form of answers (maturity %.2f of 1): what it shows is how training begins; more pilot examples would help.",
              p.maturity()));
    }
    if (!best.candidate().joint()) {
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
      if (gain < -WORSE) {
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
   * @param weighed how many plans were
   * @param feasible how many of them fit the limits
   */
  List<String> reasons(
      Assessment best,
      int weighed,
      int feasible,
      double confidence,
      List<TrainingStrategy> worthTrying) {
    List<String> reasons = new ArrayList<>();
    trials(best).ifPresent(reasons::add);
    if (weighed == 1) {
      reasons.add("There is one task: every strategy trains one adapter on it.");
    }
    if (situation.arriving() && tasks > 1) {
      reasons.add(
          "Tasks arrive over time: training all of them together would start again at every arrival.");
    }
    situation.scorecard().factors().stream()
        .filter(f -> f.favours() != Scorecard.Side.NEITHER)
        .forEach(f -> reasons.add(f.sentence() + " " + consequence(f)));
    if (weighed > 1 && reasons.isEmpty()) {
      reasons.add("Nothing that is known of the tasks speaks for one adapter or for several.");
    }
    if (best.share() < 1) {
      reasons.add(
          say(
              "The budget (%s) pays %s %% of the %s epochs asked for; the plan is cut to %s epochs.",
              budget,
              few(100 * best.share()),
              number(asked.epochs()),
              few(best.hyperparameters().epochs())));
    }
    reasons.addAll(best.candidate().reasons(situation));
    if (feasible == 1 && weighed > 1) {
      reasons.add("No other plan fits the limits.");
    } else if (!worthTrying.isEmpty()) {
      reasons.add(
          say(
              "It is the best with a probability of %.2f only, and the budget pays for trying: compare %s in an experiment.",
              confidence,
              String.join(" and ", worthTrying.stream().map(TrainingStrategy::name).toList())));
    } else if (confidence < StrategyRecommender.TRY_BELOW && !trials.isEmpty()) {
      reasons.add(
          say(
              "It is the best with a probability of %.2f only; training others as well was not expected to gain enough for its price.",
              confidence));
    } else if (confidence < StrategyRecommender.TRY_BELOW) {
      reasons.add(
          say(
              "It is the best with a probability of %.2f only, but the budget does not pay for trying more than one.",
              confidence));
    }
    return reasons;
  }

  /** Returns what the candidates scored that were trained. */
  private Optional<String> trials(Assessment best) {
    if (trials.size() < 2) {
      return Optional.empty();
    }
    Trial winner = trial(best.name());
    List<String> others = new ArrayList<>();
    for (Trial t : trials) {
      if (!t.name().equals(winner.name())) {
        Estimate d = winner.difference(t);
        others.add(
            say(
                "%s %.1f (%+.1f with a standard error of %.1f)",
                t.name(), 100 * t.score(), 100 * d.mean(), 100 * d.deviation()));
      }
    }
    String chosen =
        winner.score() < trials.stream().mapToDouble(Trial::score).max().orElseThrow()
            ? " That does not show a difference worth its price, given what was expected before."
            : "";
    return Optional.of(
        say(
            "Trained to the end, %s scored %.1f points of 100 on the validation examples, %s.%s",
            winner.name(), 100 * winner.score(), String.join(", ", others), chosen));
  }

  private Trial trial(String name) {
    return trials.stream().filter(t -> t.name().equals(name)).findFirst().orElseThrow();
  }

  private static String consequence(Scorecard.Factor f) {
    return say(
        "That speaks for %s (%.1f points).",
        f.favours() == Scorecard.Side.MULTI_TASK
            ? "one adapter on all tasks"
            : "task-specific training",
        Math.abs(f.points()));
  }

  static String say(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  static String number(double value) {
    return value == Math.rint(value) ? Long.toString((long) value) : Double.toString(value);
  }

  /** Two decimal places, more where they would show nothing. */
  private static String few(double value) {
    return value >= 0.1 ? say("%.2f", value) : say("%.2g", value);
  }
}
