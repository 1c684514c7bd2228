package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;
import org.tune4j.core.model.ProjectionGroup;

class LaneTest {
  private static final Hyperparameters H =
      Hyperparameters.builder().examplesPerStep(4).validateEvery(1).patience(2).build();
  private static final Stage STAGE =
      Stage.named("s").train("a", "x", 6).train("b", "x", 4).serve(List.of("a", "b"), "x").build();

  @TempDir Path output;
  private Engine engine;
  private RunAdapters adapters;

  /** A model that is asked for nothing but its engine. */
  private record Silent(Engine engine) implements AdaptableModel {
    @Override
    public String name() {
      return "silent";
    }

    @Override
    public String fingerprint() {
      return name();
    }

    @Override
    public ImmutableList<ProjectionGroup> groups() {
      return ImmutableList.of();
    }

    @Override
    public void requireOpen() {}

    @Override
    public TaskEncoder encoder(int maxLength, LengthPolicy policy, LearnedTurns turns) {
      throw new UnsupportedOperationException();
    }

    @Override
    public PassLosses addGradients(
        Pass pass, float[] weights, Tape.Mode mode, long seed, Runnable pause) {
      throw new UnsupportedOperationException();
    }

    @Override
    public PassLosses losses(Pass pass, Runnable pause) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
  }

  /** Three numbers. */
  private record Numbers(AdaptableModel model, String name, Parameters parameters)
      implements Adapter {
    @Override
    public Optional<ProjectionAdapter> on(ProjectionGroup group) {
      return Optional.empty();
    }

    @Override
    public boolean trainable() {
      return true;
    }

    @Override
    public void setTrainable(boolean trainable) {}

    @Override
    public void save(Path directory) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void close() {
      parameters.close();
    }
  }

  @BeforeEach
  void create() {
    engine = Engines.create(Precision.F32);
    adapters =
        new RunAdapters(
            new Silent(engine),
            (model, name, seed) -> {
              Parameters.Builder builder = Parameters.builder(engine);
              builder.add("w", 1, 3);
              return new Numbers(model, name, builder.build(true));
            },
            TrainingPlan.of("test", STAGE),
            7);
  }

  @AfterEach
  void close() {
    adapters.close();
    engine.close();
  }

  private Lane lane(GradientHook... hooks) {
    Adapter adapter = adapters.train(STAGE, "x");
    ImmutableList<GradientHooks.Active> active =
        Arrays.stream(hooks)
            .map(h -> new GradientHooks.Active(h, h.start(adapter.parameters())))
            .collect(ImmutableList.toImmutableList());
    DataOrder order = DataOrder.of(STAGE.draws("x"), task -> 5, 7, 0);
    return new Lane(
        0, STAGE, adapter, ImmutableList.of(adapter), order, active, H, adapters.size(adapter));
  }

  private static TrainingData data() {
    ImmutableMap.Builder<String, List<EncodedExample>> train = ImmutableMap.builder();
    for (String task : List.of("a", "b")) {
      train.put(
          task,
          IntStream.range(0, 5)
              .mapToObj(
                  i ->
                      new EncodedExample(
                          new int[] {task.charAt(0), i}, new boolean[] {false, true}, 1, i))
              .toList());
    }
    return new TrainingData(train.buildOrThrow(), Map.of(), Map.of(), 2);
  }

  @Test
  void aStepHasItsShareOfTheOrderAndTheLastTheRest() {
    try (Lane lane = lane()) {
      assertThat(lane.steps()).isEqualTo(3);
      List<Pass.Item> all = new ArrayList<>();
      List<Integer> sizes = new ArrayList<>();
      for (int step = 0; step < 3; step++) {
        List<Pass.Item> items = lane.items(step, 4, data(), List.of("other", "a", "b"));
        sizes.add(items.size());
        all.addAll(items);
      }
      assertThat(sizes).containsExactly(4, 4, 2);
      assertThat(all).filteredOn(i -> i.task() == 1).hasSize(6);
      assertThat(all).filteredOn(i -> i.task() == 2).hasSize(4);
      assertThat(all)
          .allMatch(i -> i.example().ids()[0] == (i.task() == 1 ? 'a' : 'b'))
          .allMatch(i -> i.lane() == 0);
    }
  }

  private void set(float value) {
    adapters.fill(adapters.all().get("x"), new float[] {value, value, value});
  }

