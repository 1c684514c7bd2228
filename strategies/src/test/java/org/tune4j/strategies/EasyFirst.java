package org.tune4j.strategies;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;

/**
 * A strategy as a user writes one: a shared adapter first learns half of the epochs of all tasks,
 * the ones with most data first in order of size, then each task goes on with a copy of its own.
 */
final class EasyFirst implements TrainingStrategy {
  @Override
  public String name() {
    return "easy first: shared, then apart";
  }

  @Override
  public TrainingPlan plan(PlanContext context) {
    Stage.Builder shared = Stage.named("shared").serve(context.names(), "shared");
    Stage.Builder apart = Stage.named("apart");
    List<Task> bySize = new ArrayList<>(context.tasks());
    bySize.sort(Comparator.comparingInt((Task t) -> t.train().size()).reversed());
    for (Task t : bySize) {
      int n = context.examples(t);
      String own = "own " + t.name();
      shared.train(t.name(), "shared", (n + 1) / 2);
      apart.train(t.name(), own, Math.max(1, n / 2)).startFrom(own, "shared").serve(t.name(), own);
    }
    return TrainingPlan.of(name(), shared.build(), apart.build());
  }
}
