package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntUnaryOperator;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.MemoryEstimate;
import org.tune4j.testing.TinyRuns;

/** Gradient surgery and weights by uncertainty in a training. */
class MultiTaskHooksTest {
  private static final List<Task> TASKS =
      List.of(TinyRuns.task("a", 40, 0), TinyRuns.task("b", 24, 0), TinyRuns.task("c", 12, 0));

  @TempDir static Path directory;
  private static LanguageModel model;
  private static final AtomicInteger RUNS = new AtomicInteger();

  @BeforeAll
  static void load() {
    model = TinyRuns.load(TinyRuns.writeModel(directory.resolve("model")));
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
        .hyperparameters(TinyRuns.hyperparameters().epochs(3).examplesPerStep(6).build())
        .output(directory.resolve("run-" + RUNS.incrementAndGet()));
  }

  static List<MultiTask> strategies() {
    return List.of(
        MultiTask.uniform().gradientSurgery(),
        MultiTask.uniform().uncertaintyWeighting(),
        MultiTask.uniform().uncertaintyWeighting().gradientSurgery());
  }

  /** All that must be the same after a run was stopped. */
  private static List<Object> outcome(FineTuningResult result) {
    return List.of(TinyRuns.bits(result.training()), result.conflicts(), result.taskWeights());
  }

  @ParameterizedTest
  @MethodSource("strategies")
  void whatIsFoundOutSurvivesStopsAndIsToldAgain(MultiTask strategy) throws IOException {
    List<Object> whole;
    int steps;
    try (FineTuningResult result = tuner(strategy, TASKS).run()) {
      whole = outcome(result);
      steps = result.training().steps().size();
    }
    FineTuner tuner = tuner(strategy, TASKS);
    for (int stop : List.of(1, steps / 2, steps - 1)) {
      AtomicInteger asked = new AtomicInteger();
      tuner.resume().cancelled(() -> asked.getAndIncrement() >= stop / 2 + 1).run().close();
    }
    for (int again = 0; again < 2; again++) {
      try (FineTuningResult result = tuner.resume().cancelled(() -> false).run()) {
        assertThat(result.completed()).isTrue();
        assertThat(outcome(result)).isEqualTo(whole);
      }
    }
  }

  @Test
  void conflictsAreOfEveryTwoTasksThatMet() throws IOException {
    try (FineTuningResult result = tuner(strategies().get(0), TASKS).run()) {
      long steps = result.training().steps().size();
      assertThat(result.conflicts())
          .extracting(c -> c.first() + c.second())
          .containsExactly("ab", "ac", "bc");
      assertThat(result.conflicts())
          .allSatisfy(
              c -> {
                assertThat(c.steps()).isBetween(steps / 2, steps);
                assertThat(c.share()).isBetween(0.0, 1.0);
                assertThat(c.meanCosine()).isBetween(-1.0, 1.0);
              });
      assertThat(result.conflicts()).anySatisfy(c -> assertThat(c.share()).isPositive());
      assertThat(result.taskWeights()).isEmpty();
      try (FineTuningResult plain = tuner(MultiTask.uniform(), TASKS).run()) {
        assertThat(TinyRuns.bits(plain.training())).isNotEqualTo(TinyRuns.bits(result.training()));
        assertThat(plain.conflicts()).isEmpty();
      }
    }
  }

  /** The prompts of a task with other answers. */
  private static Task answered(String name, IntUnaryOperator words) {
    List<Example> all = new ArrayList<>();
    for (Example e : TinyRuns.task(name, 40, 0).train()) {
      all.add(Example.of(e.prompt(), " w" + words.applyAsInt(all.size())));
    }
    return Task.builder(name).train(all).build();
  }

  @Test
  void theNoisierTaskCountsLess() throws IOException {
    Random random = new Random(3);
    List<Task> tasks =
        List.of(answered("clear", i -> 9), answered("noise", i -> random.nextInt(50)));
    FineTuner tuner =
        tuner(MultiTask.uniform().uncertaintyWeighting(), tasks)
            .hyperparameters(TinyRuns.hyperparameters().learningRate(0.1).epochs(12).build());
    try (FineTuningResult result = tuner.run()) {
      Map<String, Double> weights = result.taskWeights();
      assertThat(weights).containsOnlyKeys("clear", "noise");
      assertThat(weights.get("noise")).isLessThan(0.7 * weights.get("clear"));
    }
  }

  @Test
  void theLogVariancesGradientIsThatOfTheObjective() {
    for (double s : new double[] {-1.5, 0, 0.7, 2}) {
      for (double loss : new double[] {0.05, 0.4, 1, 1.4}) {
        double e = 1e-5;
        double difference =
            (UncertaintyWeighting.objective(s + e, loss)
                    - UncertaintyWeighting.objective(s - e, loss))
                / (2 * e);
        assertThat(UncertaintyWeighting.gradient(s, loss))
            .isCloseTo(Math.max(-1, Math.min(1, difference)), within(1e-8));
      }
    }
  }

  @Test
  void thePlanTellsWhatItCosts() {
    FineTuner tuner = tuner(strategies().get(2), TASKS);
    assertThat(tuner.plan().describe())
        .contains(
            "gradient surgery (PCGrad, seed 7; a pass and a copy of the gradients for each task)")
        .contains("uncertainty weighting (rate 0.05;");
    assertThat(tuner.plan().gradientCopies()).isEqualTo(3);
    assertThat(tuner(MultiTask.uniform(), TASKS).plan().gradientCopies()).isZero();
    MemoryEstimate plain = new MemoryEstimate(1, 2, 16 * 10);
    assertThat(plain.withAdapterCopies(3 * 10).total()).isEqualTo(plain.total() + 3 * 10 * 4);
  }
}
