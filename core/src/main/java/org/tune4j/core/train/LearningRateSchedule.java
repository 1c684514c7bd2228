package org.tune4j.core.train;

import org.nd4j.linalg.schedule.ISchedule;

/** The learning rate over the steps of a stage. */
@FunctionalInterface
public interface LearningRateSchedule {
  /**
   * Returns the factor of the base learning rate.
   *
   * @param step from 0
   * @param steps of the stage
   */
  double factor(int step, int steps);

  /**
   * Linear warm-up over a share of the steps, then half a cosine to 0 (Loshchilov and Hutter 2017).
   */
  static LearningRateSchedule cosine(double warmupShare) {
    return warmup(warmupShare, progress -> 0.5 * (1 + Math.cos(Math.PI * progress)));
  }

  /** Linear warm-up over a share of the steps, then linearly to 0. */
  static LearningRateSchedule linear(double warmupShare) {
    return warmup(warmupShare, progress -> 1 - progress);
  }

  /** Linear warm-up over a share of the steps, then constant. */
  static LearningRateSchedule constant(double warmupShare) {
    return warmup(warmupShare, progress -> 1);
  }

  /**
   * Any ND4J schedule of type {@code ITERATION}: its value at a step of the stage, divided by the
   * base learning rate, is the factor.
   */
  static LearningRateSchedule of(ISchedule schedule, double baseLearningRate) {
    return (step, steps) -> schedule.valueAt(step, 0) / baseLearningRate;
  }

  private static LearningRateSchedule warmup(
      double share, java.util.function.DoubleUnaryOperator after) {
    return (step, steps) -> {
      int warmup = (int) Math.ceil(share * steps);
      return step < warmup
          ? (step + 1.0) / warmup
          : after.applyAsDouble((double) (step - warmup) / Math.max(1, steps - warmup));
    };
  }
}
