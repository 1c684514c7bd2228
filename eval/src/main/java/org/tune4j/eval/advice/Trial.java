package org.tune4j.eval.advice;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableMap;
import java.nio.file.Path;
import org.tune4j.eval.Evaluation;

/**
 * A candidate that was trained to the end to see what it scores.
 *
 * @param name of the candidate
 * @param evaluations of its adapters on the validation splits, by task
 * @param tokens trained on
 * @param seconds of training and of scoring
 * @param output directory of the run, which is complete: {@link Recommendation#fineTuner} takes the
 *     winner's over
 */
public record Trial(
    String name,
    ImmutableMap<String, Evaluation> evaluations,
    long tokens,
    double seconds,
    Path output) {
  /** Returns the mean score over tasks. */
  public double score() {
    return evaluations.values().stream().mapToDouble(Evaluation::score).average().orElseThrow();
  }

  /** Returns the mean score over tasks with the error that so many examples leave. */
  public Estimate estimate() {
    double variance = 0;
    for (Evaluation e : evaluations.values()) {
      variance += variance(e.scores());
    }
    return Estimate.of(score(), Math.sqrt(variance) / evaluations.size());
  }

  /**
   * Returns by how much it scored more than another on the same examples, compared one by one: the
   * error is that of the mean of paired differences, averaged over tasks.
   *
   * @throws IllegalArgumentException if the two were scored on other examples
   */
  public Estimate difference(Trial other) {
    double variance = 0;
    for (String task : evaluations.keySet()) {
      double[] mine = evaluations.get(task).scores();
      double[] others = other.evaluations.get(task).scores();
      checkArgument(
          mine.length == others.length,
          "task '%s': %s examples are compared with %s",
          task,
          mine.length,
          others.length);
      double[] differences = new double[mine.length];
      for (int i = 0; i < mine.length; i++) {
        differences[i] = mine[i] - others[i];
      }
      variance += variance(differences);
    }
    return Estimate.of(score() - other.score(), Math.sqrt(variance) / evaluations.size());
  }

  /**
   * Returns the variance of a mean. Half a square is added to the sum of squares: that few examples
   * do not differ does not show that none would.
   */
  private static double variance(double[] values) {
    double mean = 0;
    for (double v : values) {
      mean += v / values.length;
    }
    double squares = 0.5;
    for (double v : values) {
      squares += (v - mean) * (v - mean);
    }
    return squares / values.length / values.length;
  }
}
