package org.tune4j.eval.affinity;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;
import org.apache.commons.math3.analysis.UnivariateFunction;
import org.apache.commons.math3.analysis.solvers.BrentSolver;
import org.apache.commons.math3.linear.BlockRealMatrix;
import org.tune4j.core.train.Gain;
import org.tune4j.strategies.Affinity;
import org.tune4j.strategies.SubsetScore;

/**
 * Predicted validation losses of tasks after an adapter has learned a subset of them, for any
 * subset. Made by {@link LinearisedFineTuning}, which says how, and how far to trust it.
 *
 * <p>As a {@link SubsetScore}, a task scores the share of its loss alone that learning together
 * takes away: 0 alone, above 0 where the others help, below where they harm. That is one scale for
 * tasks of short labels and of long texts:
 *
 * <pre>{@code
 * Grouped.byScore(predicted.tasks(), predicted, 3)
 * }</pre>
 *
 * <p>A subset is predicted when it is first asked for, in milliseconds for two tasks, and kept; the
 * order of questions changes nothing. Holds no memory outside the heap. Thread-safe.
 */
public final class PredictedLosses implements SubsetScore {
  /** Losses below this, in nats a token, are as good as 0: shares of them would be of nothing. */
  public static final double LEAST_LOSS = 0.01;

  /** Strengths of regularisation that are tried lie so many times apart. */
  private static final double STRENGTH_FACTOR = 3;

  /** How many are tried, from one that lets almost nothing move. */
  private static final int STRENGTHS = 16;

  private static final int MOST_REFINEMENTS = 20;

  private final ImmutableList<String> tasks;
  private final ImmutableMap<String, Integer> trainExamples;
  private final ImmutableMap<String, Integer> validationExamples;
  private final int[] owner; // task of each training example: [n]
  private final double[] margins; // [n]
  private final int[] tokens; // [n]
  private final double[] draws; // of each training example in a whole training: [n]
  private final double[][] inner; // [n, n]
  private final ImmutableList<Held> held;
  private final double strength;
  private final Map<ImmutableSet<String>, ImmutableMap<String, double[]>> known =
      new ConcurrentHashMap<>();

  /**
   * Validation examples of a task.
   *
   * @param margins {@code [v]}
   * @param tokens {@code [v]}
   * @param inner products with the gradients of all training examples, {@code [v, n]}
   */
  private record Held(double[] margins, int[] tokens, double[][] inner) {}

  private PredictedLosses(List<Outputs> outputs) {
    tasks = outputs.stream().map(Outputs::task).collect(ImmutableList.toImmutableList());
    ImmutableMap.Builder<String, Integer> train = ImmutableMap.builder();
    ImmutableMap.Builder<String, Integer> validation = ImmutableMap.builder();
    List<double[]> gradients = new ArrayList<>();
    List<Integer> owners = new ArrayList<>();
    List<Double> margin = new ArrayList<>();
    List<Integer> learned = new ArrayList<>();
    List<Double> drawn = new ArrayList<>();
    for (int t = 0; t < outputs.size(); t++) {
      Outputs o = outputs.get(t);
      train.put(o.task(), o.train().size());
      validation.put(o.task(), o.validation().size());
      for (Tangent.Output x : o.train()) {
        gradients.add(x.gradient());
        owners.add(t);
        margin.add(x.margin());
        learned.add(x.tokens());
        drawn.add((double) o.draws() / o.train().size()); // the sample stands for all
      }
    }
    trainExamples = train.buildOrThrow();
    validationExamples = validation.buildOrThrow();
    owner = owners.stream().mapToInt(Integer::intValue).toArray();
    margins = margin.stream().mapToDouble(Double::doubleValue).toArray();
    tokens = learned.stream().mapToInt(Integer::intValue).toArray();
    draws = drawn.stream().mapToDouble(Double::doubleValue).toArray();
    BlockRealMatrix columns = matrix(gradients).transpose(); // [dimensions, n]
    inner = matrix(gradients).multiply(columns).getData();
    held =
        outputs.stream()
            .map(
                o ->
                    new Held(
                        o.validation().stream().mapToDouble(Tangent.Output::margin).toArray(),
                        o.validation().stream().mapToInt(Tangent.Output::tokens).toArray(),
                        matrix(o.validation().stream().map(Tangent.Output::gradient).toList())
                            .multiply(columns)
                            .getData()))
            .collect(ImmutableList.toImmutableList());
    strength = strength(outputs);
  }

