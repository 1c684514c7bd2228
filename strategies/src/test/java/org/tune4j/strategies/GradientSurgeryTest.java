package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;
import org.assertj.core.data.Offset;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.train.GradientHook;
import org.tune4j.core.train.Stage;

/** What gradient surgery makes of the gradients of tasks. */
class GradientSurgeryTest {
  private static Engine engine;

  @BeforeContainer
  static void load() {
    engine = Engines.create(Precision.F32);
  }

  @AfterContainer
  static void close() {
    engine.close();
  }

  /** What came out: of each task's gradient, the part that is in the sum, and the sum. */
  private record Operated(float[] whole, List<float[]> parts, List<GradientHook.Figure> figures) {}

  private static Operated operate(float[][] gradients, int step) {
    int size = gradients[0].length;
    Parameters.Builder builder = Parameters.builder(engine);
    builder.add("w", 1, size);
    Map<String, Tensor> byTask = new LinkedHashMap<>();
    try (Parameters parameters = builder.build(true)) {
      for (int t = 0; t < gradients.length; t++) {
        Tensor own = engine.persistent(1, size, DType.F32);
        engine.write(own, gradients[t]);
        engine.add(own, parameters.flatGradients());
        byTask.put("t" + t, own);
      }
      ImmutableList<String> tasks = ImmutableList.copyOf(byTask.keySet());
      Stage.Builder stage = Stage.named("s");
      tasks.forEach(t -> stage.train(t, "x", 1));
      try (GradientHook.State state = new GradientSurgery(tasks, 7).start(parameters)) {
        state.apply(
            new GradientHook.Gradients(
                stage.build(),
                step,
                parameters,
                ImmutableList.of(),
                ImmutableMap.copyOf(byTask),
                ImmutableMap.of()));
        return new Operated(
            engine.read(parameters.flatGradients()),
            byTask.values().stream().map(engine::read).toList(),
            state.figures());
      }
    } finally {
      byTask.values().forEach(engine::free);
      engine.resetArena();
    }
  }

  private static float[][] random(Random random, int tasks, int size) {
    float[][] all = new float[tasks][size];
    for (float[] g : all) {
      float scale = (float) Math.pow(10, random.nextInt(5) - 3);
      for (int i = 0; i < size; i++) {
        g[i] = scale * (float) random.nextGaussian();
      }
    }
    return all;
  }

  private static double dot(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += (double) a[i] * b[i];
    }
    return sum;
  }

  private static double norm(float[] a) {
    return Math.sqrt(dot(a, a));
  }

  @Property(tries = 60)
  void twoTasksAreLeftWithoutConflict(
      @ForAll Random random, @ForAll @IntRange(min = 1, max = 400) int size) {
    float[][] g = random(random, 2, size);
    if (dot(g[0], g[1]) > 0) { // make them conflict
      for (int i = 0; i < size; i++) {
        g[1][i] = -g[1][i];
      }
    }
    Operated out = operate(g, 1);
    for (int t = 0; t < 2; t++) {
      assertThat(dot(out.whole(), g[t]) / (norm(g[t]) * (norm(g[0]) + norm(g[1]))))
          .as("the step against task %s", t)
          .isGreaterThan(-1e-5);
    }
  }

  @Property(tries = 60)
  void gradientsWithoutConflictKeepTheirBits(
      @ForAll Random random, @ForAll @IntRange(min = 1, max = 5) int tasks) {
    float[][] g = random(random, tasks, 64);
    for (float[] of : g) {
      for (int i = 0; i < of.length; i++) {
        of[i] = Math.abs(of[i]); // all in one quadrant
      }
    }
    float[] sum = new float[64];
    for (float[] of : g) {
      for (int i = 0; i < sum.length; i++) {
        sum[i] += of[i];
      }
    }
    Operated out = operate(g, 3);
    assertThat(out.whole()).containsExactly(sum);
    assertThat(out.parts()).containsExactly(g);
  }

  /** The algorithm as the paper has it, on vectors, with the others of each task in some order. */
  private static float[] algorithm(float[][] g, int[][] orders) {
    float[] sum = new float[g[0].length];
    for (int i = 0; i < g.length; i++) {
      float[] left = g[i].clone();
      for (int j : orders[i]) {
        double dot = dot(left, g[j]);
        if (dot < 0) {
          double factor = dot / dot(g[j], g[j]);
          for (int k = 0; k < left.length; k++) {
            left[k] -= (float) (factor * g[j][k]);
          }
        }
      }
      for (int k = 0; k < sum.length; k++) {
        sum[k] += left[k];
      }
    }
    return sum;
  }

  @Property(tries = 60)
  void threeTasksComeOutAsByTheAlgorithmInSomeOrder(@ForAll Random random) {
    float[][] g = random(random, 3, 5);
    Operated out = operate(g, random.nextInt(100));
    List<float[]> possible = new ArrayList<>();
    for (int orders = 0; orders < 8; orders++) {
      int[][] of = new int[3][];
      for (int i = 0; i < 3; i++) {
        int one = (i + 1) % 3;
        int other = (i + 2) % 3;
        of[i] = (orders >> i & 1) == 0 ? new int[] {one, other} : new int[] {other, one};
      }
      possible.add(algorithm(g, of));
    }
    float largest = 0;
    for (float[] of : g) {
      largest = Math.max(largest, (float) norm(of));
    }
    Offset<Float> tolerance = Offset.offset(1e-5f * largest);
    assertThat(possible).anySatisfy(p -> assertThat(out.whole()).containsExactly(p, tolerance));
    assertThat(out.parts().stream().reduce(GradientSurgeryTest::plus).orElseThrow())
        .as("the tasks' parts add up to the whole")
        .containsExactly(out.whole(), tolerance);
  }

  private static float[] plus(float[] a, float[] b) {
    float[] sum = a.clone();
    for (int i = 0; i < sum.length; i++) {
      sum[i] += b[i];
    }
    return sum;
  }

  @Example
  void theOrderIsRandomAndFollowsFromTheStep() {
    float[][] g = {{1, 0.2f, 0}, {-1, 0.5f, 0.3f}, {-0.4f, -1, 0.5f}};
    List<List<Float>> seen = new ArrayList<>();
    for (int step = 1; step <= 40; step++) {
      float[] whole = operate(g, step).whole();
      assertThat(operate(g, step).whole()).containsExactly(whole);
      List<Float> values = List.of(whole[0], whole[1], whole[2]);
      if (!seen.contains(values)) {
        seen.add(values);
      }
    }
    assertThat(seen).hasSizeBetween(2, 8);
  }

  @Example
  void conflictsAreCounted() {
    Operated out = operate(new float[][] {{3, 0}, {-1, 1}, {0, 0}}, 1);
    assertThat(out.figures())
        .filteredOn(f -> f.tasks().equals(List.of("t0", "t1")))
        .extracting(GradientHook.Figure::value)
        .containsExactly(1.0, 1.0, (double) (float) -Math.sqrt(0.5));
    assertThat(out.figures())
        .filteredOn(f -> f.tasks().contains("t2"))
        .extracting(GradientHook.Figure::value)
        .as("a gradient that is zero conflicts with nothing")
        .containsExactly(1.0, 0.0, 0.0, 1.0, 0.0, 0.0);
  }
}
