package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableMap;
import java.util.List;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Hyperparameters;

/**
 * What is known of tasks before any training, in numbers: what a {@link Forecast} is made of.
 * Nothing here needs the model.
 *
 * @param values by name, in a fixed order; all finite
 */
public record Features(ImmutableMap<String, Double> values) {
  /** Steps that an adapter of a task's own would get, as a binary logarithm; mean over tasks. */
  static final String STEPS = "steps";

  /** Number of tasks, as a binary logarithm. */
  static final String TASKS = "tasks";

  /** Examples of the largest task over those of the smallest, as a binary logarithm. */
  static final String IMBALANCE = "imbalance";

  /**
   * How much the tasks contradict one another, the larger of {@link AnswerConflicts#lost()} and
   * {@link LabelTransfer#disagreement()}, as far as there are steps to learn from.
   */
  static final String OPPOSITION = "opposition";

  /** {@link LabelTransfer#kinship()}. */
  static final String KINSHIP = "kinship";

  /** Binary logarithm of steps that teach the form of answers only: conflicts do not show yet. */
  private static final double FORM = 3;

  /** Binary logarithm of steps after which conflicts show in full. */
  private static final double CONTENT = 7;

  /** Takes them of tasks that are to be trained. */
  public static Features of(List<Task> tasks, Hyperparameters h) {
    return of(tasks, h, AnswerConflicts.of(tasks));
  }

  /** Takes them where it is known already how the tasks' data contradicts itself. */
  static Features of(List<Task> tasks, Hyperparameters h, AnswerConflicts conflicts) {
    double steps = 0;
    for (Task t : tasks) {
      steps += log2(1 + h.epochs() * t.train().size() / h.examplesPerStep()) / tasks.size();
    }
    double most = tasks.stream().mapToInt(t -> t.train().size()).max().orElseThrow();
    double least = tasks.stream().mapToInt(t -> t.train().size()).min().orElseThrow();
    LabelTransfer transfer = LabelTransfer.of(tasks);
    double learned = Math.max(0, Math.min(1, (steps - FORM) / (CONTENT - FORM)));
    return new Features(
        ImmutableMap.<String, Double>builder()
            .put(STEPS, steps)
            .put(TASKS, log2(tasks.size()))
            .put(IMBALANCE, log2(most / Math.max(1, least)))
            .put(OPPOSITION, learned * Math.max(conflicts.lost(), transfer.disagreement()))
            .put(KINSHIP, transfer.kinship())
            .buildOrThrow());
  }

  private static double log2(double value) {
    return Math.log(value) / Math.log(2);
  }

  double get(String name) {
    return values.get(name);
  }
}
