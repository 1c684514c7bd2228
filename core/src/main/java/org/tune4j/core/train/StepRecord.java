package org.tune4j.core.train;

import com.google.common.collect.ImmutableMap;

/**
 * One optimizer step.
 *
 * @param stage name of the stage
 * @param stageIndex from 0
 * @param step from 1, within the stage
 * @param steps of the stage
 * @param lossByTask mean cross-entropy in nats per learned token, of the tasks in this step
 * @param learningRate the highest of the adapters in training
 * @param gradientNorm before clipping, by adapter
 * @param examples number of examples in this step
 * @param tokens number of tokens in this step, without filler
 * @param lossTokens how many of these carry loss
 * @param seconds duration of the step
 */
public record StepRecord(
    String stage,
    int stageIndex,
    int step,
    int steps,
    ImmutableMap<String, Double> lossByTask,
    double learningRate,
    ImmutableMap<String, Double> gradientNorm,
    int examples,
    long tokens,
    long lossTokens,
    double seconds) {
  /** Returns the training speed of this step. */
  public double tokensPerSecond() {
    return tokens / seconds;
  }
}
