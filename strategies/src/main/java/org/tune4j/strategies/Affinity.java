package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.ImmutableTable;
import com.google.common.collect.Maps;
import java.util.List;

/**
 * What training on one task gains for another, for every two tasks: above 0 where it helps, below
 * where it harms (Fifty et al. 2021, "Efficiently Identifying Task Groupings", arXiv 2109.04617,
 * section 3.1, who measure it along a training). In whatever unit, the same for all.
 *
 * <p>As a {@link SubsetScore}, a task scores the sum of what the others of its group gain for it:
 * to first order the steps of several tasks add up. Fifty et al. take the mean instead, by which a
 * task that helps a little less than the others would be left out of their group.
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
   * @param gains {@code gains[i][j]} is what training on task {@code i} gains for task {@code j};
   *     what a task gains from itself does not matter
   * @throws IllegalArgumentException if a name is there twice, the matrix is not square of that
   *     size, or a gain is no finite number
   */
  public static Affinity of(List<String> tasks, double[][] gains) {
    checkArgument(
        ImmutableSet.copyOf(tasks).size() == tasks.size(), "the tasks %s name one twice", tasks);
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
   * Returns what training on one task gains for another; 0 for itself.
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
