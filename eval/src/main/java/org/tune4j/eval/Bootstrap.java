package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.commons.math3.stat.descriptive.rank.Percentile;

/**
 * The bootstrap over examples (Efron &amp; Tibshirani 1993, section 13.3): percentile intervals of
 * means, and the probability that one model is better than another on the same examples (Koehn
 * 2004).
 *
 * <p>Tasks are resampled separately and the mean of their means is used, so that each task has the
 * same weight. The draws depend only on the seed and the numbers of examples, so that two models
 * scored on the same examples are compared pairwise.
 */
public final class Bootstrap {
  private static final int RESAMPLES = 2000;
  private static final double CONFIDENCE = 0.95;

  private final long seed;

  private Bootstrap(long seed) {
    this.seed = seed;
  }

  /** Returns a bootstrap of 2,000 resamples and 95 % intervals. */
  public static Bootstrap seeded(long seed) {
    return new Bootstrap(seed);
  }

  /** Returns the mean of the examples' scores with its 95 % interval. */
  public ConfidenceInterval interval(double[] scores) {
    return interval(List.of(scores));
  }

  /**
   * Returns the mean of the tasks' means with its 95 % interval.
   *
   * @param scoresByTask the examples' scores of each task, at least one each
   */
  public ConfidenceInterval interval(List<double[]> scoresByTask) {
    double mean =
        scoresByTask.stream()
            .mapToDouble(s -> Arrays.stream(s).average().orElse(Double.NaN))
            .average()
            .orElse(Double.NaN);
    double[] means = means(scoresByTask);
    Percentile percentile = new Percentile();
    percentile.setData(means);
    double tail = 100 * (1 - CONFIDENCE) / 2;
    // rounding and skewed small samples must not leave the mean outside
    return new ConfidenceInterval(
        mean,
        Math.min(mean, percentile.evaluate(tail)),
        Math.max(mean, percentile.evaluate(100 - tail)));
  }

  /**
   * Returns the share of resamples in which {@code a} has the higher mean; ties count half.
   *
   * @throws IllegalArgumentException if the two have different numbers of examples of a task
   */
  public double winProbability(List<double[]> a, List<double[]> b) {
    checkArgument(a.size() == b.size(), "%s tasks are compared with %s", a.size(), b.size());
    for (int t = 0; t < a.size(); t++) {
      checkArgument(
          a.get(t).length == b.get(t).length,
          "%s examples are compared with %s",
          a.get(t).length,
          b.get(t).length);
    }
    double[] ofA = means(a);
    double[] ofB = means(b);
    double wins = 0;
    for (int r = 0; r < RESAMPLES; r++) {
      wins += Math.abs(ofA[r] - ofB[r]) < 1e-12 ? 0.5 : ofA[r] > ofB[r] ? 1 : 0;
    }
    return wins / RESAMPLES;
  }

  /** Returns the mean of the tasks' means of each resample. */
  private double[] means(List<double[]> scoresByTask) {
    checkArgument(!scoresByTask.isEmpty(), "no tasks are given");
    SplittableRandom random = new SplittableRandom(seed);
    double[] means = new double[RESAMPLES];
    for (double[] scores : scoresByTask) {
      checkArgument(scores.length > 0, "a task without examples cannot be resampled");
      for (int r = 0; r < RESAMPLES; r++) {
        double sum = 0;
        for (int i = 0; i < scores.length; i++) {
          sum += scores[random.nextInt(scores.length)];
        }
        means[r] += sum / scores.length / scoresByTask.size();
      }
    }
    return means;
  }
}
