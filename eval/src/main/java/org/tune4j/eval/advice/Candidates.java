package org.tune4j.eval.advice;

import static org.tune4j.eval.advice.Explanation.say;

import com.google.common.collect.ImmutableList;
import java.util.List;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.Sequential;
import org.tune4j.strategies.TrainingStrategy;

/**
 * The candidates that are always weighed, with their ratings.
 *
 * <p>With the lean {@code l} as evidence for sharing one adapter, multi-task training is rated
 * {@code l} and independent training {@code -l}. Training in turn is rated lower where all data is
 * there at once, since it can only approximate one of these two; it is what is left if tasks arrive
 * over time. A plan that the budget cuts loses by {@link Candidate#rating(Situation, double)}: so a
 * tighter budget never moves the choice to a plan that takes more of what was tightened (the plan
 * chosen before either still costs the same, while others only lost, or it used up the greater
 * budget).
 */
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

  /**
   * What replay loses to training on all at once: earlier tasks are seen again at a small share
   * only, and late tasks late.
   */
  public static final double REPLAY_GAP = 0.4;

  /** What a stack loses to separate adapters in being harder to serve and slower to train. */
  public static final double STACKED_GAP = 0.1;

  /** How much a stack gains by what tasks have in common: later tasks start from earlier ones. */
  public static final double STACKED_TRANSFER = 0.3;

  /**
   * What multi-task training loses if tasks arrive over time: it is to be done again on all data at
   * every arrival.
   */
  public static final double ARRIVAL = 1;

  /**
   * What plain sequential training loses at least by forgetting; a pilot may show more. On four
   * dictionary tasks it lost a third of the accuracy of either alternative.
   */
  public static final double LEAST_FORGETTING = 0.5;

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
    return ImmutableList.of(
        independent(),
        multiTask(
            imbalance > IMBALANCE ? MultiTask.temperature(TEMPERATURE) : MultiTask.proportional()),
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

  /** A candidate of this library: one outdone by a user's says so where its own words fail. */
  private interface BuiltIn extends Candidate {
    default String limits(Situation s) {
      return "the best of what fits the limits; " + s.leaning();
    }

    default boolean outdone(Assessment best) {
      return !(best.candidate() instanceof BuiltIn);
    }

    default String lower(Assessment own, Assessment best) {
      double score = own.score() + 0.0; // no -0.00
      return say("rated below %s (%+.2f to %+.2f)", best.name(), score, best.score());
    }
  }

  private record Mixed(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return true;
    }

    @Override
    public double rating(Situation s) {
      return s.lean() - (s.arriving() ? ARRIVAL : 0);
    }

    @Override
    public String inFavour(Situation s) {
      return s.sharing() ? s.leaning() : limits(s);
    }

    @Override
    public String against(Situation s, Assessment own, Assessment best) {
      if (s.arriving()) {
        return "would have to be trained again on all tasks at every arrival";
      }
      if (!s.sharing()) {
        return s.leaning();
      }
      return outdone(best) && own.share() == 1
          ? lower(own, best)
          : s.leaning() + ", but cut short, a common adapter is unfinished for every task";
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

  private record Apart(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return false;
    }

    @Override
    public double rating(Situation s) {
      return -s.lean();
    }

    @Override
    public String inFavour(Situation s) {
      if (s.profiles().size() == 1) {
        return "one task, one adapter";
      }
      if (s.apart()) {
        return s.leaning();
      }
      if (!s.sharing()) {
        return s.leaning() + ", and adapters of their own cannot harm one another";
      }
      return s.arriving()
          ? say(
              "the tasks have too little in common to build on one another as they arrive (%+.2f)",
              s.lean())
          : limits(s);
    }

    @Override
    public String against(Situation s, Assessment own, Assessment best) {
      if (best.candidate() instanceof Stacked) {
        return "adapters of their own cannot build on one another";
      }
      if (outdone(best) && own.share() == 1 && !s.sharing()) {
        return lower(own, best);
      }
      return s.apart() ? s.leaning() + ", but it gets less done within the limits" : s.leaning();
    }
  }

  private record Replay(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return true;
    }

    @Override
    public double rating(Situation s) {
      return s.lean() - REPLAY_GAP;
    }

    @Override
    public String inFavour(Situation s) {
      return s.sharing()
          ? say(
              "the tasks have enough in common to share an adapter (%+.2f), and replay keeps the earlier ones",
              s.lean())
          : limits(s);
    }

    @Override
    public String against(Situation s, Assessment own, Assessment best) {
      if (!s.arriving()) {
        return "only approximates multi-task training; made for tasks that arrive over time";
      }
      return outdone(best)
          ? lower(own, best)
          : say("sharing one adapter costs more than it gives here (%+.2f)", s.lean());
    }
  }

  private record Stacked(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return false;
    }

    @Override
    public double rating(Situation s) {
      return STACKED_TRANSFER * s.lean() - STACKED_GAP;
    }

    @Override
    public String inFavour(Situation s) {
      return s.sharing()
          ? say(
              "later tasks can build on earlier ones (%+.2f), whose adapters stay untouched",
              s.lean())
          : limits(s);
    }

    @Override
    public String against(Situation s, Assessment own, Assessment best) {
      if (!s.arriving()) {
        return "slower to train and to serve than an adapter each; made for tasks that arrive over time";
      }
      return outdone(best)
          ? lower(own, best)
          : say(
              "stacked adapters are slower, and there is little to build on or a better way to share (%+.2f)",
              s.lean());
    }
  }

  private record InTurn(TrainingStrategy strategy) implements BuiltIn {
    @Override
    public boolean joint() {
      return false;
    }

    @Override
    public double rating(Situation s) {
      return -Math.abs(s.lean()) - Math.max(LEAST_FORGETTING, Math.min(1, s.forgetting()));
    }

    @Override
    public String inFavour(Situation s) {
      return limits(s);
    }

    @Override
    public String against(Situation s, Assessment own, Assessment best) {
      return s.forgetting() >= FORGETTING
          ? say(
              "forgets: in the pilot it ended with a validation loss %.0f %% above an adapter each",
              100 * s.forgetting())
          : "earlier tasks are forgotten while later ones are learned, the more the longer it trains";
    }
  }
}
