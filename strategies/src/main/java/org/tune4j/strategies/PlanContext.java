package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Hyperparameters;

/**
 * The input of a strategy.
 *
 * @param tasks with unique names, in the caller's order
 * @param hyperparameters of the run
 */
public record PlanContext(ImmutableList<Task> tasks, Hyperparameters hyperparameters) {
  /** Checks that names are unique. */
  public PlanContext {
    Task.requireDistinctNames(tasks);
  }

  /** Returns the context of a run; task names must be unique. */
  public static PlanContext of(List<Task> tasks, Hyperparameters hyperparameters) {
    return new PlanContext(ImmutableList.copyOf(tasks), hyperparameters);
  }

  /** Returns the names of the tasks, in order. */
  public ImmutableList<String> names() {
    return tasks.stream().map(Task::name).collect(ImmutableList.toImmutableList());
  }

  /**
   * Returns the number of examples of a task over all epochs, at least 1.
   *
   * @throws IllegalArgumentException if it exceeds an {@code int}
   */
  public int examples(Task task) {
    long n = Math.max(1, Math.round(task.train().size() * hyperparameters.epochs()));
    checkArgument(
        n <= Integer.MAX_VALUE,
        "task '%s': %s epochs of %s examples are too many",
        task.name(),
        hyperparameters.epochs(),
        task.train().size());
    return (int) n;
  }

  /** Returns {@link #examples} of every task, by name. */
  public ImmutableMap<String, Integer> examples() {
    ImmutableMap.Builder<String, Integer> all = ImmutableMap.builder();
    tasks.forEach(t -> all.put(t.name(), examples(t)));
    return all.buildOrThrow();
  }

  /**
   * Divides a total in proportion to weights into parts that add up to it, none of which is 0: by
   * largest remainders, except that a share below 1 becomes 1 at the expense of the others.
   *
   * @param total at least the number of parts
   * @param weights positive, by task
   * @return parts in the order of {@code weights}
   */
  public static ImmutableMap<String, Integer> divide(long total, Map<String, Double> weights) {
    double sum = weights.values().stream().mapToDouble(Double::doubleValue).sum();
    checkArgument(
        Double.isFinite(sum)
            && !weights.isEmpty()
            && weights.values().stream().allMatch(w -> w > 0),
        "the mixture weights %s are not all positive, or their sum is not finite",
        weights);
    checkArgument(
        total >= weights.size() && total <= Integer.MAX_VALUE,
        "%s examples cannot be divided among %s",
        total,
        weights.keySet());
    // a share below 1 is raised to 1 and the rest divided among the others, until none is below
    Set<String> raised = new HashSet<>();
    Map<String, Double> shares = new LinkedHashMap<>();
    boolean settled = false;
    while (!settled) {
      double rest =
          weights.entrySet().stream()
              .filter(e -> !raised.contains(e.getKey()))
              .mapToDouble(Map.Entry::getValue)
              .sum();
      long divided = total - raised.size();
      weights.forEach(
          (t, w) -> shares.put(t, raised.contains(t) ? 1 : (double) divided * (w / rest)));
      settled = true;
      for (Map.Entry<String, Double> e : shares.entrySet()) {
        if (e.getValue() < 1 && raised.add(e.getKey())) {
          settled = false;
        }
      }
    }
    Map<String, Integer> parts = new LinkedHashMap<>();
    shares.forEach((t, s) -> parts.put(t, (int) Math.floor(s)));
    int left = (int) (total - parts.values().stream().mapToLong(Integer::longValue).sum());
    shares.keySet().stream()
        .sorted(Comparator.comparingDouble(t -> parts.get(t) - shares.get(t)))
        .limit(left)
        .forEach(t -> parts.merge(t, 1, Integer::sum));
    return ImmutableMap.copyOf(parts);
  }
}
