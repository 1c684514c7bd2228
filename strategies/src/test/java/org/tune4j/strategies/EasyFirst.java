package org.tune4j.strategies;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
    Map<String, Integer> half = new LinkedHashMap<>();
    Map<String, Integer> rest = new LinkedHashMap<>();
    ImmutableMap.Builder<String, String> own = ImmutableMap.builder();
    ImmutableMap.Builder<String, String> start = ImmutableMap.builder();
    ImmutableMap.Builder<String, ImmutableList<String>> serving = ImmutableMap.builder();
    List<Task> bySize = new ArrayList<>(context.tasks());
    bySize.sort(Comparator.comparingInt((Task t) -> t.train().size()).reversed());
    for (Task t : bySize) {
      int n = context.examples(t);
      half.put(t.name(), (n + 1) / 2);
      rest.put(t.name(), Math.max(1, n / 2));
      own.put(t.name(), "own " + t.name());
      start.put("own " + t.name(), "shared");
      serving.put(t.name(), ImmutableList.of("own " + t.name()));
    }
    return TrainingPlan.of(
        name(),
        List.of(
            Stage.of("shared", half, "shared", context.names()),
            new Stage(
                "apart",
                ImmutableMap.copyOf(rest),
                own.buildOrThrow(),
                ImmutableList.of(),
                ImmutableList.of(),
                start.buildOrThrow(),
                serving.buildOrThrow())));
  }
}
