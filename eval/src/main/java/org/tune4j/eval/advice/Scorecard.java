package org.tune4j.eval.advice;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.Locale;
import java.util.OptionalDouble;

/**
 * The evidence for one adapter on all tasks against an adapter for each, laid open: every factor
 * with the value that was measured, what it says, and how much it counts.
 *
 * <p>A factor's evidence is its value's distance from a neutral point, in units of a range, cut off
 * at -1 and 1. The {@link #lean} is the mean of all evidence by weight. All of it is monotone: more
 * similar tasks, more data, a greater gain by joint training and more agreement never move the lean
 * away from multi-task training. The constants are few, and each says where it comes from; {@code
 * docs/recommendation.md} has the measurements.
 *
 * @param factors in the order of the measurements
 */
public record Scorecard(ImmutableList<Factor> factors) {
  /**
   * Combined similarity that says nothing either way: half of what two halves of one task have.
   * Unrelated tasks in one language still share function words and the wish to end an answer. Pairs
   * of four different dictionary tasks came to 0.48 to 0.81, and multi-task and independent
   * training tied on them.
   */
  public static final double NEUTRAL_SIMILARITY = 0.5;

  /** Two halves of one task come to 1, where the scale ends. */
  public static final double SIMILARITY_RANGE = 0.5;

  /**
   * Similarity is seen before any training, and cannot tell contradicting tasks: it counts half as
   * much as either thing that was measured by training.
   */
  public static final double SIMILARITY_WEIGHT = 1;

  /**
   * Examples of the smallest task that say nothing either way: some 60 steps of 16 examples, in
   * which a small model has learned the form of answers and begun with their content.
   */
  public static final double NEUTRAL_EXAMPLES = 1000;

  /** Doublings from the neutral number to full evidence: 1000 to 16,000, or down to 63. */
  public static final double EXAMPLES_RANGE = 4;

  /** Size alone never outweighs what was measured. */
  public static final double EXAMPLES_WEIGHT = 0.5;

  /**
   * Share of the validation loss by which joint training must beat an adapter each to be full
   * evidence; losses of 64 held-out examples are themselves good to a few hundredths. No gain is
   * neutral.
   */
  public static final double GAIN_RANGE = 0.1;

  /** The gain is the very thing in question, measured, if only for the beginning of training. */
  public static final double GAIN_WEIGHT = 2;

  /**
   * Cosine of gradients at the joint adapter that is full evidence: halves of one task came to 1
   * there, unrelated tasks to 0. Orthogonal gradients are neutral.
   */
  public static final double AGREEMENT_RANGE = 0.5;

  /** Measured by training, too, and independently of the loss that was reached. */
  public static final double AGREEMENT_WEIGHT = 2;

  /**
   * Score that one adapter for all must lose, by {@link AnswerConflicts#lost()}, that outweighs all
   * else together: 5 points of 100 are about what the wrong choice costs where the data does not
   * contradict itself.
   */
  public static final double CONFLICT_RANGE = 0.05;

  /** Twice as much as all other factors together: it is no estimate, but a bound. */
  public static final double CONFLICT_WEIGHT =
      2 * (SIMILARITY_WEIGHT + EXAMPLES_WEIGHT + GAIN_WEIGHT + AGREEMENT_WEIGHT);

  static final String JOINT_GAIN = "joint gain";
  static final String AGREEMENT = "agreement";

  /** What evidence speaks for. */
  public enum Side {
    /** One adapter that learns all tasks together. */
    MULTI_TASK,
    /** An adapter for each task, or one task after another. */
    TASK_SPECIFIC,
    /** Neither. */
    NEITHER
  }

  /**
   * One piece of evidence.
   *
   * @param name short
   * @param value as measured
   * @param evidence from -1 (task-specific) to 1 (multi-task)
   * @param weight at least 0
   * @param sentence what was found, with its numbers
   */
  public record Factor(String name, double value, double evidence, double weight, String sentence) {
    /** Evidence nearer to 0 than this favours nobody. */
    private static final double INDIFFERENT = 0.05;

    /** Checks the ranges. */
    public Factor {
      checkArgument(
          evidence >= -1 && evidence <= 1,
          "evidence of '%s' is %s, not in [-1, 1]",
          name,
          evidence);
      checkArgument(weight >= 0, "weight of '%s' is %s; it must not be negative", name, weight);
    }

    /** Returns which side it speaks for. */
    public Side favours() {
      if (Math.abs(evidence) < INDIFFERENT) {
        return Side.NEITHER;
      }
      return evidence > 0 ? Side.MULTI_TASK : Side.TASK_SPECIFIC;
    }
  }

