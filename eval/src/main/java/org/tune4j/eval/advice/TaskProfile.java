package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSortedMap;
import com.google.common.collect.Maps;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;
import org.tune4j.core.train.Hyperparameters;

/**
 * What a task is like for a model: how much data there is, how long, how balanced, and how far the
 * untuned model is from it.
 *
 * @param name of the task
 * @param type kind of task
 * @param examples that training would use
 * @param validationExamples that are there
 * @param skipped training examples left out as too long
 * @param truncated training examples that are shortened
 * @param meanTokens of a training example
 * @param p95Tokens 95th percentile of a training example's tokens
 * @param longestTokens of a training example
 * @param lossTokens learned tokens of a training example, mean
 * @param labels training examples by label; empty unless it is a classification
 * @param labelBalance entropy of the labels divided by the logarithm of their number (Pielou 1966):
 *     1 if all are equally frequent, near 0 if one has nearly all; 1 if there are no labels
 * @param untunedLoss of the model without adapters, in nats per learned token, on {@code
 *     probedExamples} validation examples (training examples if there are none); not finite if the
 *     model's outputs are not
 * @param probedExamples that it was measured on
 */
public record TaskProfile(
    String name,
    Task.Type type,
    int examples,
    int validationExamples,
    int skipped,
    int truncated,
    double meanTokens,
    int p95Tokens,
    int longestTokens,
    double lossTokens,
    ImmutableMap<String, Integer> labels,
    double labelBalance,
    double untunedLoss,
    int probedExamples) {
  /**
   * Profiles a task.
   *
   * @param probe most examples that the untuned loss is measured on
   * @param seed of their choice
   * @throws IllegalArgumentException if no training example is short enough
   */
  public static TaskProfile of(
      LanguageModel model, Task task, Hyperparameters hyperparameters, int probe, long seed) {
    ExampleEncoder encoder = Sample.encoder(model, hyperparameters);
    return of(
        model,
        task,
        encoder.encode(task, Task.Split.TRAIN),
        encoder.encode(task, Task.Split.VALIDATION),
        hyperparameters,
        probe,
        seed);
  }

  static TaskProfile of(
      LanguageModel model,
      Task task,
      TaskEncoder.Result train,
      TaskEncoder.Result validation,
      Hyperparameters h,
      int probe,
      long seed) {
    if (train.examples().isEmpty()) {
      throw new IllegalArgumentException(
          "task '%s': all %s training examples are longer than %s tokens and were skipped"
              .formatted(task.name(), task.train().size(), h.maxLength()));
    }
    int[] lengths = train.examples().stream().mapToInt(e -> e.ids().length).sorted().toArray();
    Map<String, Integer> counts = new HashMap<>();
    for (String label : task.labels()) {
      counts.put(label, 0);
    }
    if (!counts.isEmpty()) {
      for (Example e : task.train()) {
        counts.merge(e.completion(), 1, Integer::sum);
      }
    }
    Task usable = Sample.usable(task, train.examples(), validation.examples());
    Task sample = Sample.of(usable, probe, probe, seed);
    List<EncodedExample> held =
        Sample.encoder(model, h)
            .encode(
                sample, sample.validation().isEmpty() ? Task.Split.TRAIN : Task.Split.VALIDATION)
            .examples();
    return new TaskProfile(
        task.name(),
        task.type(),
        train.examples().size(),
        task.validation().size(),
        train.report().skipped(),
        train.report().truncated(),
        Arrays.stream(lengths).average().orElseThrow(),
        lengths[(int) Math.ceil(0.95 * lengths.length) - 1],
        lengths[lengths.length - 1],
        (double) train.report().lossTokens() / train.report().examples(),
        ImmutableSortedMap.copyOf(counts),
        balance(counts),
        held.isEmpty()
            ? Double.NaN
            : PassLosses.mean(Pass.divide(held, List.of(), h.tokensPerPass()), model::losses),
        held.size());
  }

  /** Returns the entropy of counts over its maximum. */
  static double balance(Map<String, Integer> counts) {
    if (counts.size() < 2) {
      return 1;
    }
    double total = counts.values().stream().mapToInt(Integer::intValue).sum();
    double entropy = 0;
    for (int n : Maps.filterValues(counts, v -> v > 0).values()) {
      entropy -= n / total * Math.log(n / total);
    }
    return entropy / Math.log(counts.size());
  }

  @Override
  public String toString() {
    String kind =
        labels.isEmpty()
            ? type.name().toLowerCase(Locale.ROOT)
            : String.format(Locale.ROOT, "%d labels (balance %.2f)", labels.size(), labelBalance);
    return String.format(
        Locale.ROOT,
        "%s: %,d examples of %.0f tokens (95%% up to %d), %.1f learned; %s; untuned loss %.2f",
        name,
        examples,
        meanTokens,
        p95Tokens,
        lossTokens,
        kind,
        untunedLoss);
  }
}
