package org.tune4j.eval;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.nio.file.Path;
import java.util.Locale;
import org.tune4j.core.train.StepRecords;
import org.tune4j.core.train.Trainer;
import org.tune4j.core.train.TrainingPlan;

/**
 * The outcome of one strategy in an {@link Experiment}, on the validation splits.
 *
 * @param strategy unique name in the experiment
 * @param plan the executed plan
 * @param serving the names of the adapters that serve each task in the end, applied in order: those
 *     of the plan, without dropped ones
 * @param matrix the score of every task after every stage
 * @param evaluations of each task after the last stage, by task
 * @param intervals each task's score with its 95 % interval
 * @param average mean of the tasks' scores, with its 95 % interval
 * @param cost of training
 * @param steps every step, for loss charts, in a file of the output directory
 * @param output the directory of the run, with the adapters in PEFT's format
 */
public record Outcome(
    String strategy,
    TrainingPlan plan,
    ImmutableMap<String, ImmutableList<String>> serving,
    StageMatrix matrix,
    ImmutableMap<String, Evaluation> evaluations,
    ImmutableMap<String, ConfidenceInterval> intervals,
    ConfidenceInterval average,
    Cost cost,
    StepRecords steps,
    Path output) {
  /**
   * Returns the directories of the adapters that serve a task, to be applied in order.
   *
   * @throws IllegalArgumentException if there is no such task
   */
  public ImmutableList<Path> adaptersFor(String task) {
    if (!serving.containsKey(task)) {
      throw new IllegalArgumentException(
          "no task is named '%s'; there are %s".formatted(task, serving.keySet()));
    }
    return serving.get(task).stream().map(this::saved).collect(ImmutableList.toImmutableList());
  }

  /** Returns the directories of the adapters to merge into the base first, in order. */
  public ImmutableList<Path> merged() {
    return plan.stages().stream()
        .flatMap(s -> s.mergedBefore().stream())
        .map(this::saved)
        .collect(ImmutableList.toImmutableList());
  }

  private Path saved(String adapter) {
    return Trainer.adapterDirectory(output, adapter);
  }

  Outcome in(Path directory) {
    return new Outcome(
        strategy,
        plan,
        serving,
        matrix,
        evaluations,
        intervals,
        average,
        cost,
        steps.movedTo(directory),
        directory);
  }

  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "%s: %s, backward transfer %+.3f; %s",
        strategy,
        average,
        matrix.backwardTransfer(),
        cost);
  }
}
