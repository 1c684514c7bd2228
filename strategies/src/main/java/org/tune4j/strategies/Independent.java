package org.tune4j.strategies;

import com.google.common.collect.ImmutableMap;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.Combination;

/**
 * Trains an adapter for each task, named after it. All are trained in parallel in one stage with
 * shared passes through the frozen base, with the same results as if trained alone.
 */
public final class Independent implements TrainingStrategy {
  private Independent() {}

  /** Returns the strategy. */
  public static Independent perTask() {
    return new Independent();
  }

  /**
   * Returns the strategy that then merges all adapters into one.
   *
   * @param how such as {@link Combination#concatenation}, {@link Combination#tiesSvd}
   */
  public static Merged merged(Combination how) {
    return new Merged(how, ImmutableMap.of());
  }

  @Override
  public String name() {
    return "independent";
  }

  @Override
  public TrainingPlan plan(PlanContext context) {
    Stage.Builder stage = Stage.named("side-by-side");
    context.examples().forEach((task, n) -> stage.train(task, task, n).serve(task, task));
    return TrainingPlan.of(name(), stage.build());
  }

  @Override
  public String toString() {
    return name();
  }
}
