package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.function.DoubleUnaryOperator;
import org.nd4j.linalg.schedule.ISchedule;

/**
 * The learning rate over the steps of a stage. Pass custom ones to {@link
 * Hyperparameters.Builder#schedule(String, LearningRateSchedule)} with a name, which identifies
 * them when a run is resumed.
 */
@FunctionalInterface
public interface LearningRateSchedule {
  /**
   * Returns the factor of the base learning rate.
   *
   * @param step from 0
   * @param steps number of steps of the stage
   */
  double factor(int step, int steps);

  /**
   * Linear warm-up over a share of the steps, then half a cosine to 0 (Loshchilov and Hutter 2017).
   */
  static LearningRateSchedule cosine(double warmupShare) {
    return warmup("cosine", warmupShare, progress -> 0.5 * (1 + Math.cos(Math.PI * progress)));
  }

  /** Linear warm-up over a share of the steps, then linear decay to 0. */
  static LearningRateSchedule linear(double warmupShare) {
    return warmup("linear", warmupShare, progress -> 1 - progress);
  }

  /** Linear warm-up over a share of the steps, then constant. */
  static LearningRateSchedule constant(double warmupShare) {
    return warmup("constant", warmupShare, progress -> 1);
  }

  /**
   * An ND4J schedule of type {@code ITERATION}: the factor is its value at a step of the stage
   * divided by the base learning rate.
   */
  static LearningRateSchedule of(ISchedule schedule, double baseLearningRate) {
    checkArgument(
        baseLearningRate > 0, "base learning rate is %s; it must be positive", baseLearningRate);
    return new Named(
        schedule + " / " + baseLearningRate,
        (step, steps) -> schedule.valueAt(step, 0) / baseLearningRate);
  }

  private static LearningRateSchedule warmup(String name, double share, DoubleUnaryOperator after) {
    checkArgument(share >= 0 && share <= 1, "warm-up share is %s; it must be in [0, 1]", share);
    return new Named(
        name + " " + share,
        (step, steps) -> {
          int warmup = (int) Math.ceil(share * steps);
          return step < warmup
              ? (step + 1.0) / warmup
              : after.applyAsDouble((double) (step - warmup) / Math.max(1, steps - warmup));
        });
  }

  /** A schedule that is identified by its name. */
  record Named(String name, LearningRateSchedule schedule) implements LearningRateSchedule {
    @Override
    public double factor(int step, int steps) {
      return schedule.factor(step, steps);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Named n && name.equals(n.name);
    }

    @Override
    public int hashCode() {
      return name.hashCode();
    }

    @Override
    public String toString() {
      return name;
    }
  }
}
