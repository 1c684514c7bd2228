package org.tune4j.strategies;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Partitions tasks into groups with the highest sum of scores. Exact for up to {@link #EXACT}
 * tasks, by dynamic programming over subsets; otherwise by greedily joining pairs of groups,
 * starting from single tasks, as long as that helps or there are too many groups.
 */
final class Partition {
  /** Most tasks that are partitioned exactly, in {@code 3^n} steps. */
  static final int EXACT = 12;

  private final ImmutableList<String> tasks;
  private final SubsetScore score;
  private final Map<Long, Double> values = new HashMap<>(); // by the group's bits

  private Partition(ImmutableList<String> tasks, SubsetScore score) {
    this.tasks = tasks;
    this.score = score;
  }

  /**
   * Returns the groups, ordered by their first tasks and each in the tasks' order. Ties go to fewer
   * groups.
   *
   * @param most most groups, at least 1
   */
  static ImmutableList<ImmutableList<String>> of(
      ImmutableList<String> tasks, SubsetScore score, int most) {
    Partition p = new Partition(tasks, score);
    return tasks.size() <= EXACT ? p.exact(Math.min(most, tasks.size())) : p.greedy(most);
  }

  /** Returns the sum of the scores of a group's tasks. */
  private double value(long group) {
    return values.computeIfAbsent(
        group,
        g -> {
          ImmutableSet<String> together = ImmutableSet.copyOf(names(g));
          return together.stream().mapToDouble(t -> score.of(t, together)).sum();
        });
  }

  private ImmutableList<String> names(long group) {
    ImmutableList.Builder<String> names = ImmutableList.builder();
    for (int i = 0; i < tasks.size(); i++) {
      if ((group >> i & 1) == 1) {
        names.add(tasks.get(i));
      }
    }
    return names.build();
  }

  private ImmutableList<ImmutableList<String>> exact(int most) {
    int all = (1 << tasks.size()) - 1;
    double[] values = new double[all + 1];
    for (int group = 1; group <= all; group++) {
      values[group] = value(group);
    }
    double[][] best =
        new double[most + 1][all + 1]; // best sum of a set's partitions into exactly k groups
    int[][] first =
        new int[most + 1][all + 1]; // in that partition, the group of the set's lowest task
    for (int k = 0; k <= most; k++) {
      for (int set = 0; set <= all; set++) {
        best[k][set] = k == 0 && set == 0 ? 0 : Double.NEGATIVE_INFINITY;
        int lowest = Integer.lowestOneBit(set);
        for (int group = set; k > 0 && group > 0; group = (group - 1) & set) {
          double before = best[k - 1][set & ~group];
          if ((group & lowest) != 0 && before > Double.NEGATIVE_INFINITY) {
            double sum = before + values[group];
            if (first[k][set] == 0 || sum > best[k][set]) {
              best[k][set] = sum;
              first[k][set] = group;
            }
          }
        }
      }
    }
    int bestCount = 1;
    for (int k = 2; k <= most; k++) {
      // rounding must not add an adapter
      double rounding = 1e-12 * Math.max(Math.abs(best[k][all]), Math.abs(best[bestCount][all]));
      if (best[k][all] > best[bestCount][all] + rounding) {
        bestCount = k;
      }
    }
    ImmutableList.Builder<ImmutableList<String>> groups = ImmutableList.builder();
    int rest = all;
    for (int k = bestCount; k > 0; k--) {
      int group = first[k][rest];
      groups.add(names(group));
      rest &= ~group;
    }
    return groups.build();
  }

  private ImmutableList<ImmutableList<String>> greedy(int most) {
    List<Long> groups = new ArrayList<>();
    for (int i = 0; i < tasks.size(); i++) {
      groups.add(1L << i);
    }
    while (groups.size() > 1) {
      int one = 0;
      int other = 1;
      double gain = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < groups.size(); i++) {
        for (int j = i + 1; j < groups.size(); j++) {
          double g =
              value(groups.get(i) | groups.get(j)) - value(groups.get(i)) - value(groups.get(j));
          if (g > gain) {
            gain = g;
            one = i;
            other = j;
          }
        }
      }
      if (gain < 0 && groups.size() <= most) {
        break;
      }
      groups.set(one, groups.get(one) | groups.remove(other));
    }
    return groups.stream().map(this::names).collect(ImmutableList.toImmutableList());
  }
}
