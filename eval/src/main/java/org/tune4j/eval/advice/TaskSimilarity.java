package org.tune4j.eval.advice;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.Routing;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.lora.LoraConfig;

/**
 * How much tasks have in common, as seen by a model before any training.
 *
 * <ul>
 *   <li><b>Gradients.</b> {@code g_i}: the gradient of task {@code i}'s loss by the adapter's
 *       parameters at initialisation. There B = 0, so that only B (and DoRA's magnitudes) have a
 *       gradient: {@code dL/dB = (dL/dW) A^T}, itself a random projection of the full gradient by
 *       A. The similarity is the cosine of {@code g_i} and {@code g_j}, as Yu et al. (2020, section
 *       2.2) measure conflict and Xia et al. (2024, section 3) influence, after a seeded count
 *       sketch to {@value #DIMENSIONS} dimensions. Each task's examples are split in two halves;
 *       the cosine between halves is the task's reliability {@code r_i}, the most that noise leaves
 *       of a perfect agreement, and cosines between tasks are corrected for attenuation by it
 *       (Spearman 1904): {@code cos(g_i, g_j) / sqrt(r_i r_j)}, within [-1, 1].
 *   <li><b>Hidden states.</b> One minus the share of the variance of the prompts' mean hidden
 *       states that the difference between the two tasks makes, {@code 1 - mean_k d_k^2 / (d_k^2 +
 *       4 s_k^2)}, with {@code d_k} the difference of the tasks' means in dimension {@code k} and
 *       {@code s_k^2} the pooled variance within them; what sampling alone makes of {@code d_k^2}
 *       is subtracted. 1: the same inputs to the model; 0: two separate clouds. A cosine of means
 *       centred over tasks would be -1 for any two tasks, however alike.
 *   <li><b>Vocabulary.</b> The weighted Jaccard index of relative token frequencies, {@code sum
 *       min(p, q) / sum max(p, q)} (Ruzicka 1958), over all training examples, corrected by its
 *       value between halves of each task in the same way.
 * </ul>
 *
 * <p>What cannot be told is NaN: cosines with a gradient that is zero (nothing to learn) or not
 * finite, hidden states that are not finite or are of one example only. A single example has no
 * halves; what is measured of it is not corrected.
 *
 * <p>The combined matrix is the mean of what could be told, with weights {@value #GRADIENT_WEIGHT},
 * {@value #HIDDEN_WEIGHT} and {@value #VOCABULARY_WEIGHT}: gradients see inputs, outputs and what
 * training would change; the other two see the texts only. Gradients at initialisation are
 * dominated by what all examples of a task ask for alike, such as the form of the answer: they
 * cannot tell two tasks that give contradicting answers to the same prompts. {@link Pilot} can.
 *
 * @param gradient corrected cosines of gradients
 * @param uncorrectedGradient the same without correction
 * @param gradientReliability cosine between the halves, by task; 0 where it cannot be told
 * @param hiddenStates of prompts
 * @param vocabulary of all texts
 * @param combined of the three
 */