  @Test
  void itStopsAfterValidationsThatAreNoBetterAndKeepsTheBestWeights() {
    try (Lane lane = lane()) {
      double[] losses = {3, 2, 2.5, 2};
      for (int i = 0; i < losses.length; i++) {
        assertThat(lane.running()).as("validation %s", i).isEqualTo(i < 3);
        lane.countStep();
        assertThat(lane.unmeasured()).isTrue();
        set(i);
        lane.recordValidation(
            Map.of("a", losses[i] - 1, "b", losses[i] + 1), adapters, H.patience());
        assertThat(lane.unmeasured()).isFalse();
      }
      assertThat(lane.running()).isFalse();
      assertThat(lane.bestWeights()).contains(new float[] {1, 1, 1});
      assertThat(lane.bestLosses()).containsEntry("a", 1.0);
      assertThat(lane.losses()).containsEntry("b", 3.0);
    }
  }

  private void step(Lane lane, int step) {
    engine.write(lane.parameters().flatGradients(), new float[] {step + 1, -step, 0.5f * step});
    lane.applyHooks(step, Map.of());
    lane.optimizer().apply(0.1, 1, step + 1);
    lane.countStep();
  }

  @Test
  void aCheckpointHoldsAllThatItGoesOnFrom() throws IOException {
    float[] expected;
    Checkpoint.LaneState state;
    Checkpoint kept;
    try (Lane lane = lane()) {
      step(lane, 0);
      lane.recordValidation(Map.of("a", 1.0), adapters, 2);
      step(lane, 1);
      lane.recordValidation(Map.of("a", 2.0), adapters, 2);
      Map<String, float[]> tensors = new LinkedHashMap<>(lane.tensors());
      tensors.put("w.x", adapters.weights(lane.adapter()));
      kept =
          new Checkpoint(
              "run",
              0,
              2,
              0,
              Map.of("x", lane.state()),
              new StepLog.Position(0, 0, ""),
              List.of(),
              List.of(),
              tensors);
      state = lane.state();
      step(lane, 2);
      expected = adapters.weights(lane.adapter());
    }
    kept.write(output);
    set(99);
    try (Lane lane = lane()) {
      lane.restore(Checkpoint.read(output).orElseThrow(), adapters, output);
      assertThat(lane.state()).isEqualTo(state);
      assertThat(lane.trained()).isEqualTo(2);
      assertThat(lane.bestWeights()).hasValueSatisfying(w -> assertThat(w[0]).isNotEqualTo(99));
      step(lane, 2);
      assertThat(adapters.weights(lane.adapter())).isEqualTo(expected);
    }
  }

  /** Says what it was given. */
  private record Telling(String name, boolean byTask, List<String> told) implements GradientHook {
    @Override
    public State start(Parameters parameters) {
      return g -> {
        Engine e = g.parameters().engine();
        StringBuilder text = new StringBuilder(name + " " + g.step());
        for (Map.Entry<String, Tensor> t : g.byTask().entrySet()) {
          text.append(' ').append(t.getKey()).append(e.read(t.getValue())[0]);
        }
        told.add(text.append(" of ").append(e.read(g.parameters().flatGradients())[0]).toString());
        e.write(g.parameters().flatGradients(), new float[] {0, 0, 0});
      };
    }
  }

  @Test
  void hooksRunInOrderAndGetTheGradientsOfEachTaskIfTheyAsk() {
    List<String> told = new ArrayList<>();
    try (Lane plain = lane(new Telling("plain", false, told))) {
      assertThat(plain.byTask()).isEmpty();
    }
    try (Lane lane = lane(new Telling("first", true, told), new Telling("second", false, told))) {
      TaskGradients apart = lane.byTask().orElseThrow();
      for (int step = 0; step < 2; step++) {
        lane.parameters().zeroGradients();
        apart.clear();
        engine.write(lane.parameters().flatGradients(), new float[] {2, 0, 0});
        apart.store("a");
        assertThat(engine.read(lane.parameters().flatGradients())[0]).isZero();
        if (step == 0) {
          engine.write(lane.parameters().flatGradients(), new float[] {3, 0, 0});
          apart.store("b");
        }
        lane.applyHooks(step, Map.of());
      }
    }
    assertThat(told)
        .containsExactly(
            "first 1 a2.0 b3.0 of 5.0",
            "second 1 of 0.0",
            "first 2 a2.0 of 2.0",
            "second 2 of 0.0");
  }
}
