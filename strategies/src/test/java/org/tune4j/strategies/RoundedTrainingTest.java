package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.EngineProvider;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.testing.TinyRuns;

/** Whole trainings in bfloat16 and 8-bit integers on ragged data, by every way of multiplying. */
class RoundedTrainingTest {
  @TempDir static Path models;
  private static Path directory;

  @TempDir Path temporary;

  @BeforeAll
  static void write() {
    directory =
        TinyRuns.writeModel(
            models.resolve("model"),
            """
            {"model_type": "llama", "vocab_size": 62, "hidden_size": 64, "intermediate_size": 128,
             "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
             "max_position_embeddings": 128, "initializer_range": 0.1, "eos_token_id": 1}
            """);
  }

  /** Prompts of very different lengths, of which the first word has its answer. */
  private static Task task(int examples, int longest) {
    Random random = new Random(4);
    List<Example> all = new ArrayList<>();
    for (int i = 0; i < examples; i++) {
      int first = random.nextInt(8);
      StringBuilder prompt = new StringBuilder("w" + first);
      for (int k = random.nextInt(longest); k > 0; k--) {
        prompt.append(" w").append(20 + random.nextInt(40));
      }
      all.add(Example.of(prompt.append(" w").append(first).toString(), "w" + (8 + first)));
    }
    return Task.builder("ragged").train(all).build();
  }

  private List<StepRecord> train(
      Precision precision, String bf16, String int8, Task task, Hyperparameters h)
      throws IOException {
    EngineProvider onednn =
        Engines.providers().stream()
            .filter(p -> p.name().equals("onednn"))
            .findFirst()
            .orElseThrow();
    assumeThat(onednn.unavailable(precision)).isEmpty();
    System.setProperty("tune4j.onednn.bf16", bf16);
    System.setProperty("tune4j.onednn.int8", int8);
    List<StepRecord> steps = new ArrayList<>();
    try (LanguageModel model =
            LanguageModel.load(
                directory, LoadOptions.builder().engine("onednn").precision(precision).build());
        FineTuningResult result =
            FineTuner.of(model)
                .tasks(task)
                .lora(TinyRuns.LORA)
                .strategy(MultiTask.uniform())
                .hyperparameters(h)
                .listener(
                    new TrainingListener() {
                      @Override
                      public void onStep(StepRecord step) {
                        steps.add(step);
                      }
                    })
                .output(temporary.resolve("run"))
                .run()) {
      assertThat(result.training().stages()).hasSize(1);
    } finally {
      System.clearProperty("tune4j.onednn.bf16");
      System.clearProperty("tune4j.onednn.int8");
    }
    assertThat(steps)
        .allSatisfy(
            s -> {
              assertThat(s.lossByTask().get("ragged")).isFinite();
              assertThat(s.gradientNorm().values()).allSatisfy(n -> assertThat(n).isFinite());
            });
    return steps;
  }

  private static double meanLoss(List<StepRecord> steps) {
    return steps.stream().mapToDouble(s -> s.lossByTask().get("ragged")).average().orElseThrow();
  }

  @ParameterizedTest
  @CsvSource({
    "BF16, native, exact",
    "BF16, widened, exact",
    "INT8, native, rounded",
    "INT8, widened, exact"
  })
  void aThousandStepsLearn(Precision precision, String bf16, String int8) throws IOException {
    Hyperparameters h =
        TinyRuns.hyperparameters().learningRate(5e-3).examplesPerStep(6).maxLength(64).build();
    List<StepRecord> steps = train(precision, bf16, int8, task(6000, 30), h);
    assertThat(steps).hasSize(1000);
    double before = meanLoss(steps.subList(0, 20));
    double after = meanLoss(steps.subList(950, 1000));
    assertThat(after).as("from %s", before).isLessThan(0.5 * before);
  }

  /** Passes that are filled up to as many rows as make tiles and their distances coincide. */
  @ParameterizedTest
  @CsvSource({
    "BF16, native, exact, 1024",
    "BF16, native, exact, 2048",
    "BF16, widened, exact, 1024",
    "INT8, native, rounded, 1024",
    "INT8, native, rounded, 2048",
    "INT8, widened, exact, 2048"
  })
  void largePassesLearn(Precision precision, String bf16, String int8, int rows)
      throws IOException {
    Hyperparameters h =
        TinyRuns.hyperparameters()
            .learningRate(1e-2)
            .examplesPerStep(rows / 40)
            .tokensPerPass(rows)
            .maxLength(128)
            .build();
    List<StepRecord> steps = train(precision, bf16, int8, task(40 * (rows / 40), 90), h);
    assertThat(steps).hasSize(40);
    // a pass is rounded up to 32 rows
    assertThat(steps).anySatisfy(s -> assertThat(s.tokens()).isGreaterThan(rows - 32));
    assertThat(meanLoss(steps.subList(35, 40))).isLessThan(meanLoss(steps.subList(0, 5)));
  }
}
