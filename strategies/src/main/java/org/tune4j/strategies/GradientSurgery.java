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
 * PCGrad (Yu et al. 2020, "Gradient Surgery for Multi-Task Learning", algorithm 1): each task's
 * gradient loses, for the other tasks in random order, what points against that task's own
 * gradient; the adapter is given the sum of what is left.
 *
 * <p>All that comes out is a linear combination of the tasks' gradients, with factors that depend
 * on nothing but their products. So these are formed once, in the engine, the algorithm runs on
 * numbers, and the gradients are touched once more to be added up: a pass over the parameters for
 * each two tasks, and nothing where no two conflict, which leaves the sum as it was.
 *
 * <p>The order follows from seed, stage and step; the state is what is counted.
 *
 * @param tasks all that are trained
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

  /** What is counted, by pair of tasks {@code [first * tasks + second]}, first below second. */
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
      if (squares > 0) { // else one has nothing to learn, and no direction
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

  /** Returns the products of every two gradients. */
  private static double[][] products(Engine engine, Collection<Tensor> gradients) {
    Tensor[] of = gradients.toArray(new Tensor[0]);
    double[][] all = new double[of.length][of.length];
    Tensor product = engine.allocate(1, 1, DType.F32);
    for (int i = 0; i < of.length; i++) {
      all[i][i] = engine.sumOfSquares(of[i]);
      for (int j = i + 1; j < of.length; j++) {
        engine.gemm(1, of[i], false, of[j], true, 0, product);
        all[i][j] = engine.read(product)[0];
        all[j][i] = all[i][j];
      }
    }
    engine.release(product);
    return all;
  }

  /**
   * Returns how much of each gradient is in the sum of what is left of all.
   *
   * @param products of every two
   */
  static double[] factors(double[][] products, SplittableRandom random) {
    int n = products.length;
    double[] sum = new double[n];
    for (int i = 0; i < n; i++) {
      double[] left = new double[n]; // of gradient i, in terms of all
      left[i] = 1;
      int[] order = new int[n];
      for (int k = 0; k < n; k++) { // the inside-out shuffle
        int place = random.nextInt(k + 1);
        order[k] = order[place];
        order[place] = k;
      }
      for (int j : order) {
        double product = 0;
        for (int k = 0; k < n; k++) {
          product += left[k] * products[k][j];
        }
        if (j != i && product < 0 && products[j][j] > 0) {
          left[j] -= product / products[j][j];
        }
      }
      for (int k = 0; k < n; k++) {
        sum[k] += left[k];
      }
    }
    return sum;
  }
}
