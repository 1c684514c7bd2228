package org.tune4j.eval.advice;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.NotEnoughMemoryException;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.TrainingException;

/**
 * Runs the {@link Pilot} within a share of the budget: with few examples first, and with more as
 * long as only the form of answers was learned.
 */
final class PilotRounds {
  /** The first round has its examples halved so often. */
  private static final int DOUBLINGS = 2;

  /** Its steps have as many times fewer examples. */
  private static final int SMALLER_STEPS = 4;

  private final Request request;
  private final Profiles profiles;
  private final MemoryFit memory;
  private final AdviceProgress progress;
  private final Warnings warnings;

  PilotRounds(
      Request request,
      Profiles profiles,
      MemoryFit memory,
      AdviceProgress progress,
      Warnings warnings) {
    this.request = request;
    this.profiles = profiles;
    this.memory = memory;
    this.progress = progress;
    this.warnings = warnings;
  }

  /** Returns what the last round showed that was finished; nothing, with a warning, if none was. */
  Optional<Pilot> run() throws IOException {
    ComputeBudget budget = request.budget();
    int wanted = request.effort().pilotExamples();
    int examples = wanted;
    double meanTokens = profiles.all().stream().mapToDouble(TaskProfile::meanTokens).sum();
    if (budget.limitsTokens()) {
      double affordable =
          StrategyRecommender.PILOT_SHARE * budget.tokens() / (2 * 3 * meanTokens); // all rounds
      examples = (int) Math.min(examples, affordable);
    }
    int least = 2 * request.hyperparameters().examplesPerStep();
    if (examples < Math.min(wanted, least)) {
      warnings.add(
          "There was no pilot: a %.0f %% share of the token budget is not enough for %d examples of each task.",
          100 * StrategyRecommender.PILOT_SHARE, least);
      return Optional.empty();
    }
    for (Task t : profiles.usable().values()) {
      if (Sample.of(t, examples, request.effort().validationExamples(), request.seed())
          .validation()
          .isEmpty()) {
        warnings.add(
            "There was no pilot: task %s has no validation examples, and too few to hold any out.",
            t.name());
        return Optional.empty();
      }
    }
    Optional<Hyperparameters> fitted = memory.fit(request.tasks().size(), request.tasks().size());
    if (fitted.isEmpty()) {
      warnings.add("There was no pilot: an adapter each, side by side, does not fit memory.");
      return Optional.empty();
    }
    double seconds = request.effort().pilotSeconds();
    if (budget.limitsSeconds()) {
      seconds = Math.min(seconds, StrategyRecommender.PILOT_SHARE * budget.seconds());
    }
    long deadline = System.nanoTime() + (long) (seconds * 1e9);
    // where only the form of answers was learned, as many examples again, a few times
    Optional<Pilot> measured = Optional.empty();
    int round = Math.max(Math.min(examples, least), examples >> DOUBLINGS);
    boolean cut;
    while (true) {
      Optional<Pilot> next = round(round, fitted.get(), deadline);
      measured = next.isPresent() ? next : measured;
      cut = next.isEmpty();
      if (cut || next.get().maturity() >= Explanation.MATURE || round >= examples) {
        break;
      }
      round = Math.min(2 * round, examples);
    }
    if (measured.isEmpty()) {
      warnings.add("There was no pilot: it was not done in %.1f s, or failed.", seconds);
    } else if (cut) {
      warnings.add(
          "A pilot of %d examples of each task was not done in %.1f s, or failed; the one before it counts.",
          round, seconds);
    }
    return measured;
  }

  private Optional<Pilot> round(int examples, Hyperparameters h, long deadline) throws IOException {
    List<Task> samples = new ArrayList<>();
    for (Task t : profiles.usable().values()) {
      samples.add(Sample.of(t, examples, request.effort().validationExamples(), request.seed()));
    }
    try {
      Optional<Pilot> measured =
          Pilot.run(
              request.model(),
              samples,
              request.lora(),
              smallerSteps(h),
              new StepRates(request.model(), request.lora()),
              () -> progress.cancelled() || System.nanoTime() > deadline,
              progress);
      progress.check();
      return measured;
    } catch (TrainingException | NotEnoughMemoryException e) {
      warnings.add("The pilot failed: %s.", e.getMessage());
      return Optional.empty();
    }
  }

  /** Smaller steps get further with the same examples. */
  private Hyperparameters smallerSteps(Hyperparameters h) {
    return request.probing(h).toBuilder()
        .examplesPerStep(Math.max(1, h.examplesPerStep() / SMALLER_STEPS))
        .build();
  }
}