  /** Returns the losses that follow from outputs at a common adapter. */
  static PredictedLosses of(List<Outputs> outputs) {
    return new PredictedLosses(outputs);
  }

  private static BlockRealMatrix matrix(List<double[]> rows) {
    return new BlockRealMatrix(rows.toArray(double[][]::new));
  }

  /**
   * Returns the strength with which all tasks together come to the losses that were measured when
   * training went on: what a step of the optimizer really moves. Going down from the strongest, it
   * is the first; if none gets as far, the one that gets furthest.
   */
  private double strength(List<Outputs> outputs) {
    double[] onward = new double[owner.length]; // draws of each training example
    double curvature = 0;
    for (int i = 0; i < onward.length; i++) {
      Outputs o = outputs.get(owner[i]);
      onward[i] = (double) o.onward() / o.train().size();
      double p = 1 / (1 + Math.exp(-margins[i]));
      curvature += onward[i] * tokens[i] * p * (1 - p) * inner[i][i];
    }
    if (!(curvature > 0)) {
      return 1; // no gradient: nothing moves whatever the strength
    }
    double measured = outputs.stream().mapToDouble(Outputs::after).sum();
    UnivariateFunction excess =
        logarithm -> {
          ImmutableMap<String, double[]> losses = predict(tasks, onward, Math.exp(logarithm));
          return tasks.stream().mapToDouble(t -> mean(t, losses.get(t))).sum() - measured;
        };
    double step = Math.log(STRENGTH_FACTOR);
    double at = Math.log(curvature) + 2 * step;
    double best = at;
    double least = excess.value(at);
    for (int i = 1; i < STRENGTHS && least > 0; i++) {
      double value = excess.value(at - i * step);
      if (value <= 0) {
        return Math.exp(
            new BrentSolver(1e-2)
                .solve(MOST_REFINEMENTS, excess, at - i * step, at - (i - 1) * step));
      }
      if (value < least) {
        least = value;
        best = at - i * step;
      }
    }
    return Math.exp(best);
  }

  /**
   * Returns the loss of each validation example, summed over its tokens, by task.
   *
   * @param together in the order of {@link #tasks}
   * @param draws how often each training example is drawn: {@code [n]}
   */
  private ImmutableMap<String, double[]> predict(
      List<String> together, double[] draws, double with) {
    int[] learned =
        IntStream.range(0, owner.length)
            .filter(i -> together.contains(tasks.get(owner[i])))
            .toArray();
    int n = learned.length;
    double[][] k = new double[n][n];
    double[] m = new double[n];
    double[] c = new double[n];
    for (int i = 0; i < n; i++) {
      m[i] = margins[learned[i]];
      c[i] =
          draws[learned[i]] * tokens[learned[i]]; // the loss is a sum over tokens, as in training
      for (int j = 0; j < n; j++) {
        k[i][j] = inner[learned[i]][learned[j]];
      }
    }
    double[] a = LogisticRegression.fit(k, m, c, with);
    ImmutableMap.Builder<String, double[]> losses = ImmutableMap.builder();
    for (int t = 0; t < tasks.size(); t++) {
      Held h = held.get(t);
      double[] of = new double[h.margins.length];
      for (int v = 0; v < of.length; v++) {
        double margin = h.margins[v];
        for (int i = 0; i < n; i++) {
          margin += a[i] * h.inner[v][learned[i]];
        }
        of[v] = h.tokens[v] * LogisticRegression.loss(margin);
      }
      losses.put(tasks.get(t), of);
    }
    return losses.buildOrThrow();
  }

  private double mean(String task, double[] losses) {
    double sum = 0;
    long tokens = 0;
    int[] of = held.get(index(task)).tokens;
    for (int v = 0; v < losses.length; v++) {
      sum += losses[v];
      tokens += of[v];
    }
    return sum / tokens;
  }

  private int index(String task) {
    int at = tasks.indexOf(task);
    checkArgument(at >= 0, "no loss is predicted of task '%s', only of %s", task, tasks);
    return at;
  }

