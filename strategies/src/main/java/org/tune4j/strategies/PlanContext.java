package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Hyperparameters;

/**
 * What a strategy plans for.
 *
 * @param tasks with different names, in the caller's order
 * @param hyperparameters of the run
 */
public record PlanContext(ImmutableList<Task> tasks, Hyperparameters hyperparameters) {
  /** Checks the names. */
  public PlanContext {
    Task.requireDistinctNames(tasks);
  }

  /** Returns a context. */
  public static PlanContext of(List<Task> tasks, Hyperparameters hyperparameters) {
    return new PlanContext(ImmutableList.copyOf(tasks), hyperparameters);
  }

  /** Returns the tasks' names. */
  public ImmutableList<String> names() {
    return tasks.stream().map(Task::name).collect(ImmutableList.toImmutableList());
  }

  /** Returns the examples of a task that its share of the epochs comes to, at least 1. */
  public int examples(Task task) {
    return (int) Math.max(1, Math.round(task.train().size() * hyperparameters.epochs()));
  }

  /** Returns {@link #examples} of every task, by name. */
  public ImmutableMap<String, Integer> examples() {
    ImmutableMap.Builder<String, Integer> all = ImmutableMap.builder();
    tasks.forEach(t -> all.put(t.name(), examples(t)));
    return all.buildOrThrow();
  }

  /**
   * Divides a total by weights, so that the parts add up to it and none is 0.
   *
   * @param weights positive, by task
   */
  public static ImmutableMap<String, Integer> divide(long total, Map<String, Double> weights) {
    double sum = weights.values().stream().mapToDouble(Double::doubleValue).sum();
    checkArgument(
        sum > 0 && Double.isFinite(sum),
        "the mixture weights %s do not add up to something positive",
        weights);
    ImmutableMap.Builder<String, Integer> parts = ImmutableMap.builder();
    double exact = 0;
    long given = 0;
    for (Map.Entry<String, Double> e : weights.entrySet()) {
      // what the running sum rounds to, so that rounding never adds up
      exact += total * e.getValue() / sum;
      int part = (int) Math.max(1, Math.round(exact) - given);
      given += part;
      parts.put(e.getKey(), part);
    }
    return parts.buildOrThrow();
  }
}
