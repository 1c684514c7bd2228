package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StageResult;
import org.tune4j.core.train.Trainer;
import org.tune4j.lora.Combination;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.LoraConfig;
import org.tune4j.lora.PeftFormat;
import org.tune4j.testing.TinyRuns;

/** Separate training, then one adapter of all. */
class MergedTest {
  private static final List<Task> TASKS =
      List.of(TinyRuns.task("a", 40, 8), TinyRuns.task("merged", 24, 8), TinyRuns.task("c", 12, 0));

  @TempDir static Path models;
  private static LanguageModel model;

  @TempDir Path directory;

  @BeforeAll
  static void load() {
    model = TinyRuns.load(TinyRuns.writeModel(models.resolve("model")));
  }

  @AfterAll
  static void close() {
    model.close();
  }

  static List<Combination> methods() {
    return List.of(
        Combination.concatenation(),
        Combination.linear(),
        Combination.svd(),
        Combination.tiesSvd(0.5),
        Combination.dareLinearSvd(0.5, 3),
        Combination.dareTiesSvd(0.5, 3).rank(5));
  }

  private FineTuner tuner(TrainingStrategy strategy, String output) {
    return FineTuner.of(model)
        .tasks(TASKS)
        .lora(TinyRuns.LORA)
        .strategy(strategy)
        .hyperparameters(TinyRuns.hyperparameters().epochs(2).validateEvery(4).build())
        .output(directory.resolve(output));
  }

  @ParameterizedTest
  @MethodSource("methods")
  void oneAdapterServesAllAndIsWhatTheCombinationMakesOfTheirs(Combination how) throws IOException {
    Merged strategy = Independent.merged(how);
    try (FineTuningResult result = tuner(strategy, "run").run()) {
      StageResult stage = result.training().stages().get(0);
      List<LoraAdapter> own = new ArrayList<>();
      for (Task t : TASKS) {
        assertThat(result.adaptersFor(t.name())).hasSize(1);
        assertThat(result.adaptersFor(t.name()).get(0).name()).isEqualTo("merged'");
        own.add(PeftFormat.load(model, t.name(), result.savedAfterOwnStage(t.name())));
      }
      double weight = how.method().elects() ? 1 : 1 / 3.0;
      try (LoraAdapter expected = how.apply("again", own, weight, weight, weight);
          LoraAdapter loaded =
              PeftFormat.load(model, "loaded", result.directoriesFor("a").get(0))) {
        LoraAdapter merged = (LoraAdapter) result.adaptersFor("a").get(0);
        assertThat(TinyRuns.weights(merged)).isEqualTo(TinyRuns.weights(expected));
        assertThat(TinyRuns.weights(loaded)).isEqualTo(TinyRuns.weights(merged));
        assertThat(merged.trainable()).isFalse();
        assertThat(Files.isDirectory(stage.saved().get("merged'"))).isTrue();
      }
      own.forEach(LoraAdapter::close);
      // the losses are those of what serves
      assertThat(stage.validationLoss()).containsOnlyKeys("a", "merged");
      try (FineTuningResult apart = tuner(Independent.perTask(), "apart").run()) {
        Map<String, List<Float>> bits = TinyRuns.bits(apart.training());
        assertThat(TinyRuns.bits(result.training())).containsAllEntriesOf(bits);
        apart
            .training()
            .stages()
            .get(0)
            .validationLoss()
            .forEach((task, l) -> assertThat(stage.validationLoss().get(task)).isNotEqualTo(l));
      }
    }
  }

  @Test
  void aSoleTasksAdapterIsItself() throws IOException {
    List<Task> one = TASKS.subList(0, 1);
    try (FineTuningResult apart = tuner(Independent.perTask(), "apart").tasks(one).run();
        FineTuningResult merged =
            tuner(Independent.merged(Combination.tiesSvd(0.2)), "merged").tasks(one).run()) {
      assertThat(merged.training().stages().get(0).validationLoss().get("a"))
          .isCloseTo(apart.training().stages().get(0).validationLoss().get("a"), within(1e-5));
    }
  }

  @Test
  void weightsAreThoseGiven() {
    PlanContext context = PlanContext.of(TASKS, TinyRuns.hyperparameters().build());
    Merged strategy = Independent.merged(Combination.svd());
    Map<String, Double> weights = Map.of("a", 2.0, "merged", 0.0, "c", -0.5);
    Stage stage = strategy.weights(weights).plan(context).stages().get(0);
    assertThat(stage.combined().get(0).weights()).isEqualTo(weights);
    assertThatThrownBy(() -> strategy.weights(Map.of("a", 1.0)).plan(context))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("merged: weights are given for [a], the tasks are [a, merged, c]");
    assertThatThrownBy(() -> strategy.weights(Map.of("a", Double.NaN)))
        .hasMessageContaining("the weight of task 'a' is NaN");
    assertThatThrownBy(() -> strategy.weights(Map.of())).hasMessageContaining("no weights");
    assertThat(strategy.name()).isEqualTo("merged-svd");
  }

  @Test
  void whatCannotBeMergedIsRefusedBeforeTraining() throws IOException {
    TrainingStrategy strategy = Independent.merged(Combination.concatenation());
    for (LoraConfig config :
        List.of(
            LoraConfig.builder().dora(true).build(),
            LoraConfig.builder().modulesToSave("lm_head").build())) {
      assertThatThrownBy(() -> tuner(strategy, "refused").lora(config).run())
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("cannot be combined");
    }
    try (Engine engine = Engines.create(Precision.F32);
        BagOfWords network = BagOfWords.random(engine, 1)) {
      assertThatThrownBy(
              () ->
                  Trainer.builder(
                          network,
                          TASKS,
                          strategy.plan(PlanContext.of(TASKS, TinyRuns.hyperparameters().build())),
                          (m, name, seed) -> BagOfWords.adapter(m, name))
                      .output(directory.resolve("network"))
                      .build()
                      .run())
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("cat combines LoRA adapters, not");
    }
    assertThat(directory.resolve("refused/steps.jsonl")).doesNotExist();
  }
}
