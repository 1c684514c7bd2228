package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.progress.ProgressListener;

/**
 * The tasks' profiles, with what of the tasks can be trained on.
 *
 * @param train encoded training examples, by task
 * @param usable the tasks with the examples only that were encoded, by name
 * @param byTask the profiles, by task
 */
record Profiles(
    Map<String, List<EncodedExample>> train,
    Map<String, Task> usable,
    Map<String, TaskProfile> byTask) {
  /** Tasks of which the labels are balanced less are warned about. */
  private static final double SKEWED = 0.5;

  /** Encodes all tasks, takes their profiles, and warns of what is amiss with them. */
  static Profiles of(Request request, AdviceProgress progress, Warnings warnings) {
    Profiles all =
        new Profiles(new LinkedHashMap<>(), new LinkedHashMap<>(), new LinkedHashMap<>());
    ExampleEncoder encoder = Sample.encoder(request.model(), request.hyperparameters());
    for (Task t : request.tasks()) {
      progress.begin("profile of " + t.name(), 1);
      TaskEncoder.Result encoded =
          encoder.encode(t, Task.Split.TRAIN, ProgressListener.none(), progress::cancelled);
      TaskEncoder.Result held =
          encoder.encode(t, Task.Split.VALIDATION, ProgressListener.none(), progress::cancelled);
      TaskProfile p =
          TaskProfile.of(
              request.model(),
              t,
              encoded,
              held,
              request.hyperparameters(),
              request.effort().validationExamples(),
              request.seed());
      all.train.put(t.name(), encoded.examples());
      all.usable.put(t.name(), Sample.usable(t, encoded.examples(), held.examples()));
      all.byTask.put(t.name(), p);
      warn(p, request, warnings);
    }
    return all;
  }

  private static void warn(TaskProfile p, Request request, Warnings warnings) {
    if (!Double.isFinite(p.untunedLoss())) {
      warnings.add(
          "The untuned model's loss on task %s is %s: its weights, or the precision, leave no numbers to train with.",
          p.name(), p.untunedLoss());
    }
    if (p.examples() < StrategyRecommender.FEW_EXAMPLES) {
      warnings.add(
          "Task %s has %d training examples: too few to judge by.", p.name(), p.examples());
    }
    if (p.validationExamples() == 0) {
      warnings.add(
          "Task %s has no validation examples: early stopping and a comparison of strategies need them.",
          p.name());
    }
    if (p.skipped() + p.truncated() > 0) {
      warnings.add(
          "Task %s: %d examples are skipped and %d shortened to %d tokens.",
          p.name(), p.skipped(), p.truncated(), request.hyperparameters().maxLength());
    }
    if (p.type() == Task.Type.CLASSIFICATION && p.labels().size() == 1) {
      warnings.add(
          "Task %s has the single label '%s': there is nothing to tell apart, and any adapter will score 1.",
          p.name(), p.labels().keySet().iterator().next().trim());
    }
    if (p.labelBalance() < SKEWED) {
      warnings.add(
          "Task %s is dominated by few of its labels (balance %.2f): judge it by macro-F1 rather than by accuracy.",
          p.name(), p.labelBalance());
    }
    p.labels()
        .forEach(
            (label, n) -> {
              if (n == 0) {
                warnings.add(
                    "Task %s has no training example of label '%s'.", p.name(), label.trim());
              }
            });
  }

  ImmutableList<TaskProfile> all() {
    return ImmutableList.copyOf(byTask.values());
  }

  /** Returns the tasks' names, in the caller's order. */
  ImmutableList<String> names() {
    return ImmutableList.copyOf(byTask.keySet());
  }

  /** Returns the tokens of the longest example of all. */
  int longest() {
    return byTask.values().stream().mapToInt(TaskProfile::longestTokens).max().orElseThrow();
  }

  /** Returns mean tokens of an example of the task. */
  double meanTokens(String task) {
    return byTask.get(task).meanTokens();
  }
}
