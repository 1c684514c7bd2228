package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.LearningRateSchedule;
import org.tune4j.lora.LoraConfig;

/**
 * A situation that advice is asked for.
 *
 * @param id unlike that of any other
 * @param use what it is for; no task serves both
 * @param kind what was varied
 * @param parts its tasks
 * @param epochs that every strategy trains for: all get the same passes over the same examples
 */
public record Scenario(String id, Use use, String kind, ImmutableList<Part> parts, double epochs) {
  /** What a scenario is for. */
  public enum Use {
    /** The constants of the advice are fitted to it. */
    FIT,
    /** The advice is judged by it. */
    REPORT
  }

  /** Examples of each task that scores are measured on. */
  static final int TEST = 300;

  /** What {@link #lora} and {@link #hyperparameters} say, in words that change only with them. */
  static final String TRAINING =
      "rank 8, alpha 16, AdamW at 2e-3, cosine to 0.05, 16 examples a step";

  /** Examples of each task that a choice may be made by. */
  static final int VALIDATION = 100;

  /** Returns the tasks. */
  ImmutableList<Task> tasks() throws IOException {
    ImmutableList.Builder<Task> tasks = ImmutableList.builder();
    for (Part p : parts) {
      tasks.add(p.task(Sources.task(p.source()), VALIDATION, TEST));
    }
    return tasks.build();
  }

  /** Returns the passes over examples that each strategy makes. */
  double passes() {
    return epochs * parts.stream().mapToInt(Part::train).sum();
  }

  /** Returns the adapters of all runs. */
  static LoraConfig lora() {
    return LoraConfig.builder().rank(8).alpha(16).build();
  }

  /** Returns how all strategies train. */
  Hyperparameters hyperparameters(long seed) {
    return hyperparameters(seed, 1);
  }

  /**
   * Returns the same for more epochs.
   *
   * @param times the epochs
   */
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
