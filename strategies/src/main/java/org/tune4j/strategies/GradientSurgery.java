package org.tune4j.strategies;

import com.google.common.collect.ImmutableList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Map;
import java.util.SplittableRandom;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.train.GradientHook;

/**
 * PCGrad (Yu et al. 2020, "Gradient Surgery for Multi-Task Learning", algorithm 1): for the other
 * tasks in random order, the component that conflicts with that task's gradient is projected out of
 * each task's gradient; the adapter is trained with the sum of the results.
 *
 * <p>The result is a linear combination of the tasks' gradients, with factors that depend only on
 * their dot products. So the products are computed once, in the engine, the algorithm runs on
 * scalars, and the gradients are then combined: one pass over the parameters for each pair of
 * tasks, and no combination if no two conflict.
 *
 * <p>The order follows from seed, stage and step; the state consists of statistics.
 *
 * @param tasks all tasks in training
 */
record GradientSurgery(ImmutableList<String> tasks, long seed) implements GradientHook {
  static final String NAME = "gradient surgery";
  static final String STEPS = "steps with both";
  static final String CONFLICTS = "share of steps in conflict";
  static final String COSINE = "mean cosine";

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public boolean byTask() {
    return true;
  }

  @Override
  public State start(Parameters parameters) {
    return new Counts();
  }

  @Override
  public String toString() {
    return "gradient surgery (PCGrad, seed %s; a pass and a copy of the gradients for each task)"
        .formatted(seed);
  }

  /**
   * Statistics by pair of tasks, {@code [first * tasks + second]}, with the first below the second.
   */
  private final class Counts implements State {
    private final int n = tasks.size();
    private float[] steps = new float[n * n]; // exact up to 16 million
    private float[] conflicts = new float[n * n];
    private float[] cosines = new float[n * n]; // sums

    @Override
    public void apply(Gradients g) {
      ImmutableList<String> names = g.byTask().keySet().asList();
      double[][] products = products(g.parameters().engine(), g.byTask().values());
      for (int i = 0; i < names.size(); i++) {
        for (int j = i + 1; j < names.size(); j++) {
          count(names.get(i), names.get(j), products[i][j], products[i][i] * products[j][j]);
        }
      }
      double[] factors =
          factors(
              products,
              new SplittableRandom(
                  (seed * 31 + g.stage().name().hashCode()) * 1_000_003 + g.step()));
      if (Arrays.stream(factors).anyMatch(f -> f != 1)) {
        g.combine(factors);
      }
    }

    private void count(String one, String other, double product, double squares) {
      int a = tasks.indexOf(one);
      int b = tasks.indexOf(other);
      int pair = Math.min(a, b) * n + Math.max(a, b);
      steps[pair]++;
      if (squares > 0) { // otherwise one gradient is zero and has no direction
        conflicts[pair] += product < 0 ? 1 : 0;
        cosines[pair] += (float) (product / Math.sqrt(squares));
      }
    }

    @Override
    public Map<String, float[]> save() {
      return Map.of(
          "steps", steps.clone(), "conflicts", conflicts.clone(), "cosines", cosines.clone());
    }

    @Override
    public void restore(Map<String, float[]> saved) {
      steps = saved.get("steps").clone();
      conflicts = saved.get("conflicts").clone();
      cosines = saved.get("cosines").clone();
    }

    @Override
    public ImmutableList<Figure> figures() {
      ImmutableList.Builder<Figure> all = ImmutableList.builder();
      for (int i = 0; i < n; i++) {
        for (int j = i + 1; j < n; j++) {
          int pair = i * n + j;
          if (steps[pair] > 0) {
            ImmutableList<String> both = ImmutableList.of(tasks.get(i), tasks.get(j));
            all.add(
                new Figure(STEPS, both, steps[pair]),
                new Figure(CONFLICTS, both, (double) conflicts[pair] / steps[pair]),
                new Figure(COSINE, both, (double) cosines[pair] / steps[pair]));
          }
        }
      }
      return all.build();
    }
  }

  /** Returns the dot products of all pairs of gradients. */
  private static double[][] products(Engine engine, Collection<Tensor> gradients) {
    Tensor[] g = gradients.toArray(new Tensor[0]);
    double[][] all = new double[g.length][g.length];
    Tensor product = engine.allocate(1, 1, DType.F32);
    for (int i = 0; i < g.length; i++) {
      all[i][i] = engine.sumOfSquares(g[i]);
      for (int j = i + 1; j < g.length; j++) {
        engine.gemm(1, g[i], false, g[j], true, 0, product);
        all[i][j] = engine.read(product)[0];
        all[j][i] = all[i][j];
      }
    }
    engine.release(product);
    return all;
  }

  /**
   * Returns the factor of each gradient in the sum of the projected gradients.
   *
   * @param products dot products of all pairs
   */
  static double[] factors(double[][] products, SplittableRandom random) {
    int n = products.length;
    double[] sum = new double[n];
    for (int i = 0; i < n; i++) {
      double[] projected = new double[n]; // coefficients of the projected gradient i
      projected[i] = 1;
      int[] order = new int[n];
      for (int k = 0; k < n; k++) { // inside-out shuffle
        int place = random.nextInt(k + 1);
        order[k] = order[place];
        order[place] = k;
      }
      for (int j : order) {
        double product = 0;
        for (int k = 0; k < n; k++) {
          product += projected[k] * products[k][j];
        }
        if (j != i && product < 0 && products[j][j] > 0) {
          projected[j] -= product / products[j][j];
        }
      }
      for (int k = 0; k < n; k++) {
        sum[k] += projected[k];
      }
    }
    return sum;
  }
}
