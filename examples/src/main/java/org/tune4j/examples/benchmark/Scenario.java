package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.LearningRateSchedule;
import org.tune4j.lora.LoraConfig;

/**
 * A set of tasks to give advice on.
 *
 * @param id unique
 * @param use its purpose; no source task is used for both
 * @param kind what is varied
 * @param parts its tasks
 * @param epochs number of epochs, the same for all strategies
 */
public record Scenario(String id, Use use, String kind, ImmutableList<Part> parts, double epochs) {
  /** The purpose of a scenario. */
  public enum Use {
    /** The constants of the advice are fitted to it. */
    FIT,
    /** The advice is judged by it. */
    REPORT
  }

  /** Test examples of each task. */
  static final int TEST = 300;

  /**
   * Describes {@link #lora} and {@link #hyperparameters} in the settings hash; must change only
   * with them.
   */
  static final String TRAINING =
      "rank 8, alpha 16, AdamW at 2e-3, cosine to 0.05, 16 examples a step";

  /** Validation examples of each task. */
  static final int VALIDATION = 100;

  ImmutableList<Task> tasks() throws IOException {
    ImmutableList.Builder<Task> tasks = ImmutableList.builder();
    for (Part p : parts) {
      tasks.add(p.task(Sources.task(p.source()), VALIDATION, TEST));
    }
    return tasks.build();
  }

  /** Returns the number of example passes of each strategy. */
  double passes() {
    return epochs * parts.stream().mapToInt(Part::train).sum();
  }

  static LoraConfig lora() {
    return LoraConfig.builder().rank(8).alpha(16).build();
  }

  Hyperparameters hyperparameters(long seed) {
    return hyperparameters(seed, 1);
  }

  /** Returns the hyperparameters with the number of epochs multiplied by {@code times}. */
  Hyperparameters hyperparameters(long seed, double times) {
    return Hyperparameters.builder()
        .learningRate(2e-3)
        .schedule("cosine 0.05", LearningRateSchedule.cosine(0.05))
        .examplesPerStep(16)
        .epochs(times * epochs)
        .checkpointEvery(0)
        .seed(seed)
        .build();
  }
}
