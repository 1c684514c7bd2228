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
 * @param learningRate of the longest-running adapter
 * @param gradientNorm before clipping, by adapter
 * @param examples run in this step
 * @param tokens run in this step, filler not counted
 * @param lossTokens of these, with loss
 * @param seconds taken
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
  /** Returns the tokens trained on per second of training. */
  public double tokensPerSecond() {
    return tokens / seconds;
  }
}