  private double[] losses(String task, Set<String> together) {
    index(task);
    checkArgument(!together.isEmpty(), "task '%s' is to be learned with no task at all", task);
    together.forEach(this::index);
    return known
        .computeIfAbsent(
            ImmutableSet.copyOf(together),
            set -> predict(tasks.stream().filter(set::contains).toList(), draws, strength))
        .get(task);
  }

  /** Returns the tasks' names. */
  public ImmutableList<String> tasks() {
    return tasks;
  }

  /** Returns how many examples stand for each task's training data. */
  public ImmutableMap<String, Integer> trainExamples() {
    return trainExamples;
  }

  /** Returns how many examples each task's loss is predicted of. */
  public ImmutableMap<String, Integer> validationExamples() {
    return validationExamples;
  }

  /**
   * Returns a task's validation loss at the common adapter, from which all predictions start: nats
   * per learned token.
   *
   * @throws IllegalArgumentException if the task was not measured
   */
  public double commonLoss(String task) {
    Held h = held.get(index(task));
    double[] losses = new double[h.margins.length];
    for (int v = 0; v < losses.length; v++) {
      losses[v] = h.tokens[v] * LogisticRegression.loss(h.margins[v]);
    }
    return mean(task, losses);
  }

  /**
   * Returns the predicted validation loss of a task: nats per learned token.
   *
   * @param task any of {@link #tasks}: of one that is not learned it is what the others bring it
   * @param together the tasks that an adapter learns
   * @throws IllegalArgumentException if a task was not measured, or none is learned
   */
  public double loss(String task, Set<String> together) {
    return mean(task, losses(task, together));
  }

  /**
   * Returns what learning together saves a task against learning alone, as predicted: nats that a
   * validation example costs less, with the standard error over those examples. The error of the
   * prediction itself comes on top.
   *
   * @param together with the task itself
   * @throws IllegalArgumentException if a task was not measured, or it is not among those learned
   */
  public Gain gain(String task, Set<String> together) {
    requireLearned(task, together);
    double[] alone = losses(task, Set.of(task));
    double[] with = losses(task, together);
    return Gain.of(alone, with);
  }

  private static void requireLearned(String task, Set<String> together) {
    checkArgument(
        together.contains(task), "task '%s' is not among those learned, %s", task, together);
  }

  /**
   * Returns the share of a task's loss alone that learning together takes away.
   *
   * @throws IllegalArgumentException if a task was not measured, or it is not among those learned
   */
  @Override
  public double of(String task, ImmutableSet<String> together) {
    requireLearned(task, together);
    return 1
        - Math.max(LEAST_LOSS, loss(task, together))
            / Math.max(LEAST_LOSS, loss(task, Set.of(task)));
  }

  /**
   * Returns what every task gains from each other one, learned in pairs: {@link #of}. The sum over
   * a larger group is to first order only what {@link #of} predicts of it; it needs a prediction
   * for each pair rather than for each subset, which tells from some eight tasks on.
   */
  public Affinity affinity() {
    double[][] gains = new double[tasks.size()][tasks.size()];
    for (int i = 0; i < gains.length; i++) {
      for (int j = 0; j < gains.length; j++) {
        if (i != j) {
          gains[i][j] = of(tasks.get(j), ImmutableSet.of(tasks.get(i), tasks.get(j)));
        }
      }
    }
    return Affinity.of(tasks, gains);
  }

  /** Returns a table: a row for each task, with its loss alone and what each other gains for it. */
  @Override
  public String toString() {
    Affinity affinity = affinity();
    int width = tasks.stream().mapToInt(String::length).max().orElse(1);
    StringBuilder out = new StringBuilder();
    out.append(String.format("%-" + width + "s %8s %8s", "task", "common", "alone"));
    for (String from : tasks) {
      out.append("  ").append(from);
    }
    out.append(System.lineSeparator());
    for (String t : tasks) {
      out.append(
          String.format(
              Locale.ROOT, "%-" + width + "s %8.3f %8.3f", t, commonLoss(t), loss(t, Set.of(t))));
      for (String from : tasks) {
        String cell =
            from.equals(t)
                ? "-"
                : String.format(Locale.ROOT, "%+.1f%%", 100 * affinity.gain(from, t));
        out.append(String.format("  %" + from.length() + "s", cell));
      }
      out.append(System.lineSeparator());
    }
    return out.toString();
  }
}
