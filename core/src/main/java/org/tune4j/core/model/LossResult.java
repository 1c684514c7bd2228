package org.tune4j.core.model;

/**
 * Cross-entropy of a batch.
 *
 * @param rows the rows with a target, ascending
 * @param losses their losses in nats, unweighted, in that order
 */
public record LossResult(int[] rows, float[] losses) {
  /** Returns the mean in nats per target; 0 if there are none. */
  public double mean() {
    double sum = 0;
    for (float loss : losses) {
      sum += loss;
    }
    return losses.length == 0 ? 0 : sum / losses.length;
  }
}
