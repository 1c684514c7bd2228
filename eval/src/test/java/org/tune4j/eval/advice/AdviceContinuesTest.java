package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.LearningRateSchedule;
import org.tune4j.lora.Initialisation;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;

/** What is advised is done with all that the advice was made for, to the same bits. */
class AdviceContinuesTest {
  @TempDir private static Path directory;

  /** None of its values is a default. */
  private static final Hyperparameters HYPERPARAMETERS =
      Hyperparameters.builder()
          .learningRate(3e-3)
          .betas(0.8, 0.99)
          .epsilon(1e-7)
          .weightDecay(0.01)
          .epochs(3)
          .examplesPerStep(5)
          .tokensPerPass(160)
          .maxGradientNorm(0.7)
          .schedule(LearningRateSchedule.linear(0.2))
          .maxLength(64)
          .lengthPolicy(LengthPolicy.SKIP)
          .learnedTurns(LearnedTurns.LAST)
          .validateEvery(4)
          .validationExamples(7)
          .patience(50)
          .checkpointEvery(9)
          .seed(77)
          .activationCheckpointing(true)
          .build();

  private static final LoraConfig LORA =
      LoraConfig.builder()
          .rank(3)
          .alpha(5)
          .dropout(0.1)
          .rslora(true)
          .initialisation(Initialisation.GAUSSIAN)
          .build();

  @Test
  void withModelTasksAdapterHyperparametersAndBudget() throws IOException {
    WordModel.create(Files.createDirectory(directory.resolve("model"))).close();
    Task[] tasks = {WordModel.colours("colours", 0, 60, 1), WordModel.sizes("sizes", 60, 2)};
    try (LanguageModel model =
        LanguageModel.load(directory.resolve("model"), LoadOptions.of(Precision.BF16))) {
      long whole = advice(model, tasks, ComputeBudget.unlimited()).price().tokens();
      Recommendation advice = advice(model, tasks, ComputeBudget.ofTokens(whole * 4 / 10));
      Hyperparameters advised = advice.hyperparameters();
      assertThat(advised.epochs()).as("cut by the budget").isLessThan(HYPERPARAMETERS.epochs());
      assertThat(advised.toBuilder().epochs(HYPERPARAMETERS.epochs()).build())
          .as("and nothing but that")
          .isEqualTo(HYPERPARAMETERS);
      Map<String, String> expected =
          run(
              FineTuner.of(model)
                  .tasks(tasks)
                  .lora(LORA)
                  .strategy(advice.strategy())
                  .hyperparameters(advised),
              "by-hand",
              whole);
      assertThat(run(advice.fineTuner(), "advised", whole)).isEqualTo(expected);
    }
  }

  private static Recommendation advice(LanguageModel model, Task[] tasks, ComputeBudget budget)
      throws IOException {
    return StrategyRecommender.of(model)
        .tasks(tasks)
        .lora(LORA)
        .hyperparameters(HYPERPARAMETERS)
        .budget(budget)
        .level(StrategyRecommender.Level.RULES)
        .recommend();
  }

  /** Returns all adapters' files, and what identifies the run. */
  private static Map<String, String> run(FineTuner tuner, String name, long whole)
      throws IOException {
    Path output = directory.resolve(name);
    Map<String, String> files = new TreeMap<>();
    try (FineTuningResult result = tuner.output(output).run()) {
      assertThat(result.training().tokens()).isBetween(whole * 3 / 10, whole * 45 / 100);
      files.put("plan", result.training().plan().describe());
    }
    try (Stream<Path> all = Files.walk(output.resolve("adapters"))) {
      for (Path file : all.filter(Files::isRegularFile).toList()) {
        files.put(
            output.relativize(file).toString(), HexFormat.of().formatHex(Files.readAllBytes(file)));
      }
    }
    assertThat(files).hasSizeGreaterThan(2);
    return files;
  }
}
