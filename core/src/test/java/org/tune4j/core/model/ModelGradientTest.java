package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Tape;

/** The whole backward pass against central differences, and its modes against each other. */
class ModelGradientTest {
  static Stream<String> names() {
    return TinyModels.NAMES.stream();
  }

  /** Two segments, not all rows with a target, and a filler. */
  private static Batch batch() {
    int n = 20;
    int[] ids = new int[n];
    int[] positions = new int[n];
    int[] targets = new int[n];
    int[] starts = {0, 11, 17, 20};
    for (int i = 0; i < n; i++) {
      ids[i] = (i * 17 + 3) % 61;
      positions[i] = i < 11 ? i : i < 17 ? i - 11 : i - 17;
      targets[i] = i % 3 == 1 && i < 17 ? (i * 29 + 7) % 61 : -1;
    }
    return new Batch(ids, positions, starts, targets, new int[] {0, 1, -1}, null);
  }

  private static float[] gradients(
      LanguageModel model,
      TinyModels.LowRank adapter,
      Routing routing,
      Tape.Mode mode,
      float[] weights) {
    Engine engine = model.engine();
    engine.lock().lock();
    try {
      adapter.parameters().zeroGradients();
      Tape tape = Tape.training(engine, mode, 1);
      model.loss(tape, batch(), routing, weights);
      tape.backward();
      return adapter.gradients();
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
  }

  @ParameterizedTest
  @MethodSource("names")
  void agreesWithCentralDifferences(String name) {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model(name, engine);
        TinyModels.LowRank adapter = new TinyModels.LowRank(model, 3)) {
      Routing routing = Routing.all(20, List.of(adapter));
      float[] at = adapter.get();
      float[] gradient = gradients(model, adapter, routing, Tape.Mode.RECORDING, null);
      Random random = new Random(1);
      for (int trial = 0; trial < 5; trial++) {
        // directions that lean towards the gradient, so that the derivative is far from 0
        double norm = 0;
        for (float g : gradient) {
          norm += g * g;
        }
        norm = Math.sqrt(norm);
        float[] direction = new float[at.length];
        double predicted = 0;
        for (int i = 0; i < at.length; i++) {
          direction[i] =
              (float) (gradient[i] / norm + random.nextGaussian() / Math.sqrt(at.length));
          predicted += direction[i] * gradient[i];
        }
        double h = 2e-3;
        double measured =
            (lossAt(model, adapter, routing, at, direction, h)
                    - lossAt(model, adapter, routing, at, direction, -h))
                / (2 * h);
        assertThat(measured).isCloseTo(predicted, within(2e-3 * Math.abs(predicted) + 1e-4));
      }
    }
  }

  private static double lossAt(
      LanguageModel model,
      TinyModels.LowRank adapter,
      Routing routing,
      float[] at,
      float[] direction,
      double h) {
    float[] moved = at.clone();
    for (int i = 0; i < moved.length; i++) {
      moved[i] += (float) (h * direction[i]);
    }
    adapter.set(moved);
    double loss = model.loss(batch(), routing).mean();
    adapter.set(at);
    return loss;
  }

  @ParameterizedTest
  @MethodSource("names")
  void checkpointingGivesTheSameBits(String name) {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model(name, engine);
        TinyModels.LowRank adapter = new TinyModels.LowRank(model, 3)) {
      Routing routing = Routing.all(20, List.of(adapter));
      float[] recorded = gradients(model, adapter, routing, Tape.Mode.RECORDING, null);
      assertThat(gradients(model, adapter, routing, Tape.Mode.CHECKPOINTING, null))
          .isEqualTo(recorded);
      assertThat(gradients(model, adapter, routing, Tape.Mode.RECORDING, null)).isEqualTo(recorded);
    }
  }

  @Test
  void memoryIsEstimatedAboveWhatIsUsedButNotFarAbove() {
    for (Tape.Mode mode : List.of(Tape.Mode.RECORDING, Tape.Mode.CHECKPOINTING)) {
      try (Engine engine = TinyModels.engine();
          LanguageModel model = TinyModels.model("llama", engine);
          TinyModels.LowRank adapter = new TinyModels.LowRank(model, 3)) {
        int n = 2048;
        int[] ids = new int[n];
        int[] positions = new int[n];
        int[] starts = new int[n / 32 + 1];
        for (int i = 0; i < n; i++) {
          ids[i] = i % 61;
          positions[i] = i % 32;
          starts[i / 32 + 1] = i + 1;
        }
        Batch batch = new Batch(ids, positions, starts, ids, new int[n / 32], null);
        model.step(
            () -> {
              Tape tape = Tape.training(engine, mode, 1);
              model.loss(tape, batch, Routing.all(n, List.of(adapter)), null);
              tape.backward();
              return null;
            });
        long used = engine.memory().arenaPeak();
        long estimate =
            MemoryEstimate.of(model.config(), engine, n, 32, adapter.parameters().size(), mode)
                .activations();
        assertThat(used).isBetween(estimate / 4, estimate);
      }
    }
  }

  @Test
  void adaptersOnTheirOwnRowsDoNotMix() {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("llama", engine);
        TinyModels.LowRank first = new TinyModels.LowRank(model, 3);
        TinyModels.LowRank second = new TinyModels.LowRank(model, 4)) {
      Routing both =
          new Routing(
              ImmutableList.of(
                  new Routing.Slice(0, 11, ImmutableList.of(first)),
                  new Routing.Slice(11, 6, ImmutableList.of(second))));
      float[] weights = {1, 1, 1, 1, 0, 0}; // targets of the first segment only
      second.parameters().zeroGradients();
      float[] gradient = gradients(model, first, both, Tape.Mode.RECORDING, weights);
      assertThat(second.gradients()).containsOnly(0f);
      Routing alone = Routing.all(20, List.of(first));
      assertThat(gradient)
          .usingComparatorWithPrecision(1e-5f)
          .containsExactly(gradients(model, first, alone, Tape.Mode.RECORDING, weights));
    }
  }

  @Test
  void stacksOfAdaptersTrainOnlyTheTrainable() {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("gpt2", engine);
        TinyModels.LowRank frozen = new TinyModels.LowRank(model, 3);
        TinyModels.LowRank trained = new TinyModels.LowRank(model, 4)) {
      frozen.setTrainable(false);
      frozen.parameters().zeroGradients();
      Routing stack = Routing.all(20, List.of(frozen, trained));
      float[] gradient = gradients(model, trained, stack, Tape.Mode.RECORDING, null);
      assertThat(frozen.gradients()).containsOnly(0f);
      assertThat(gradients(model, trained, stack, Tape.Mode.CHECKPOINTING, null))
          .isEqualTo(gradient);
      assertThat(model.loss(batch(), stack).mean())
          .isNotCloseTo(
              model.loss(batch(), Routing.all(20, List.of(trained))).mean(), within(1e-3));
    }
  }
}
