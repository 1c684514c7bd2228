package org.tune4j.dl4j;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.List;
import java.util.Random;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Pass;
import org.tune4j.core.progress.ProgressListener;

/** Compares gradients with central differences, for adapters of several lanes in one pass. */
final class Gradients {
  private static final double STEP = 1e-3;

  private Gradients() {}

  static List<EncodedExample> examples(Dl4jModel model, String task, int count) {
    TaskEncoder encoder = model.encoder(100, LengthPolicy.TRUNCATE_PROMPT, LearnedTurns.ALL);
    Task known =
        model.tasks().stream().filter(t -> t.name().equals(task)).findFirst().orElseThrow();
    return encoder
        .encode(known, Task.Split.TRAIN, ProgressListener.none(), () -> false)
        .examples()
        .subList(0, count);
  }

  /** Gives an adapter values as they are in the middle of training. */
  static void shake(Dl4jAdapter adapter, long seed) {
    Random random = new Random(seed);
    for (String name : adapter.parameters().names()) {
      float[] values = adapter.values(name);
      for (int i = 0; i < values.length; i++) {
        values[i] += (float) (0.3 * random.nextGaussian());
      }
      adapter.set(name, values);
    }
    adapter.parameters().changed();
  }

  /**
   * Checks all parameters, or a sample of each.
   *
   * @param tasks one for each lane
   */
  static void check(Dl4jModel model, Dl4jLora lora, List<String> tasks, long seed) {
    ImmutableList.Builder<Pass.Item> items = ImmutableList.builder();
    ImmutableList.Builder<ImmutableList<Adapter>> stacks = ImmutableList.builder();
    for (int lane = 0; lane < tasks.size(); lane++) {
      String task = tasks.get(lane);
      Dl4jAdapter below = lora.create(model, "below", ImmutableSet.of(), seed + 10 + lane);
      Dl4jAdapter own = lora.create(model, task, ImmutableSet.of(task), seed + lane);
      shake(below, seed + 20 + lane);
      shake(own, seed + 30 + lane);
      below.setTrainable(false);
      stacks.add(ImmutableList.of(below, own));
      for (EncodedExample e : examples(model, task, 3 + lane)) {
        items.add(new Pass.Item(0, lane, e));
      }
    }
    Pass pass = new Pass(items.build(), stacks.build());
    float[] weights = new float[tasks.size()];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = 0.5f + i;
    }
    model.engine().lock().lock();
    try {
      model.addGradients(pass, weights, Tape.Mode.RECORDING, 1, () -> {});
      model.engine().resetArena();
    } finally {
      model.engine().lock().unlock();
    }
    for (int lane = 0; lane < tasks.size(); lane++) {
      Dl4jAdapter below = (Dl4jAdapter) pass.stacks().get(lane).get(0);
      Dl4jAdapter own = (Dl4jAdapter) pass.stacks().get(lane).get(1);
      assertThat(model.engine().read(below.parameters().flatGradients())).containsOnly(0);
      check(model, pass, weights, own, seed);
    }
    pass.stacks().forEach(stack -> stack.forEach(Adapter::close));
  }

  private static void check(
      Dl4jModel model, Pass pass, float[] weights, Dl4jAdapter adapter, long seed) {
    Random random = new Random(seed);
    Parameters p = adapter.parameters();
    for (String name : p.names()) {
      float[] values = adapter.values(name);
      float[] gradient = adapter.gradient(name);
      double largest = 0;
      for (float g : gradient) {
        largest = Math.max(largest, Math.abs(g));
      }
      assertThat(largest).as(name).isPositive();
      for (int k = 0; k < Math.min(6, values.length); k++) {
        int i = random.nextInt(values.length);
        float before = values[i];
        values[i] = (float) (before + STEP);
        double up = values[i];
        double high = loss(model, pass, weights, adapter, name, values);
        values[i] = (float) (before - STEP);
        double down = values[i];
        double low = loss(model, pass, weights, adapter, name, values);
        values[i] = before;
        double expected = (high - low) / (up - down);
        assertThat((double) gradient[i])
            .as("%s[%s], largest %s", name, i, largest)
            .isCloseTo(expected, org.assertj.core.data.Offset.offset(1e-4 * largest + 2e-6));
      }
      adapter.set(name, values);
      p.changed();
    }
  }

  private static double loss(
      Dl4jModel model,
      Pass pass,
      float[] weights,
      Dl4jAdapter adapter,
      String name,
      float[] values) {
    adapter.set(name, values);
    adapter.parameters().changed();
    double[] sums = model.exactLosses(pass);
    double sum = 0;
    for (int i = 0; i < sums.length; i++) {
      sum += weights[pass.items().get(i).lane()] * sums[i];
    }
    return sum;
  }
}
