package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.ImmutableTable;
import com.google.common.collect.Maps;
import java.util.List;

/**
 * How much training on one task helps another, for every pair of tasks: above 0 if it helps, below
 * 0 if it harms (Fifty et al. 2021, "Efficiently Identifying Task Groupings", arXiv 2109.04617,
 * section 3.1, who measure it during training). The unit is arbitrary, but must be the same for all
 * pairs.
 *
 * <p>As a {@link SubsetScore}, the score of a task is the sum of the gains from the others of its
 * group: to first order the steps of several tasks add up. Fifty et al. use the mean, which would
 * leave a task that helps a little less than the others out of their group.
 */
public final class Affinity implements SubsetScore {
  private final ImmutableList<String> tasks;
  private final ImmutableTable<String, String, Double> gains; // from, to

  private Affinity(ImmutableList<String> tasks, ImmutableTable<String, String, Double> gains) {
    this.tasks = tasks;
    this.gains = gains;
  }

  /**
   * Returns affinities.
   *
   * @param tasks names
   * @param gains {@code gains[i][j]} is the gain from training on task {@code i} for task {@code
   *     j}; the diagonal is ignored
   * @throws IllegalArgumentException if names are not unique, the matrix does not have their size,
   *     or a gain is not finite
   */
  public static Affinity of(List<String> tasks, double[][] gains) {
    checkArgument(
        ImmutableSet.copyOf(tasks).size() == tasks.size(), "the tasks %s are not unique", tasks);
    checkArgument(
        gains.length == tasks.size(), "%s rows of gains for %s tasks", gains.length, tasks.size());
    ImmutableTable.Builder<String, String, Double> all = ImmutableTable.builder();
    for (int i = 0; i < gains.length; i++) {
      checkArgument(
          gains[i].length == gains.length,
          "the gains from task '%s' are %s, for %s tasks",
          tasks.get(i),
          gains[i].length,
          gains.length);
      for (int j = 0; j < gains.length; j++) {
        if (i != j) {
          checkArgument(
              Double.isFinite(gains[i][j]),
              "the gain from task '%s' for '%s' is %s",
              tasks.get(i),
              tasks.get(j),
              gains[i][j]);
          all.put(tasks.get(i), tasks.get(j), gains[i][j]);
        }
      }
    }
    return new Affinity(ImmutableList.copyOf(tasks), all.buildOrThrow());
  }

  /** Returns the tasks' names. */
  public ImmutableList<String> tasks() {
    return tasks;
  }

  /**
   * Returns the gain from training on one task for another; 0 for itself.
   *
   * @throws IllegalArgumentException if there is no such task
   */
  public double gain(String from, String to) {
    for (String t : ImmutableList.of(from, to)) {
      checkArgument(tasks.contains(t), "there is no affinity of task '%s', only of %s", t, tasks);
    }
    return from.equals(to) ? 0 : gains.get(from, to);
  }

  @Override
  public double of(String task, ImmutableSet<String> together) {
    return together.stream().mapToDouble(t -> gain(t, task)).sum();
  }

  @Override
  public String toString() {
    ImmutableMap<String, ImmutableMap<String, Double>> rows = Maps.toMap(tasks, t -> gains.row(t));
    return "affinities " + rows;
  }
}
