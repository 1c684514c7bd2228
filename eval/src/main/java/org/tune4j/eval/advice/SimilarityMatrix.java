package org.tune4j.eval.advice;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.Arrays;
import java.util.Locale;

/**
 * How alike tasks are, pair by pair: symmetric, from -1 to 1, 1 on the diagonal, and {@link
 * Double#NaN} for a pair of tasks of which it cannot be told.
 *
 * @param tasks names, in the order of rows and columns
 * @param values {@code [tasks][tasks]}
 */
public record SimilarityMatrix(ImmutableList<String> tasks, double[][] values) {
  private static final double ROUNDING = 1e-9;

  /** Checks the values and copies them. */
  public SimilarityMatrix {
    int n = tasks.size();
    checkArgument(values.length == n, "%s rows for %s tasks", values.length, n);
    double[][] copy = new double[n][];
    for (int i = 0; i < n; i++) {
      checkArgument(values[i].length == n, "%s columns for %s tasks", values[i].length, n);
      copy[i] = values[i].clone();
      checkArgument(
          Math.abs(copy[i][i] - 1) <= ROUNDING,
          "task '%s' is %s similar to itself",
          tasks.get(i),
          copy[i][i]);
      for (int j = 0; j < n; j++) {
        checkArgument(
            (i != j && Double.isNaN(copy[i][j]))
                ? Double.isNaN(values[j][i])
                : Math.abs(copy[i][j]) <= 1 + ROUNDING
                    && Math.abs(copy[i][j] - values[j][i]) <= ROUNDING,
            "similarity of '%s' and '%s' is %s, and %s the other way round",
            tasks.get(i),
            tasks.get(j),
            copy[i][j],
            values[j][i]);
      }
    }
    values = copy;
  }

  /** Returns the values, a copy. */
  @Override
  public double[][] values() {
    return Arrays.stream(values).map(double[]::clone).toArray(double[][]::new);
  }

  /**
   * Returns the similarity of two tasks.
   *
   * @throws IllegalArgumentException if one is unknown
   */
  public double get(String first, String second) {
    return values[index(first)][index(second)];
  }

  private int index(String task) {
    int i = tasks.indexOf(task);
    checkArgument(i >= 0, "no task is named '%s'; there are %s", task, tasks);
    return i;
  }

  /**
   * Returns the mean over all pairs of different tasks that were measured; 1 if there is no pair,
   * NaN if none was measured.
   */
  public double mean() {
    double sum = 0;
    int pairs = 0;
    for (int i = 0; i < tasks.size(); i++) {
      for (int j = 0; j < i; j++) {
        if (!Double.isNaN(values[i][j])) {
          sum += values[i][j];
          pairs++;
        }
      }
    }
    return tasks.size() < 2 ? 1 : sum / pairs;
  }

  /**
   * Two tasks and how alike they are.
   *
   * @param first name
   * @param second name
   * @param similarity from -1 to 1; NaN if no pair was measured
   */
  public record Pair(String first, String second, double similarity) {}

  /** Returns the least similar pair; the only task with itself if there is no pair. */
  public Pair least() {
    return extreme(-1);
  }

  /** Returns the most similar pair; the only task with itself if there is no pair. */
  public Pair most() {
    return extreme(1);
  }

  private Pair extreme(int sign) {
    Pair found = null;
    for (int i = 0; i < tasks.size(); i++) {
      for (int j = i + 1; j < tasks.size(); j++) {
        if (found == null
            || Double.isNaN(found.similarity())
            || sign * values[i][j] > sign * found.similarity()) {
          found = new Pair(tasks.get(i), tasks.get(j), values[i][j]);
        }
      }
    }
    return found == null ? new Pair(tasks.get(0), tasks.get(0), 1) : found;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof SimilarityMatrix m
        && tasks.equals(m.tasks)
        && Arrays.deepEquals(values, m.values);
  }

  @Override
  public int hashCode() {
    return 31 * tasks.hashCode() + Arrays.deepHashCode(values);
  }

  /** Returns a table of all pairs, as lines of text. */
  @Override
  public String toString() {
    int width = tasks.stream().mapToInt(String::length).max().orElse(1);
    StringBuilder out = new StringBuilder();
    for (int i = 0; i < tasks.size(); i++) {
      out.append(String.format(Locale.ROOT, "%-" + width + "s", tasks.get(i)));
      for (double v : values[i]) {
        out.append(
            Double.isNaN(v)
                ? String.format(Locale.ROOT, " %6s", "-")
                : String.format(Locale.ROOT, " %6.2f", v));
      }
      out.append('\n');
    }
    return out.toString();
  }
}
