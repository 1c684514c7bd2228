package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.FineTuner;

/**
 * What advice is asked for, by whoever makes a part of it.
 *
 * @param tasks all of them, in the caller's order
 * @param hyperparameters how training is meant to go
 * @param arriving whether tasks arrive over time
 * @param effort how much may be measured
 */
record Request(
    LanguageModel model,
    ImmutableList<Task> tasks,
    LoraConfig lora,
    Hyperparameters hyperparameters,
    ComputeBudget budget,
    boolean arriving,
    Effort effort,
    long seed) {
  /**
   * How much may be measured.
   *
   * @param pilotExamples most training examples of each task in the pilot
   * @param pilotSeconds after which an unfinished pilot is given up
   * @param similarityExamples most examples of each task that similarity is taken of
   * @param validationExamples most examples of each task that losses are measured on
   * @param timing what timing steps may cost, in passes forward of an example
   */
  record Effort(
      int pilotExamples,
      double pilotSeconds,
      int similarityExamples,
      int validationExamples,
      double timing) {}

  /** Returns a fine-tuner that does what a candidate is. */
  FineTuner tuner(Assessment candidate) {
    return FineTuner.of(model)
        .tasks(tasks)
        .lora(lora)
        .strategy(candidate.strategy())
        .hyperparameters(candidate.hyperparameters());
  }

  /** Returns the same with at most so many tokens to train on. */
  Request withTokens(long most) {
    return new Request(
        model,
        tasks,
        lora,
        hyperparameters,
        budget.withTokens(Math.min(most, budget.tokens())),
        arriving,
        effort,
        seed);
  }

  boolean several() {
    return tasks.size() > 1;
  }

  /** Returns hyperparameters for a short training that measures something. */
  Hyperparameters probing(Hyperparameters h) {
    return h.toBuilder()
        .epochs(1)
        .patience(0)
        .validateEvery(0)
        .checkpointEvery(0)
        .validationExamples(effort.validationExamples())
        .seed(seed)
        .build();
  }
}
