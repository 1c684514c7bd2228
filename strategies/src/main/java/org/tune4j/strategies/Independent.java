package org.tune4j.strategies;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.List;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;

/**
 * An adapter for each task, named after it. All are trained in one stage, side by side over one
 * pass through the frozen base: each comes out as if trained alone.
 */
public final class Independent implements TrainingStrategy {
  private Independent() {}

  /** Returns the strategy. */
  public static Independent perTask() {
    return new Independent();
  }

  @Override
  public String name() {
    return "independent";
  }

  @Override
  public TrainingPlan plan(PlanContext context) {
    ImmutableMap.Builder<String, String> routes = ImmutableMap.builder();
    ImmutableMap.Builder<String, ImmutableList<String>> serving = ImmutableMap.builder();
    for (String t : context.names()) {
      routes.put(t, t);
      serving.put(t, ImmutableList.of(t));
    }
    return TrainingPlan.of(
        name(),
        List.of(
            new Stage(
                "side-by-side",
                context.examples(),
                routes.buildOrThrow(),
                ImmutableList.of(),
                ImmutableList.of(),
                ImmutableMap.of(),
                serving.buildOrThrow())));
  }

  @Override
  public String toString() {
    return name();
  }
}
