package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.data.Shuffles;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.progress.ProgressListener;

/**
 * The encoded examples of the tasks that a run draws from.
 *
 * @param train by task
 * @param validation a sample of each task's validation examples, of the size in the
 *     hyperparameters; may be empty
 * @param reports results of encoding the training examples, by task
 * @param longest tokens of the longest example
 */
record TrainingData(
    Map<String, List<EncodedExample>> train,
    Map<String, List<EncodedExample>> validation,
    Map<String, EncodingReport> reports,
    int longest) {

  /**
   * Encodes the tasks that a plan draws from.
   *
   * @throws IllegalArgumentException if an example cannot be encoded, or none of a task is left
   * @throws java.util.concurrent.CancellationException if it is cancelled
   */
  static TrainingData encode(
      AdaptableModel model,
      List<Task> tasks,
      TrainingPlan plan,
      Hyperparameters h,
      ProgressListener progress,
      BooleanSupplier cancelled) {
    TaskEncoder encoder = model.encoder(h.maxLength(), h.lengthPolicy(), h.learnedTurns());
    Set<String> drawn = new LinkedHashSet<>();
    plan.stages().forEach(s -> drawn.addAll(s.examples().keySet()));
    Map<String, List<EncodedExample>> train = new LinkedHashMap<>();
    Map<String, List<EncodedExample>> validation = new LinkedHashMap<>();
    Map<String, EncodingReport> reports = new LinkedHashMap<>();
    int longest = 1;
    for (Task task : tasks) {
      if (!drawn.contains(task.name())) {
        continue;
      }
      TaskEncoder.Result result = encoder.encode(task, Task.Split.TRAIN, progress, cancelled);
      checkArgument(
          !result.examples().isEmpty(),
          "task '%s': all %s training examples are longer than %s tokens and were skipped",
          task.name(),
          task.train().size(),
          encoder.maxLength());
      List<EncodedExample> all =
          encoder.encode(task, Task.Split.VALIDATION, progress, cancelled).examples();
      train.put(task.name(), result.examples());
      validation.put(task.name(), sample(all, h, task.name()));
      reports.put(task.name(), result.report());
      longest = Math.max(longest, result.report().longest());
      longest = Math.max(longest, longest(validation.get(task.name())));
    }
    return new TrainingData(
        Collections.unmodifiableMap(train),
        Collections.unmodifiableMap(validation),
        Collections.unmodifiableMap(reports),
        longest);
  }

  /** Returns a random sample, as files are often sorted by label. */
  private static List<EncodedExample> sample(
      List<EncodedExample> all, Hyperparameters h, String task) {
    int[] order = Shuffles.numbers(all.size(), new Random(h.seed() * 31 + task.hashCode()));
    List<EncodedExample> sample = new ArrayList<>();
    Arrays.stream(order).limit(h.validationExamples()).forEach(i -> sample.add(all.get(i)));
    return sample;
  }

  private static int longest(List<EncodedExample> examples) {
    int longest = 0;
    for (int i = 0; i < examples.size(); i++) {
      longest = Math.max(longest, examples.get(i).ids().length);
    }
    return longest;
  }

  /** Returns the names of the tasks, in order. */
  Set<String> tasks() {
    return train.keySet();
  }

  List<EncodedExample> train(String task) {
    return train.get(task);
  }

  List<EncodedExample> validation(String task) {
    return validation.get(task);
  }

  /** Returns the mean number of tokens per example in the task where it is highest. */
  double meanTokens() {
    return reports.values().stream()
        .mapToDouble(r -> (double) r.tokens() / r.examples())
        .max()
        .orElse(1);
  }

  /**
   * Checks that there are validation examples for early stopping.
   *
   * @throws IllegalArgumentException if none of an adapter's tasks has validation examples
   */
  void requireValidation(TrainingPlan plan) {
    for (Stage stage : plan.stages()) {
      for (String adapter : stage.adapters()) {
        checkArgument(
            stage.tasks(adapter).stream().anyMatch(t -> validation(t).size() > 0),
            "early stopping of adapter '%s' needs validation examples, and none of its tasks %s has any",
            adapter,
            stage.tasks(adapter));
      }
    }
  }

  /**
   * Checks that the gain of optional adapters can be measured.
   *
   * @throws IllegalArgumentException if a task of such an adapter has fewer than two validation
   *     examples
   */
  void requireGains(TrainingPlan plan) {
    for (Stage stage : plan.stages()) {
      for (String adapter : stage.optional()) {
        for (String task : stage.tasks(adapter)) {
          checkArgument(
              validation(task).size() > 1,
              "adapter '%s' is kept if it gains on validation examples of task '%s', which has %s; it needs at least 2",
              adapter,
              task,
              validation(task).size());
        }
      }
    }
  }
}
