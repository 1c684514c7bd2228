package org.tune4j.strategies;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.ToDoubleBiFunction;

/**
 * Finds the order of tasks with the highest sum, over all pairs, of the value of one preceding the
 * other (the linear ordering problem). Exact for up to {@link #EXACT} tasks, by dynamic programming
 * over subsets; otherwise by local search that moves single tasks to their best position until no
 * move helps.
 */
final class BestOrder {
  /** Most tasks that are ordered exactly, in {@code 2^n n} steps. */
  static final int EXACT = 16;

  private BestOrder() {}

  /**
   * Returns the best order; ties go to the one closer to the given order.
   *
   * @param worth value of the first preceding the second
   */
  static ImmutableList<String> of(List<String> tasks, ToDoubleBiFunction<String, String> worth) {
    int n = tasks.size();
    double[][] w = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        w[i][j] = i == j ? 0 : worth.applyAsDouble(tasks.get(i), tasks.get(j));
      }
    }
    List<Integer> order = n <= EXACT ? exact(w) : localSearch(w);
    return order.stream().map(tasks::get).collect(ImmutableList.toImmutableList());
  }

  private static List<Integer> exact(double[][] w) {
    int n = w.length;
    double[] best = new double[1 << n]; // best sum of a set of tasks that come first
    int[] last = new int[1 << n];
    for (int set = 1; set < 1 << n; set++) {
      best[set] = Double.NEGATIVE_INFINITY;
      for (int j = n - 1; j >= 0; j--) { // ties keep the given order
        if ((set >> j & 1) == 1) {
          int before = set & ~(1 << j);
          double sum = best[before];
          for (int i = 0; i < n; i++) {
            sum += (before >> i & 1) * w[i][j];
          }
          if (sum > best[set]) {
            best[set] = sum;
            last[set] = j;
          }
        }
      }
    }
    List<Integer> order = new ArrayList<>();
    for (int set = (1 << n) - 1; set > 0; set &= ~(1 << last[set])) {
      order.add(last[set]);
    }
    Collections.reverse(order);
    return order;
  }

  private static List<Integer> localSearch(double[][] w) {
    List<Integer> order = new ArrayList<>();
    for (int i = 0; i < w.length; i++) {
      order.add(i);
    }
    boolean better = true;
    while (better) {
      better = false;
      for (int at = 0; at < order.size(); at++) {
        int task = order.get(at);
        double gain = 0;
        double bestGain = 1e-12; // more than rounding, so that the search terminates
        int to = at;
        for (int k = at - 1; k >= 0; k--) {
          gain += w[task][order.get(k)] - w[order.get(k)][task];
          if (gain > bestGain) {
            bestGain = gain;
            to = k;
          }
        }
        gain = 0;
        for (int k = at + 1; k < order.size(); k++) {
          gain += w[order.get(k)][task] - w[task][order.get(k)];
          if (gain > bestGain) {
            bestGain = gain;
            to = k;
          }
        }
        if (to != at) {
          order.add(to, order.remove(at));
          better = true;
        }
      }
    }
    return order;
  }
}
