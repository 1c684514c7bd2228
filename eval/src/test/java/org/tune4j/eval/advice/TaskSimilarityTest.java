package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableList;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.eval.advice.TaskSimilarity.Moments;
import org.tune4j.eval.affinity.CountSketch;
import org.tune4j.lora.LoraConfig;

class TaskSimilarityTest {
  @TempDir static Path directory;
  private static LanguageModel model;

  @BeforeAll
  static void load() throws Exception {
    model = WordModel.create(directory);
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static TaskSimilarity measure(long seed, Task... tasks) {
    return TaskSimilarity.measure(
        model, List.of(tasks), LoraConfig.rank(4), Hyperparameters.defaults(), 64, seed);
  }

  @Test
  void twoHalvesOfOneTaskAreAlikeAndDifferentTasksAreNot() {
    TaskSimilarity s =
        measure(
            1,
            WordModel.colours("a", 0, 128, 1),
            WordModel.colours("b", 0, 128, 2),
            WordModel.sizes("c", 128, 3));
    for (SimilarityMatrix m :
        List.of(s.gradient(), s.hiddenStates(), s.vocabulary(), s.combined())) {
      assertThat(m.get("a", "b")).as("%s", m).isGreaterThan(0.9);
      assertThat(m.get("a", "c")).as("%s", m).isLessThan(m.get("a", "b") - 0.05);
      assertThat(m.least().similarity()).isEqualTo(Math.min(m.get("a", "c"), m.get("b", "c")));
      assertThat(m.most()).isEqualTo(new SimilarityMatrix.Pair("a", "b", m.get("a", "b")));
      for (String i : m.tasks()) {
        assertThat(m.get(i, i)).isEqualTo(1);
        for (String j : m.tasks()) {
          assertThat(m.get(i, j)).isEqualTo(m.get(j, i)).isBetween(-1.0, 1.0);
        }
      }
    }
    assertThat(s.combined().get("a", "c")).as("%s", s).isLessThan(0.6);
    assertThat(s.gradientReliability().values()).allMatch(r -> r > 0.5 && r <= 1);
    assertThat(s.gradient().get("a", "b"))
        .as("corrected for the noise of halves")
        .isGreaterThanOrEqualTo(s.uncorrectedGradient().get("a", "b"));
  }

  @Test
  void aSeedDeterminesEverything() {
    Task a = WordModel.colours("a", 0, 100, 1);
    Task b = WordModel.sizes("b", 100, 3);
    assertThat(measure(7, a, b)).isEqualTo(measure(7, a, b));
    assertThat(measure(8, a, b)).isNotEqualTo(measure(7, a, b));
  }

  @Test
  void oneExampleIsEnoughToBeMeasuredThoughNotReliably() {
    TaskSimilarity s =
        measure(1, WordModel.colours("a", 0, 1, 1), WordModel.colours("b", 0, 64, 2));
    assertThat(s.gradientReliability().get("a")).isZero();
    assertThat(s.combined().get("a", "b")).isBetween(-1.0, 1.0);
  }

  @Test
  void refusesTooFewExamplesAndEqualNames() {
    Task a = WordModel.colours("a", 0, 10, 1);
    assertThatThrownBy(
            () ->
                TaskSimilarity.measure(
                    model, List.of(a), LoraConfig.rank(4), Hyperparameters.defaults(), 1, 0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("1 examples");
    assertThatThrownBy(() -> measure(0, a, a))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("two tasks are named 'a'");
  }

  @Property(tries = 50)
  void weightedJaccardIsSymmetricBoundedAndOneForEqualFrequencies(
      @ForAll @Size(5) List<@IntRange(min = 1, max = 9) Integer> p,
      @ForAll @Size(5) List<@IntRange(min = 1, max = 9) Integer> q,
      @ForAll @IntRange(min = 0, max = 5) int shift) {
    Map<Integer, Double> a = frequencies(p, 0);
    Map<Integer, Double> b = frequencies(q, shift);
    double j = TaskSimilarity.weightedJaccard(a, b);
    assertThat(j).isBetween(0.0, 1.0);
    assertThat(TaskSimilarity.weightedJaccard(b, a)).isCloseTo(j, within(1e-12));
    assertThat(TaskSimilarity.weightedJaccard(a, a)).isEqualTo(1);
    if (shift == 5) {
      assertThat(j).as("no token in common").isZero();
    }
  }

  private static Map<Integer, Double> frequencies(List<Integer> counts, int first) {
    double total = counts.stream().mapToInt(Integer::intValue).sum();
    Map<Integer, Double> f = new HashMap<>();
    for (int i = 0; i < counts.size(); i++) {
      f.put(first + i, counts.get(i) / total);
    }
    return f;
  }

  @Property(tries = 50)
  void overlapFallsAsMeansMoveApart(
      @ForAll @DoubleRange(min = 0, max = 10) double near,
      @ForAll @DoubleRange(min = 0, max = 10) double further,
      @ForAll @DoubleRange(min = 0.1, max = 3) double variance) {
    Moments a = new Moments(new double[] {0, 1}, new double[] {variance, variance}, 1000);
    Moments b = new Moments(new double[] {near, 1}, new double[] {variance, variance}, 1000);
    Moments c =
        new Moments(new double[] {near + further, 1}, new double[] {variance, variance}, 1000);
    assertThat(TaskSimilarity.overlap(a, a)).isEqualTo(1);
    assertThat(TaskSimilarity.overlap(a, c))
        .isLessThanOrEqualTo(TaskSimilarity.overlap(a, b))
        .isGreaterThanOrEqualTo(0.5); // one of two dimensions is the same
  }

  @Property(tries = 20)
  void countSketchKeepsCosines(
      @ForAll @DoubleRange(min = -1, max = 1) double cosine, @ForAll long seed) {
    int n = 20_000;
    SplittableRandom random = new SplittableRandom(seed);
    float[] a = new float[n];
    float[] b = new float[n];
    for (int i = 0; i < n; i++) {
      double u = random.nextGaussian();
      a[i] = (float) u;
      b[i] = (float) (cosine * u + Math.sqrt(1 - cosine * cosine) * random.nextGaussian());
    }
    double[] whole = new double[n];
    double[] other = new double[n];
    for (int i = 0; i < n; i++) {
      whole[i] = a[i];
      other[i] = b[i];
    }
    double exact = GradientProbe.cosine(whole, other);
    double[] sketchA = new double[TaskSimilarity.DIMENSIONS];
    double[] sketchB = new double[TaskSimilarity.DIMENSIONS];
    CountSketch.add(a, 0, seed, sketchA);
    // in two parts, as matrices come
    CountSketch.add(java.util.Arrays.copyOfRange(b, 0, 700), 0, seed, sketchB);
    CountSketch.add(java.util.Arrays.copyOfRange(b, 700, n), 700, seed, sketchB);
    // five standard errors
    assertThat(GradientProbe.cosine(sketchA, sketchB))
        .isCloseTo(exact, within(5 / Math.sqrt(8192)));
  }

  @Test
  void matricesRefuseWhatIsNoSimilarity() {
    ImmutableList<String> names = ImmutableList.of("a", "b");
    assertThatThrownBy(() -> new SimilarityMatrix(names, new double[][] {{1, 0.5}, {0.4, 1}}))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'a' and 'b'");
    assertThatThrownBy(() -> new SimilarityMatrix(names, new double[][] {{1, 0}, {0, 0.9}}))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'b' is 0.9 similar to itself");
    assertThatThrownBy(() -> new SimilarityMatrix(names, new double[][] {{1, 2}, {2, 1}}))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> new SimilarityMatrix(names, new double[][] {{1}}))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("1 rows for 2 tasks");
    SimilarityMatrix m = new SimilarityMatrix(names, new double[][] {{1, 0.5}, {0.5, 1}});
    assertThatThrownBy(() -> m.get("a", "c"))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'c'");
    m.values()[0][1] = 7;
    assertThat(m.get("a", "b")).isEqualTo(0.5);
    assertThat(new SimilarityMatrix(ImmutableList.of("a"), new double[][] {{1}}).mean())
        .isEqualTo(1);
  }
}
