package org.tune4j.eval.advice;

import java.util.Locale;

/**
 * The plans that are weighed, and how well each is thought to serve: a score in the unit of {@link
 * Scorecard#lean()}.
 *
 * <p>With the lean {@code l} as evidence for sharing one adapter, multi-task training scores {@code
 * l} and independent training {@code -l}. Training in turn scores lower where all data is there at
 * once, since it can only approximate one of these two; it is what is left if tasks arrive over
 * time. A plan of which the budget pays only the share {@code s} loses {@code (1 - s)} times {@link
 * #JOINT_CUT} or {@link #CUT}: so a tighter budget never moves the choice to a plan that takes more
 * of what was tightened (the plan chosen before either still costs the same, while others only
 * lost, or it used up the greater budget).
 */
public enum PlanKind {
  /** One adapter, all tasks mixed. */
  MULTI_TASK(true),
  /** An adapter for each task, side by side. */
  INDEPENDENT(false),
  /** One adapter, task after task. */
  SEQUENTIAL(false),
  /** The same with examples of earlier tasks mixed in. */
  SEQUENTIAL_REPLAY(true),
  /** Task after task, a new adapter on the frozen earlier ones. */
  SEQUENTIAL_STACKED(false);

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

  /**
   * What a multi-task plan loses in proportion to the share of it that the budget does not pay: a
   * joint adapter that is cut short is unfinished for every task, and cannot be continued for one.
   */
  public static final double JOINT_CUT = 0.8;

  /** What other plans lose so. */
  public static final double CUT = 0.3;

  private final boolean joint;

  PlanKind(boolean joint) {
    this.joint = joint;
  }

  /**
   * Returns the score.
   *
   * @param lean of the scorecard
   * @param arriving whether tasks arrive over time
   * @param forgetting {@link Pilot#forgetting()}, 0 if unknown
   * @param share of the plan that the budget pays, at most 1
   */
  public double score(double lean, boolean arriving, double forgetting, double share) {
    double full =
        switch (this) {
          case MULTI_TASK -> lean - (arriving ? ARRIVAL : 0);
          case INDEPENDENT -> -lean;
          case SEQUENTIAL -> -Math.abs(lean) - Math.max(LEAST_FORGETTING, Math.min(1, forgetting));
          case SEQUENTIAL_REPLAY -> lean - REPLAY_GAP;
          case SEQUENTIAL_STACKED -> STACKED_TRANSFER * lean - STACKED_GAP;
        };
    return full - (joint ? JOINT_CUT : CUT) * (1 - share);
  }

  /** Returns whether several tasks share an adapter that learns them together. */
  public boolean joint() {
    return joint;
  }

  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