public record TaskSimilarity(
    SimilarityMatrix gradient,
    SimilarityMatrix uncorrectedGradient,
    ImmutableMap<String, Double> gradientReliability,
    SimilarityMatrix hiddenStates,
    SimilarityMatrix vocabulary,
    SimilarityMatrix combined) {
  /** Dimensions of projected gradients: an error of about 0.011 on a cosine. */
  static final int DIMENSIONS = 8192;

  static final double GRADIENT_WEIGHT = 0.6;
  static final double HIDDEN_WEIGHT = 0.2;
  static final double VOCABULARY_WEIGHT = 0.2;

  /**
   * Reliabilities below this are taken as this much: a correction by more would magnify noise
   * rather than undo it.
   */
  static final double LEAST_RELIABILITY = 0.1;

  /**
   * Measures tasks.
   *
   * @param lora the adapter whose gradients are taken
   * @param examples most examples of each task that gradients and hidden states are taken of; some
   *     dozens give reliabilities of 0.8 and more on small models
   * @param seed of the choice of examples, the adapter's A and the projection
   * @throws IllegalArgumentException if names clash or something given does not fit the model
   */
  public static TaskSimilarity measure(
      LanguageModel model,
      List<Task> tasks,
      LoraConfig lora,
      Hyperparameters hyperparameters,
      int examples,
      long seed) {
    Map<String, List<EncodedExample>> train = new LinkedHashMap<>();
    Task.requireDistinctNames(tasks);
    for (Task t : tasks) {
      train.put(
          t.name(), Sample.encoder(model, hyperparameters).encode(t, Task.Split.TRAIN).examples());
    }
    return measure(
        model,
        train,
        lora,
        hyperparameters,
        examples,
        seed,
        new HashSet<>(),
        AdviceProgress.none());
  }

  /** Measures, and adds to {@code withoutGradient} the tasks whose gradient is no direction. */
  static TaskSimilarity measure(
      LanguageModel model,
      Map<String, List<EncodedExample>> train,
      LoraConfig lora,
      Hyperparameters h,
      int examples,
      long seed,
      Set<String> withoutGradient,
      AdviceProgress progress) {
    checkArgument(examples >= 2, "%s examples cannot be split in two halves", examples);
    ImmutableList<String> names = ImmutableList.copyOf(train.keySet());
    List<List<EncodedExample>> samples = new ArrayList<>();
    train.forEach((name, all) -> samples.add(Sample.of(all, examples, seed, name)));

    Gradients gradients;
    try (Adapter adapter = lora.create(model, "similarity", seed)) {
      gradients =
          gradients(
              model, h, names, samples, adapter, n -> !n.endsWith("lora_A.weight"), seed, progress);
    }
    withoutGradient.addAll(gradients.without);

    List<Moments> moments = new ArrayList<>();
    for (int i = 0; i < names.size(); i++) {
      progress.begin("hidden states of " + names.get(i), HIDDEN_COST);
      moments.add(moments(model, samples.get(i), h.tokensPerPass()));
    }
    double[][] hidden = symmetric(names.size(), (i, j) -> overlap(moments.get(i), moments.get(j)));

    List<List<Map<Integer, Double>>> frequencies = new ArrayList<>();
    for (List<EncodedExample> all : train.values()) {
      frequencies.add(Sample.halves(all).stream().map(TaskSimilarity::frequencies).toList());
    }
    double[][] vocabulary = corrected(frequencies, TaskSimilarity::weightedJaccard, true);

    double[][] combined =
        symmetric(
            names.size(),
            (i, j) -> combined(gradients.corrected.values()[i][j], hidden[i][j], vocabulary[i][j]));
    return new TaskSimilarity(
        gradients.corrected,
        gradients.raw,
        gradients.reliability,
        new SimilarityMatrix(names, hidden),
        new SimilarityMatrix(names, vocabulary),
        new SimilarityMatrix(names, combined));
  }

  /** Returns the mean by weight of what could be told. */
  private static double combined(double gradient, double hidden, double vocabulary) {
    double[] values = {gradient, hidden, vocabulary};
    double[] weights = {GRADIENT_WEIGHT, HIDDEN_WEIGHT, VOCABULARY_WEIGHT};
    double sum = 0;
    double total = 0;
    for (int k = 0; k < values.length; k++) {
      if (!Double.isNaN(values[k])) {
        sum += weights[k] * values[k];
        total += weights[k];
      }
    }
    return sum / total;
  }

  /** What the halves of a task's examples cost to differentiate, and to run forward only. */
  static final double GRADIENT_COST = 3;

  static final double HIDDEN_COST = 1;

  /**
   * Cosines of gradients at one point.
   *
   * @param without tasks whose gradient is zero or not finite
   */
  record Gradients(
      SimilarityMatrix corrected,
      SimilarityMatrix raw,
      ImmutableMap<String, Double> reliability,
      ImmutableSet<String> without) {}

  static Gradients gradients(
      LanguageModel model,
      Hyperparameters h,
      ImmutableList<String> names,
      List<List<EncodedExample>> samples,
      Adapter adapter,
      Predicate<String> parameters,
      long seed,
      AdviceProgress progress) {
    GradientProbe probe = new GradientProbe(model, h, DIMENSIONS, seed);
    List<List<double[]>> halves = new ArrayList<>();
    ImmutableMap.Builder<String, Double> reliability = ImmutableMap.builder();
    ImmutableSet.Builder<String> without = ImmutableSet.builder();
    for (int i = 0; i < names.size(); i++) {
      progress.begin("gradients of " + names.get(i), GRADIENT_COST);
      List<double[]> directions = new ArrayList<>();
      for (List<EncodedExample> half : Sample.halves(samples.get(i))) {
        directions.add(probe.gradient(adapter, half, parameters));
      }
      if (!directions.stream().allMatch(GradientProbe::isDirection)) {
        directions.clear();
        without.add(names.get(i));
      }
      halves.add(directions);
      reliability.put(
          names.get(i),
          directions.size() < 2 ? 0 : GradientProbe.cosine(directions.get(0), directions.get(1)));
    }
    return new Gradients(
        new SimilarityMatrix(names, corrected(halves, GradientProbe::cosine, true)),
        new SimilarityMatrix(names, corrected(halves, GradientProbe::cosine, false)),
        reliability.buildOrThrow(),
        without.build());
  }

  private interface Similarity<T> {
    double of(T a, T b);
  }

  private interface Entry {
    double at(int i, int j);
  }

  /**
   * Returns the mean similarity between halves of different tasks, divided by the geometric mean of
   * both tasks' similarity between their own halves if {@code correct}; that of a task with one
   * half only is taken as 1. NaN for a task without halves.
   */
  private static <T> double[][] corrected(
      List<List<T>> halves, Similarity<T> similarity, boolean correct) {
    double[] own =
        halves.stream()
            .mapToDouble(
                h ->
                    h.size() < 2
                        ? 1
                        : Math.max(LEAST_RELIABILITY, similarity.of(h.get(0), h.get(1))))
            .toArray();
    return symmetric(
        halves.size(),
        (i, j) -> {
          double sum = 0;
          for (T a : halves.get(i)) {
            for (T b : halves.get(j)) {
              sum += similarity.of(a, b);
            }
          }
          double mean = sum / (halves.get(i).size() * halves.get(j).size()); // NaN if there is none
          return correct ? mean / Math.sqrt(own[i] * own[j]) : mean;
        });
  }

  private static double[][] symmetric(int n, Entry entry) {
    double[][] m = new double[n][n];
    for (int i = 0; i < n; i++) {
      m[i][i] = 1;
      for (int j = 0; j < i; j++) {
        m[i][j] = Math.max(-1, Math.min(1, entry.at(i, j)));
        m[j][i] = m[i][j];
      }
    }
    return m;
  }

  /** Mean and variance of each dimension over examples. */
  record Moments(double[] mean, double[] variance, int examples) {}

  private static Moments moments(
      LanguageModel model, List<EncodedExample> examples, int tokensPerPass) {
    int hidden = model.config().hiddenSize();
    double[] sum = new double[hidden];
    double[] squares = new double[hidden];
    for (Pass pass : Pass.divide(examples, List.of(), tokensPerPass)) {
      Batch batch = model.pack(pass).batch();
      float[] states; // [rows, hidden]
      try (INDArray array = model.hiddenStates(batch, Routing.BASE)) {
        states = array.data().asFloat();
      }
      for (int e = 0; e < pass.items().size(); e++) {
        int from = batch.segmentStart()[e];
        int prompt = pass.items().get(e).example().promptLength();
        int to = prompt > 0 ? from + prompt : batch.segmentStart()[e + 1];
        for (int k = 0; k < hidden; k++) {
          double mean = 0;
          for (int row = from; row < to; row++) {
            mean += states[row * hidden + k];
          }
          mean /= to - from;
          sum[k] += mean;
          squares[k] += mean * mean;
        }
      }
    }
    int n = examples.size();
    double[] mean = new double[hidden];
    double[] variance = new double[hidden];
    for (int k = 0; k < hidden; k++) {
      mean[k] = sum[k] / n;
      variance[k] = Math.max(0, (squares[k] - n * mean[k] * mean[k]) / Math.max(1, n - 1));
    }
    return new Moments(mean, variance, n);
  }

  /** Returns one minus the share of variance between two groups, as in the class comment. */
  static double overlap(Moments a, Moments b) {
    if (a.examples < 2 || b.examples < 2) {
      return Double.NaN; // no variance within
    }
    double share = 0;
    for (int k = 0; k < a.mean.length; k++) {
      double within = (a.variance[k] + b.variance[k]) / 2;
      double d = a.mean[k] - b.mean[k];
      double between = Math.max(0, d * d - a.variance[k] / a.examples - b.variance[k] / b.examples);
      share += between == 0 ? 0 : between / (between + 4 * within);
    }
    return 1 - share / a.mean.length;
  }

  private static Map<Integer, Double> frequencies(List<EncodedExample> examples) {
    long total = examples.stream().mapToLong(e -> e.ids().length).sum();
    Map<Integer, Double> frequencies = new HashMap<>();
    for (EncodedExample e : examples) {
      IntStream.of(e.ids()).forEach(id -> frequencies.merge(id, 1.0 / total, Double::sum));
    }
    return frequencies;
  }

  /** Returns {@code sum min(p, q) / sum max(p, q)}. */
  static double weightedJaccard(Map<Integer, Double> p, Map<Integer, Double> q) {
    double least = 0;
    double most = 0;
    for (Map.Entry<Integer, Double> e : p.entrySet()) {
      double other = q.getOrDefault(e.getKey(), 0.0);
      least += Math.min(e.getValue(), other);
      most += Math.max(e.getValue(), other);
    }
    Set<Integer> known = p.keySet();
    for (Map.Entry<Integer, Double> e : q.entrySet()) {
      if (!known.contains(e.getKey())) {
        most += e.getValue();
      }
    }
    return least / most;
  }
}