  /**
   * What is weighed.
   *
   * @param similarity combined, mean over pairs of tasks; NaN if none could be measured, which then
   *     says nothing
   * @param smallestTask examples of the task with the fewest
   * @param jointGain {@link Pilot#jointGain()}, if there was a pilot
   * @param agreement mean of {@link Pilot#agreement()} over pairs, if there was a pilot
   * @param maturity {@link Pilot#maturity()}, from 0 to 1; without a pilot it does not matter
   * @param conflicts {@link AnswerConflicts#lost()}; no factor if it is 0
   */
  public record Evidence(
      double similarity,
      int smallestTask,
      OptionalDouble jointGain,
      OptionalDouble agreement,
      double maturity,
      double conflicts) {
    /** Returns the evidence without a pilot, of tasks that do not contradict one another. */
    public static Evidence of(double similarity, int smallestTask) {
      return new Evidence(
          similarity, smallestTask, OptionalDouble.empty(), OptionalDouble.empty(), 0, 0);
    }
  }

  /** Weighs evidence. */
  public static Scorecard of(Evidence e) {
    ImmutableList.Builder<Factor> factors = ImmutableList.builder();
    if (!Double.isNaN(e.similarity)) {
      double similarity = clamp((e.similarity - NEUTRAL_SIMILARITY) / SIMILARITY_RANGE);
      factors.add(
          new Factor(
              "similarity",
              e.similarity,
              similarity,
              SIMILARITY_WEIGHT,
              say(
                  "The untrained model sees the tasks as %s: combined similarity %.2f on average (two halves of one"
                      + " task: 1; neutral: %.2f).",
                  words(similarity, "alike", "unlike", "neither alike nor unlike"),
                  e.similarity,
                  NEUTRAL_SIMILARITY)));
    }
    double size = clamp(Math.log(e.smallestTask / NEUTRAL_EXAMPLES) / Math.log(2) / EXAMPLES_RANGE);
    factors.add(
        new Factor(
            "data",
            e.smallestTask,
            size,
            EXAMPLES_WEIGHT,
            say(
                "%s data for each task: the smallest has %,d examples (neutral: %,.0f).",
                words(size, "Much", "Little", "Middling amounts of"),
                e.smallestTask,
                NEUTRAL_EXAMPLES)));
    e.jointGain.ifPresent(
        gain ->
            factors.add(
                new Factor(
                    JOINT_GAIN,
                    gain,
                    mature(clamp(gain / GAIN_RANGE), e.maturity),
                    GAIN_WEIGHT,
                    say(
                        "In the pilot, one adapter for all tasks ended with a validation loss %.1f %% %s than"
                            + " an adapter each on the same examples.",
                        100 * Math.abs(gain), gain < 0 ? "higher" : "lower"))));
    e.agreement.ifPresent(
        cosine ->
            factors.add(
                new Factor(
                    AGREEMENT,
                    cosine,
                    mature(clamp(cosine / AGREEMENT_RANGE), e.maturity),
                    AGREEMENT_WEIGHT,
                    say(
                        "After the joint pilot the tasks %s: cosine of their gradients %.2f on average"
                            + " (neutral: 0).",
                        words(
                            clamp(cosine / AGREEMENT_RANGE),
                            "still pull the adapter the same way",
                            "pull the adapter apart",
                            "pull the adapter in unrelated directions"),
                        cosine))));
    if (e.conflicts > 0) {
      // the more is lost, the more it weighs: it never dilutes what else speaks against sharing
      factors.add(
          new Factor(
              "conflicts",
              e.conflicts,
              -1,
              CONFLICT_WEIGHT * Math.min(1, e.conflicts / CONFLICT_RANGE),
              say(
                  "The tasks answer the same prompts differently: one adapter for all must lose at least %.1f points"
                      + " of 100 on the training data, whatever is trained.",
                  100 * e.conflicts)));
    }
    return new Scorecard(factors.build());
  }

  /** What the beginning of training shows for sharing may be the form of answers only. */
  private static double mature(double evidence, double maturity) {
    return evidence > 0 ? evidence * maturity : evidence;
  }

  private static double clamp(double v) {
    return Math.max(-1, Math.min(1, v));
  }

  private static String say(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  private static String words(double evidence, String more, String less, String middling) {
    return evidence > 0.2 ? more : evidence < -0.2 ? less : middling;
  }

  /**
   * Returns the mean of all evidence by weight: from -1, an adapter for each, to 1, one adapter for
   * all.
   */
  public double lean() {
    double sum = 0;
    double weights = 0;
    for (Factor f : factors) {
      sum += f.weight() * f.evidence();
      weights += f.weight();
    }
    return weights == 0 ? 0 : sum / weights;
  }

  /** Returns a table with a line for each factor. */
  @Override
  public String toString() {
    StringBuilder out =
        new StringBuilder(
            say("%-12s %9s %9s %7s  favours%n", "factor", "value", "evidence", "weight"));
    for (Factor f : factors) {
      out.append(
          say(
              "%-12s %9.3f %+9.2f %7.1f  %s%n",
              f.name(),
              f.value(),
              f.evidence(),
              f.weight(),
              f.favours().name().toLowerCase(Locale.ROOT).replace('_', '-')));
    }
    return out.append(say("%-12s %9s %+9.2f%n", "lean", "", lean())).toString();
  }
}
