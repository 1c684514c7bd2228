package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.Optional;

/**
 * What is known of the tasks when candidates are weighed.
 *
 * @param profiles of the tasks, in the caller's order
 * @param similarity between the tasks
 * @param conflicts in the tasks' training data
 * @param scorecard the evidence for sharing an adapter; without factors for a single task
 * @param pilot if there was one
 * @param arriving whether tasks arrive over time, each to be served before the next one comes
 */
public record Situation(
    ImmutableList<TaskProfile> profiles,
    TaskSimilarity similarity,
    AnswerConflicts conflicts,
    Scorecard scorecard,
    Optional<Pilot> pilot,
    boolean arriving) {
  /** Evidence that leans less is said to lean to neither side. */
  private static final double INDIFFERENT = 0.005;

  /** Returns {@link Scorecard#lean()}: from -1 (an adapter each) to 1 (one for all). */
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
        ? Explanation.say("the evidence leans to sharing an adapter (%+.2f)", lean())
        : apart()
            ? Explanation.say("the evidence leans to task-specific training (%+.2f)", lean())
            : "the evidence leans to neither side";
  }
}
