package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.GradientHook;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.PeftFormat;
import org.tune4j.testing.TinyRuns;

/** Elastic weight consolidation and orthogonal subspaces in a training. */
class SequentialHooksTest {
  private static final List<Task> TASKS =
      List.of(TinyRuns.task("a", 40, 0), TinyRuns.task("b", 40, 0), TinyRuns.task("c", 12, 0));
  private static final Stage STAGE = Stage.named("s").train("a", "x", 1).build();

  @TempDir static Path directory;
  private static LanguageModel model;
  private static Engine engine;
  private static final AtomicInteger RUNS = new AtomicInteger();

  @BeforeAll
  static void load() {
    model = TinyRuns.load(TinyRuns.writeModel(directory.resolve("model")));
    engine = model.engine();
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static FineTuner tuner(TrainingStrategy strategy, List<Task> tasks) {
    return FineTuner.of(model)
        .tasks(tasks)
        .lora(TinyRuns.LORA)
        .strategy(strategy)
        .hyperparameters(TinyRuns.hyperparameters().epochs(3).checkpointEvery(4).build())
        .output(directory.resolve("run-" + RUNS.incrementAndGet()));
  }

  // ---- penalties

  private static Parameters parameters(Map<String, float[]> matrices, int cols) {
    Parameters.Builder builder = Parameters.builder(engine);
    matrices.forEach((name, values) -> builder.add(name, values.length / cols, cols));
    Parameters all = builder.build(true);
    matrices.forEach((name, values) -> engine.write(all.weight(all.slot(name)), values));
    all.changed();
    return all;
  }

  private static float[] random(Random random, int size) {
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  private static float[] applied(
      GradientHook.State state, Parameters parameters, Parameters... below) {
    parameters.zeroGradients();
    state.apply(
        new GradientHook.Gradients(
            STAGE,
            1,
            parameters,
            ImmutableList.copyOf(below),
            ImmutableMap.of(),
            ImmutableMap.of()));
    float[] gradients = engine.read(parameters.flatGradients());
    engine.resetArena();
    return gradients;
  }

  /** Central differences of a penalty at some values. */
  private static float[] differences(Function<double[], Double> penalty, float[] at) {
    float[] all = new float[at.length];
    double e = 1e-4;
    for (int i = 0; i < at.length; i++) {
      double[] moved = new double[at.length];
      for (int k = 0; k < at.length; k++) {
        moved[k] = at[k];
      }
      moved[i] = at[i] + e;
      double high = penalty.apply(moved);
      moved[i] = at[i] - e;
      all[i] = (float) ((high - penalty.apply(moved)) / (2 * e));
    }
    return all;
  }

  @Test
  void ewcAddsTheGradientOfTheSumOfAllStagesPenalties() {
    int size = 7;
    Random random = new Random(5);
    List<float[]> ends = List.of(random(random, size), random(random, size));
    List<List<float[]>> gradients = new ArrayList<>();
    for (int s = 0; s < ends.size(); s++) {
      List<float[]> of = new ArrayList<>();
      for (int e = 0; e < 3; e++) {
        float[] g = random(random, size);
        g[2] = 0; // what no example depends on
        of.add(g);
      }
      gradients.add(of);
    }
    float[] now = random(random, size);
    Function<double[], Double> penalty =
        w -> {
          double sum = 0;
          for (int s = 0; s < ends.size(); s++) {
            for (int i = 0; i < size; i++) {
              double fisher = 0;
              for (float[] g : gradients.get(s)) {
                fisher += (double) g[i] * g[i] / gradients.get(s).size();
              }
              double away = w[i] - ends.get(s)[i];
              sum += 30 / 2.0 * fisher * away * away;
            }
          }
          return sum;
        };
    ElasticWeights hook = new ElasticWeights(30, 8);
    engine.lock().lock();
    try (Parameters p = parameters(Map.of("w", now), size);
        GradientHook.State state = hook.start(p);
        GradientHook.State restored = hook.start(p)) {
      assertThat(applied(state, p)).as("nothing is held to yet").containsOnly(0f);
      for (int s = 0; s < ends.size(); s++) {
        List<float[]> of = gradients.get(s);
        engine.write(p.flat(), ends.get(s));
        state.stageEnds(
            STAGE,
            p,
            (count, then) -> {
              assertThat(count).isEqualTo(8);
              for (float[] g : of) {
                engine.write(p.flatGradients(), g);
                then.run();
              }
              return of.size();
            });
      }
      engine.write(p.flat(), now);
      float[] expected = differences(penalty, now);
      float[] found = applied(state, p);
      assertThat(found).containsExactly(expected, Offset.offset(2e-3f));
      assertThat(found[2]).isZero();
      restored.restore(state.save());
      assertThat(applied(restored, p)).containsExactly(found);
    } finally {
      engine.lock().unlock();
    }
  }

  @Test
  void orthogonalAddsTheGradientOfTheOverlaps() {
    int in = 5;
    Random random = new Random(9);
    String a = "m.lora_A.weight";
    float[] own = random(random, 2 * in);
    List<float[]> earlier = List.of(random(random, 3 * in), random(random, 2 * in));
    Function<double[], Double> penalty =
        w -> {
          double sum = 0;
          for (float[] of : earlier) {
            for (int j = 0; j < of.length / in; j++) {
              for (int k = 0; k < 2; k++) {
                double product = 0;
                for (int i = 0; i < in; i++) {
                  product += of[j * in + i] * w[k * in + i];
                }
                sum += 0.7 * product * product;
              }
            }
          }
          return sum;
        };
    engine.lock().lock();
    try (Parameters p = parameters(ImmutableMap.of(a, own, "m.lora_B.weight", own), in);
        Parameters first = parameters(ImmutableMap.of(a, earlier.get(0)), in);
        Parameters second =
            parameters(ImmutableMap.of("other.lora_A.weight", own, a, earlier.get(1)), in);
        GradientHook.State state = new OrthogonalSubspaces(0.7).start(p)) {
      float[] found = applied(state, p, first, second);
      assertThat(Arrays.copyOf(found, own.length))
          .containsExactly(differences(penalty, own), Offset.offset(1e-3f));
      assertThat(Arrays.copyOfRange(found, own.length, found.length))
          .as("B is free")
          .containsOnly(0f);
    } finally {
      engine.lock().unlock();
    }
    try (Parameters p = parameters(Map.of("w", own), in)) {
      assertThatThrownBy(() -> new OrthogonalSubspaces(1).start(p))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("lora_A");
    }
  }

  // ---- training

  /** How far the adapter moved after the first task, as a root mean square. */
  private static double moved(FineTuningResult result) throws IOException {
    float[] end = TinyRuns.weights(result.adaptersFor("a").get(0));
    try (Adapter first = PeftFormat.load(model, "first", result.savedAfterOwnStage("a"))) {
      float[] start = TinyRuns.weights(first);
      double sum = 0;
      for (int i = 0; i < end.length; i++) {
        sum += Math.pow(end[i] - start[i], 2);
      }
      return Math.sqrt(sum / end.length);
    }
  }

  @Test
  void withAHugeStrengthParametersStay() throws IOException {
    List<Task> two = TASKS.subList(0, 2);
    try (FineTuningResult free = tuner(Sequential.inOrder(), two).run();
        FineTuningResult none = tuner(Sequential.inOrder().ewc(0), two).run();
        FineTuningResult held = tuner(Sequential.inOrder().ewc(1e9), two).run()) {
      assertThat(TinyRuns.bits(none.training())).isEqualTo(TinyRuns.bits(free.training()));
      assertThat(moved(held)).isLessThan(0.2 * moved(free));
      assertThat(held.adaptersFor("a")).isEqualTo(held.adaptersFor("b")).hasSize(1);
    }
  }

  /** The squared products of rows of the second adapter's A and the first's, of all sizes one. */
  private static double overlap(FineTuningResult result) {
    List<LoraAdapter> stack = result.adaptersFor("a").stream().map(a -> (LoraAdapter) a).toList();
    double sum = 0;
    for (String name : OrthogonalSubspaces.subspaces(stack.get(0).parameters())) {
      float[] one = stack.get(0).values(name);
      float[] other = stack.get(1).values(name);
      int in = stack.get(0).parameters().slot(name).cols();
      for (int j = 0; j < one.length; j += in) {
        for (int k = 0; k < other.length; k += in) {
          double product = 0;
          double a = 0;
          double b = 0;
          for (int i = 0; i < in; i++) {
            product += one[j + i] * other[k + i];
            a += one[j + i] * one[j + i];
            b += other[k + i] * other[k + i];
          }
          sum += product * product / (a * b);
        }
      }
    }
    return sum;
  }

  @Test
  void orthogonalAdaptersOverlapFarLess() throws IOException {
    List<Task> two = TASKS.subList(0, 2);
    try (FineTuningResult free = tuner(Sequential.inOrder().orthogonal(0), two).run();
        FineTuningResult apart = tuner(Sequential.inOrder().orthogonal(10), two).run()) {
      assertThat(overlap(apart)).isLessThan(0.1 * overlap(free));
      assertThat(apart.adaptersFor("a"))
          .as("all tasks are served by the whole stack")
          .isEqualTo(apart.adaptersFor("b"))
          .hasSize(2);
    }
  }

  static List<TrainingStrategy> strategies() {
    return List.of(
        Sequential.inOrder().ewc(50, 6),
        Sequential.inOrder().replay(0.3).ewc(50),
        Sequential.inOrder().orthogonal(0.5));
  }

  @ParameterizedTest
  @MethodSource("strategies")
  void stopsAnywhereAndGoesOnWithTheSameBits(TrainingStrategy strategy) throws IOException {
    Map<String, List<Float>> whole;
    int steps;
    try (FineTuningResult result = tuner(strategy, TASKS).run()) {
      whole = TinyRuns.bits(result.training());
      steps = result.training().steps().size();
    }
    FineTuner tuner = tuner(strategy, TASKS).resume();
    for (int stop : List.of(30, 2, steps / 4)) { // the first stage has 30 steps
      AtomicInteger asked = new AtomicInteger();
      tuner.cancelled(() -> asked.getAndIncrement() >= stop).run().close();
    }
    try (FineTuningResult result = tuner.cancelled(() -> false).run()) {
      assertThat(TinyRuns.bits(result.training())).isEqualTo(whole);
    }
  }

  @Test
  void thePlanTellsWhatItCosts() {
    TrainingPlan plan = tuner(Sequential.inOrder().ewc(100), TASKS).plan();
    assertThat(plan.describe())
        .contains("(EWC, strength 100.0; Fisher information of 128 examples after a stage)");
    assertThat(plan.gradientCopies()).isEqualTo(3);
    // 120 of each of the first two stages, none after the last
    Map<String, Double> tokens = Map.of("a", 10.0, "b", 20.0, "c", 30.0);
    assertThat(plan.tokensAtEnds(tokens)).isEqualTo(120 * 10 + 120 * 20);
    assertThat(plan.tokens(tokens)).isEqualTo(120 * 10 + 120 * 20 + 36 * 30 + 120 * 30);
    assertThat(tuner(Sequential.inOrder(), TASKS).plan().tokensAtEnds(tokens)).isZero();
    assertThat(tuner(Sequential.inOrder().orthogonal(0.5), TASKS).plan().describe())
        .contains("on top of frozen 1-a, 2-b, gradients through orthogonal subspaces (O-LoRA");
  }

  @Test
  void whatDoesNotGoTogetherIsRefused() {
    List<Runnable> wrong =
        List.of(
            () -> Sequential.inOrder().stacked().ewc(1),
            () -> Sequential.inOrder().ewc(1).merging(),
            () -> Sequential.inOrder().merging().orthogonal(1),
            () -> Sequential.inOrder().orthogonal(1).merging(),
            () -> Sequential.inOrder().ewc(-1),
            () -> Sequential.inOrder().orthogonal(Double.NaN),
            () -> Sequential.inOrder().ewc(1, 0));
    for (Runnable w : wrong) {
      assertThatThrownBy(w::run)
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageMatching(".*(ewc|orthogonal).*");
    }
  }
}
