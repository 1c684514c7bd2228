package org.tune4j.eval.advice;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.DatedDirectory;
import org.tune4j.core.model.NotEnoughMemoryException;
import org.tune4j.core.train.TrainingException;
import org.tune4j.eval.advice.StrategyRecommender.Level;

/**
 * Trains the leader of a {@link Contest} and its likeliest rivals, one after the other, as long as
 * another training is expected to improve on what was found, and within limits.
 *
 * @param level that was asked for; if none was, experiments are made where they are short
 * @param share of the tokens of training all candidates that may go to those that do not win
 * @param seconds that trainings may take in all where no level was asked for
 * @param output directory for the runs; none for one of its own
 */
record Experimenting(
    Request request,
    Optional<Level> level,
    double share,
    double seconds,
    Optional<Path> output,
    AdviceProgress progress,
    Warnings warnings) {

  /** What was spent, and what may be. */
  private final class Purse {
    private final double mostBesideWinner;
    private long tokens;
    private long dearest;
    private double seconds;
    private double estimated;

    Purse(Contest contest) {
      mostBesideWinner = share * (double) contest.tokens();
    }

    boolean pays(Assessment a) {
      long all = tokens + a.price().tokens();
      // whichever wins, the others are what the experiment cost
      long besideWinner = all - Math.max(dearest, a.price().tokens());
      double time = seconds + a.price().seconds() * (estimated > 0 ? seconds / estimated : 1);
      return (double) besideWinner <= mostBesideWinner
          && all <= request.budget().tokens()
          && time <= request.budget().seconds()
          && (level.isPresent() || time <= Experimenting.this.seconds);
    }

    void spend(Assessment a, double measuredSeconds) {
      tokens += a.price().tokens();
      dearest = Math.max(dearest, a.price().tokens());
      seconds += measuredSeconds;
      estimated += a.price().seconds();
    }
  }

  /** Returns the level that the advice is of in the end. */
  Level run(Contest contest) throws IOException {
    if (level.isPresent() && level.get() != Level.EXPERIMENT) {
      return level.get();
    }
    List<String> unvalidated =
        request.tasks().stream().filter(t -> t.validation().isEmpty()).map(Task::name).toList();
    if (!unvalidated.isEmpty()) {
      if (level.isPresent()) {
        warnings.add(
            "No experiment could be made: %s no validation examples to compare strategies on.",
            unvalidated.size() == 1
                ? "task " + unvalidated.get(0) + " has"
                : "tasks " + String.join(", ", unvalidated) + " have");
      }
      return Level.RULES;
    }
    Purse purse = new Purse(contest);
    if (contest.isEmpty() || !worthBeginning(contest, purse)) {
      return Level.RULES;
    }
    return output.isPresent()
        ? run(contest, purse, output.get())
        : DatedDirectory.use("advice", directory -> run(contest, purse, directory));
  }

  /** Returns whether the leader has a rival, and both trainings are paid for. */
  private boolean worthBeginning(Contest contest, Purse purse) {
    Assessment leader = contest.get(contest.leader());
    if (leader.share() < 1 || !purse.pays(leader)) {
      return false;
    }
    Purse begun = new Purse(contest);
    begun.spend(leader, leader.price().seconds());
    return contest.rival(begun::pays).isPresent();
  }

  private Level run(Contest contest, Purse purse, Path directory) throws IOException {
    Trials trials = new Trials(request, directory, progress);
    progress.part(2);
    OptionalInt next = OptionalInt.of(contest.leader());
    while (next.isPresent()) {
      Assessment candidate = contest.get(next.getAsInt());
      double began = System.nanoTime();
      try {
        contest.trained(next.getAsInt(), trials.run(candidate));
      } catch (TrainingException | NotEnoughMemoryException failure) {
        warnings.add("Training by %s failed: %s", candidate.name(), failure.getMessage());
        contest.failed(next.getAsInt(), "its training failed: " + failure.getMessage());
      }
      purse.spend(candidate, (System.nanoTime() - began) / 1e9);
      if (contest.trials().isEmpty()) {
        next =
            !contest.isEmpty() && purse.pays(contest.get(contest.leader()))
                ? OptionalInt.of(contest.leader())
                : OptionalInt.empty();
      } else {
        next = contest.rival(purse::pays);
      }
    }
    return contest.trials().isEmpty() ? Level.RULES : Level.EXPERIMENT;
  }
}
