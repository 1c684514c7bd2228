package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.Optional;

/**
 * What is known of the tasks when candidates are weighed.
 *
 * @param profiles of the tasks, in the caller's order
 * @param similarity between the tasks
 * @param conflicts in the tasks' training data
 * @param features that are read off the data
 * @param scorecard the evidence for sharing an adapter; without factors for a single task
 * @param pilot if there was one
 * @param arriving whether tasks arrive over time, each to be served before the next one comes
 */
public record Situation(
    ImmutableList<TaskProfile> profiles,
    TaskSimilarity similarity,
    AnswerConflicts conflicts,
    Features features,
    Scorecard scorecard,
    Optional<Pilot> pilot,
    boolean arriving) {
  /** Evidence that leans less is said to lean to neither side. */
  private static final double INDIFFERENT = 0.0025;

  /**
   * Returns {@link Scorecard#lean()}: by how much one adapter for all is thought to score more than
   * an adapter each.
   */
  public double lean() {
    return scorecard.lean();
  }

  /** Returns {@link Pilot#forgetting()}, 0 if unknown. */
  public double forgetting() {
    return pilot.map(Pilot::forgetting).orElse(0.0);
  }

  /** Returns the examples of the largest task over those of the smallest. */
  public double imbalance() {
    int most = profiles.stream().mapToInt(TaskProfile::examples).max().orElseThrow();
    int least = profiles.stream().mapToInt(TaskProfile::examples).min().orElseThrow();
    return (double) most / least;
  }

  /** Returns whether the evidence leans to sharing an adapter. */
  public boolean sharing() {
    return lean() > INDIFFERENT;
  }

  /** Returns whether the evidence leans to an adapter each. */
  public boolean apart() {
    return lean() < -INDIFFERENT;
  }

  /** Returns what the evidence as a whole says, to be used in a sentence. */
  public String leaning() {
    return sharing()
        ? Explanation.say("the evidence leans to sharing an adapter (%+.1f points)", 100 * lean())
        : apart()
            ? Explanation.say(
                "the evidence leans to task-specific training (%+.1f points)", 100 * lean())
            : "the evidence leans to neither side";
  }
}
