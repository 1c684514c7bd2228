package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Routing;
import org.tune4j.core.train.StageResult;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.PeftFormat;
import org.tune4j.testing.TinyRuns;

/** The front door, as its readers use it. */
class FineTunerTest {
  private static final Batch BATCH = Batch.of(new int[] {5, 20, 37, 50, 11, 4});

  @TempDir static Path models;
  private static LanguageModel model;

  @TempDir Path temporary;

  private final Task a = TinyRuns.task("first task", 24, 8);
  private final Task b = TinyRuns.task("second/task", 16, 8);
  private final Task c = TinyRuns.task("..", 9, 8);

  @BeforeAll
  static void load() {
    model = TinyRuns.load(TinyRuns.writeModel(models.resolve("model")));
  }

  @AfterAll
  static void close() {
    model.close();
  }

  static Stream<TrainingStrategy> strategies() {
    return Stream.of(
        MultiTask.proportional(),
        MultiTask.temperature(2),
        Sequential.inOrder(),
        Sequential.inOrder().stacked(),
        Sequential.inOrder().merging(),
        Sequential.inOrder().replay(0.25),
        Independent.perTask());
  }

  private static float[] logits(List<? extends Adapter> adapters) {
    return logits(model, adapters);
  }

  private static float[] logits(LanguageModel on, List<? extends Adapter> adapters) {
    try (INDArray logits =
        on.logits(BATCH, Routing.all(BATCH.rows(), ImmutableList.copyOf(adapters)))) {
      return logits.data().asFloat();
    }
  }

  @ParameterizedTest
  @MethodSource("strategies")
  void learnsAndSavesWhatServesEachTask(TrainingStrategy strategy) throws IOException {
    float[] base = logits(List.of());
    List<StepRecord> steps = new ArrayList<>();
    List<StageResult> stages = new ArrayList<>();
    try (FineTuningResult result =
        FineTuner.of(model)
            .tasks(a, b, c)
            .lora(TinyRuns.LORA)
            .strategy(strategy)
            .hyperparameters(TinyRuns.hyperparameters().epochs(6).build())
            .listener(
                new TrainingListener() {
                  @Override
                  public void onStep(StepRecord step) {
                    steps.add(step);
                  }

                  @Override
                  public void onStageEnd(StageResult stage) {
                    stages.add(stage);
                  }
                })
            .output(temporary.resolve("run"))
            .run()) {
      assertThat(result.completed()).isTrue();
      assertThat(result.training().steps()).isEqualTo(steps);
      assertThat(result.training().stages()).isEqualTo(stages);
      assertThat(result.training().examples())
          .as("what is planned is run")
          .isEqualTo(result.training().plan().examples());
      for (Task task : List.of(a, b, c)) {
        List<Double> losses =
            steps.stream()
                .filter(r -> r.lossByTask().containsKey(task.name()))
                .map(r -> r.lossByTask().get(task.name()))
                .toList();
        assertThat(mean(losses.subList(losses.size() - 4, losses.size())))
            .as("loss of " + task.name())
            .isLessThan(0.9 * mean(losses.subList(0, 4)));
        List<Adapter> live = result.adaptersFor(task.name());
        float[] trained = logits(live);
        assertThat(trained).isNotEqualTo(base);
        try (LanguageModel again = LanguageModel.load(result.baseDirectory().orElseThrow())) {
          List<LoraAdapter> loaded = new ArrayList<>();
          for (Path saved : result.directoriesFor(task.name())) {
            assertThat(saved.resolve("adapter_config.json"))
                .content()
                .contains("\"" + result.baseDirectory().orElseThrow() + "\"");
            loaded.add(PeftFormat.load(again, "loaded", saved));
          }
          assertThat(logits(again, loaded)).as("reloaded, " + task.name()).isEqualTo(trained);
          loaded.forEach(LoraAdapter::close);
        }
        assertThat(result.savedAfterOwnStage(task.name())).isDirectory();
        assertThat(model.generate("w3 w40", GenerationConfig.greedy(3), live).tokens())
            .isNotEmpty();
      }
      assertThat(result.adapterBytes()).isPositive();
    }
    assertThat(logits(List.of())).as("the base is as it was").isEqualTo(base);
    try (Stream<Path> files = Files.list(temporary)) {
      assertThat(files).as("nothing is written outside").containsExactly(temporary.resolve("run"));
    }
  }

  private static double mean(List<Double> values) {
    return values.stream().mapToDouble(Double::doubleValue).average().orElseThrow();
  }
}
