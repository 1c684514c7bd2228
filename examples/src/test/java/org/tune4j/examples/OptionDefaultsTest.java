package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.tune4j.core.train.Hyperparameters;
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
  void theStrategyIsThatOfTheLibrary() {
    assertThat(parsed(new StrategyOptions()).strategy())
        .usingRecursiveComparison()
        .isEqualTo(MultiTask.proportional());
  }
}
