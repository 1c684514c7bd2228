package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.eval.Evaluator;
import org.tune4j.eval.advice.ComputeBudget;
import org.tune4j.examples.common.Bundled;
import org.tune4j.examples.common.ModelOptions;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.MultiTask;
import picocli.CommandLine;

/** What the command line does when nothing is said is what the library does. */
class OptionDefaultsTest {
  private static <T> T parsed(T options, String... args) {
    new CommandLine(options).parseArgs(args);
    return options;
  }

  @Test
  void adaptersAreThoseOfTheLibrary() {
    assertThat(parsed(new AdapterOptions()).config()).isEqualTo(LoraConfig.defaults());
    assertThat(parsed(new AdapterOptions(), "--rank", "4").config()).isEqualTo(LoraConfig.rank(4));
    assertThat(parsed(new AdapterOptions(), "--rank", "4", "--alpha", "3").config())
        .isEqualTo(LoraConfig.builder().rank(4).alpha(3).build());
  }

  @Test
  void trainingIsThatOfTheLibrary() {
    assertThat(parsed(new TrainingOptions()).hyperparameters())
        .isEqualTo(Hyperparameters.defaults());
  }

  @Test
  void generationIsThatOfTheLibrary() {
    assertThat(parsed(new Generate()).config())
        .isEqualTo(GenerationConfig.builder().build())
        .as("what model.generate(prompt) does")
        .isEqualTo(GenerationConfig.greedy(128));
    assertThat(parsed(new Generate(), "--temperature", "0.5", "--stop", "x").config())
        .isEqualTo(GenerationConfig.builder().temperature(0.5).stop("x").build());
  }

  @Test
  void modelAndEvaluationAreThoseOfTheLibrary() throws IOException {
    Task task =
        Task.builder("letters")
            .validation(List.of(Example.of("a\nLetter:", " a"), Example.of("b\nLetter:", " b")))
            .train(List.of(Example.of("c\nLetter:", " c")))
            .build();
    try (LanguageModel library = LanguageModel.load(Bundled.baseModel());
        LanguageModel model = parsed(new ModelOptions()).load()) {
      assertThat(model.engine().describe()).isEqualTo(library.engine().describe());
      assertThat(model.engine().precision()).isEqualTo(library.engine().precision());
      assertThat(model.fingerprint()).isEqualTo(library.fingerprint());

      Evaluate evaluate = parsed(new Evaluate());
      assertThat(evaluate.evaluator(model)).hasToString(Evaluator.of(library).toString());
      assertThat(evaluate.split())
          .isEqualTo(Evaluator.of(library).evaluate(task, List.of()).split());
    }
  }

  @Test
  void whatIsTimedIsWhatTheLibraryDoes() throws IOException {
    Bench bench = parsed(new Bench());
    assertThat(bench.lora()).isEqualTo(LoraConfig.defaults());
    assertThat(Bench.workloadHyperparameters())
        .isEqualTo(Hyperparameters.builder().learningRate(2e-3).build());
    try (LanguageModel library = LanguageModel.load(Bundled.baseModel());
        Engine engine = bench.engine()) {
      assertThat(engine.describe()).isEqualTo(library.engine().describe());
    }
  }

  @Test
  void adviceHasNoBudgetUnlessOneIsGiven() {
    assertThat(parsed(new Recommend()).budget()).isEqualTo(ComputeBudget.unlimited());
    assertThat(parsed(new Recommend(), "--budget-tokens", "7").budget())
        .isEqualTo(ComputeBudget.ofTokens(7));
  }

  @Test
  void theStrategyIsThatOfTheLibrary() {
    assertThat(parsed(new StrategyOptions()).strategy())
        .usingRecursiveComparison()
        .isEqualTo(MultiTask.proportional());
  }
}
