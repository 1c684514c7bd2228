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

  /**
   * Returns the mean of each task's rows, {@code NaN} for a task without any.
   *
   * @param batch the batch that this was computed on
   * @param tasks number of tasks
   */
  public double[] meanByTask(Batch batch, int tasks) {
    double[] sums = new double[tasks];
    int[] counts = new int[tasks];
    int segment = 0;
    for (int i = 0; i < rows.length; i++) {
      while (batch.segmentStart()[segment + 1] <= rows[i]) {
        segment++;
      }
      int task = batch.segmentTask()[segment];
      if (task >= 0) {
        sums[task] += losses[i];
        counts[task]++;
      }
    }
    for (int t = 0; t < tasks; t++) {
      sums[t] /= counts[t]; // 0 / 0 is NaN
    }
    return sums;
  }
}
