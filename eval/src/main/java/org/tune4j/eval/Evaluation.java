package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Locale;
import org.tune4j.core.data.Task;

/**
 * The performance of a model on one split of one task, measured by {@link Evaluator}.
 *
 * @param task name of the task
 * @param type its kind
 * @param split the scored split
 * @param labels the label set, sorted; empty unless the task is a classification
 * @param primary name of the task's primary metric
 * @param metrics all values by the names in {@link Metrics}, the primary one first
 * @param predictions one for each scored example, in the split's order
 * @param seconds duration of the evaluation
 */
public record Evaluation(
    String task,
    Task.Type type,
    Task.Split split,
    ImmutableList<String> labels,
    String primary,
    ImmutableMap<String, Double> metrics,
    ImmutableList<Prediction> predictions,
    double seconds) {
  /** Checks that there are predictions and a value of the primary metric. */
  public Evaluation {
    checkArgument(!predictions.isEmpty(), "task '%s': nothing was evaluated", task);
    checkArgument(
        metrics.containsKey(primary),
        "task '%s': the primary metric '%s' is not among %s",
        task,
        primary,
        metrics.keySet());
  }

  /** Returns the value of the primary metric. */
  public double value() {
    return metrics.get(primary);
  }

  /**
   * Returns the score for comparing strategies and averaging over tasks, in [0, 1], higher is
   * better: the mean of the examples' scores. For a classification it is the accuracy, for a
   * generation task the exact match, and for text the mean token probability.
   */
  public double score() {
    return predictions.stream().mapToDouble(Prediction::score).average().orElseThrow();
  }

  /** Returns the examples' scores, in the split's order. */
  public double[] scores() {
    return predictions.stream().mapToDouble(Prediction::score).toArray();
  }

  /** Returns the number of scored examples. */
  public int count() {
    return predictions.size();
  }

  /**
   * Returns ND4J's evaluation, with the confusion matrix, precision and recall of each label.
   * Predictions outside the label set form an additional last class.
   *
   * @throws IllegalStateException if the task is not a classification
   */
  public org.nd4j.evaluation.classification.Evaluation classification() {
    checkState(type == Task.Type.CLASSIFICATION, "task '%s' is not a classification", task);
    return Metrics.classification(
        labels,
        predictions.stream().map(Prediction::predicted).toList(),
        predictions.stream().map(Prediction::expected).toList());
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder(task);
    text.append(" (").append(count()).append(' ').append(split.name().toLowerCase(Locale.ROOT));
    text.append(" examples)");
    metrics.forEach((name, v) -> text.append(String.format(Locale.ROOT, ", %s %.3f", name, v)));
    return text.toString();
  }
}
