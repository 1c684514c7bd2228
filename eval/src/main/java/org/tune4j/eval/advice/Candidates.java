package org.tune4j.eval.advice;

import static org.tune4j.eval.advice.Explanation.say;

import com.google.common.collect.ImmutableList;
import java.util.List;
import java.util.Optional;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.Sequential;
import org.tune4j.strategies.TrainingStrategy;

/** The candidates that are always weighed. What each is thought to score is a {@link Forecast}. */
public final class Candidates {
  /**
   * Sizes of the largest and the smallest task that differ by more are mixed with a temperature.
   */
  public static final double IMBALANCE = 4;

  /** The temperature that Raffel et al. (2020, section 3.5.2) found best. */
  public static final double TEMPERATURE = 2;

  /**
   * Share of replayed examples where tasks are trained in turn: a fifth to a tenth keeps most of
   * what was learned (Rolnick et al. 2019; Scialom et al. 2022 use 1 % to 10 % of the old data).
   */
  public static final double REPLAY = 0.2;

  /** Less forgetting is not told apart from nothing. */
  private static final double FORGETTING = 0.01;

  private Candidates() {}

  /**
   * Returns all of them; for a single task the one adapter that each comes to.
   *
   * @param order in which tasks are trained where they are trained in turn
   * @param imbalance {@link Situation#imbalance()}
   */
  public static ImmutableList<Candidate> all(List<String> order, double imbalance) {
    if (order.size() == 1) {
      return ImmutableList.of(independent());
    }
    MultiTask mixture =
        imbalance > IMBALANCE ? MultiTask.temperature(TEMPERATURE) : MultiTask.proportional();
    return ImmutableList.of(
        independent(),
        multiTask(mixture),
        specialised(mixture),
        replay(order),
        stacked(order),
        sequential(order));
  }

  /** Returns an adapter for each task, side by side. */
  public static Candidate independent() {
    return new Apart(Independent.perTask());
  }

  /** Returns one adapter, all tasks mixed. */
  public static Candidate multiTask(MultiTask mixture) {
    return new Mixed(mixture);
  }

  /** Returns one adapter, all tasks mixed, and a small one for each task on top where it gains. */
  public static Candidate specialised(MultiTask mixture) {
    return new OnTop(mixture.thenSpecialise());
  }

  /** Returns one adapter, task after task, with examples of earlier tasks mixed in. */
  public static Candidate replay(List<String> order) {
    return new Replay(Sequential.inOrder(order).replay(REPLAY));
  }

  /** Returns task after task, a new adapter on the frozen earlier ones. */
  public static Candidate stacked(List<String> order) {
    return new Stacked(Sequential.inOrder(order).stacked());
  }

  /** Returns one adapter, task after task. */
  public static Candidate sequential(List<String> order) {
    return new InTurn(Sequential.inOrder(order));
  }

  /** A candidate of this library. */
  private interface BuiltIn extends Candidate {
    @Override
    default Estimate gain(Situation s) {
      return Forecast.standard().gain(name(), s.features());
    }

    /** Returns what speaks for one that leads, if nothing better can be said. */
    default String leads(Situation s) {
      return "the best that is expected within the limits; " + s.leaning();
    }

    default String lower(Assessment own, Assessment best) {
      double points = 100 * (best.score() - own.score());
      return points > 100 * Contest.INDIFFERENT
          ? say("expected to score %.1f points of 100 less than %s", points, best.name())
          : say("not expected to be measurably better than %s, and dearer", best.name());
    }

    @Override
    default String against(Situation s, Assessment own, Assessment best) {
      return lower(own, best);
    }
  }

  private record Mixed(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return true;
    }

    @Override
    public Estimate gain(Situation s) {
      return Estimate.of(0, 0); // what others are compared with
    }

    @Override
    public Optional<String> ruledOut(Situation s) {
      return s.arriving()
          ? Optional.of("would have to be trained again on all tasks at every arrival")
          : Optional.empty();
    }

    @Override
    public String inFavour(Situation s) {
      return s.sharing() ? s.leaning() : leads(s);
    }

    @Override
    public ImmutableList<String> reasons(Situation s) {
      return s.imbalance() > IMBALANCE
          ? ImmutableList.of(
              say(
                  "The largest task has %.1f times the examples of the smallest: a mixing temperature of %s keeps the small ones from drowning.",
                  s.imbalance(), Explanation.number(TEMPERATURE)))
          : ImmutableList.of();
    }
  }

  private record OnTop(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return false; // where tasks contradict one another, their own adapters tell them apart
    }

    @Override
    public Optional<String> ruledOut(Situation s) {
      if (s.arriving()) {
        return Optional.of("would have to be trained again on all tasks at every arrival");
      }
      return s.profiles().stream()
          .filter(p -> p.validationExamples() < 2)
          .findFirst()
          .map(
              p ->
                  say(
                      "keeps a task's own adapter only if it gains on validation examples, of which %s has %s",
                      p.name(), p.validationExamples() == 0 ? "none" : "only one"));
    }

    @Override
    public String inFavour(Situation s) {
      return "what tasks have in common is learned by one adapter, and what is their own by small ones on top; "
          + s.leaning();
    }

    @Override
    public ImmutableList<String> reasons(Situation s) {
      return ImmutableList.of(
          "It takes half as many tokens again as one adapter on all tasks. Unless tasks contradict one another, as many more epochs of that gained more in most scenarios that were measured: to compare at equal tokens, ask for it.");
    }
  }

  private record Apart(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return false;
    }

    @Override
    public String inFavour(Situation s) {
      if (s.profiles().size() == 1) {
        return "one task, one adapter";
      }
      return s.apart() ? s.leaning() : leads(s);
    }
  }

  private record Replay(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return true;
    }

    @Override
    public String inFavour(Situation s) {
      return "one adapter learns from all tasks, and replay keeps the earlier ones; " + s.leaning();
    }
  }

  private record Stacked(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return false;
    }

    @Override
    public String inFavour(Situation s) {
      return "later tasks build on earlier ones, whose adapters stay untouched; " + s.leaning();
    }
  }

  private record InTurn(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return false;
    }

    @Override
    public String inFavour(Situation s) {
      return leads(s);
    }

    @Override
    public String against(Situation s, Assessment own, Assessment best) {
      return s.forgetting() >= FORGETTING
          ? say(
              "forgets: in the pilot it ended with a validation loss %.0f %% above an adapter each",
              100 * s.forgetting())
          : lower(own, best);
    }
  }
}
