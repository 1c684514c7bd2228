package org.tune4j.strategies;

import com.google.common.collect.ImmutableList;
import java.util.Map;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.train.GradientHook;

/**
 * Weights tasks by their homoscedastic uncertainty (Kendall, Gal and Cipolla 2018, section 3.2,
 * equation 10): the loss {@code L} of each task becomes {@code exp(-s) L + s / 2} with a learned
 * log-variance {@code s}; this is the variant for classification, such as of tokens. The weight
 * {@code exp(-s)} of a task converges to half its inverse loss: a noisy task counts less, a nearly
 * solved one more.
 *
 * <p>The adapter's gradients of a task are multiplied by its weight. Log-variances start at 0,
 * where all weights are 1, and are learned by plain gradient descent with rate {@value #RATE}: in
 * each step that has the task, whatever its share of the step, {@code s} changes by the rate times
 * {@code exp(-s) L - 1/2}, clipped to ±1, so that a single loss cannot ruin a weight. The distance
 * to the final weight halves in about 28 such steps.
 *
 * @param tasks all tasks in training
 */
record UncertaintyWeighting(ImmutableList<String> tasks) implements GradientHook {
  static final String NAME = "uncertainty weighting";
  static final String WEIGHT = "weight";
  static final double RATE = 0.05;

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
    return new LogVariances();
  }

  @Override
  public String toString() {
    return "uncertainty weighting (rate %s; a pass and a copy of the gradients for each task)"
        .formatted(RATE);
  }

  private final class LogVariances implements State {
    private float[] s = new float[tasks.size()];

    @Override
    public void apply(Gradients g) {
      ImmutableList<String> names = g.byTask().keySet().asList();
      double[] weights = new double[names.size()];
      for (int i = 0; i < weights.length; i++) {
        int task = tasks.indexOf(names.get(i));
        weights[i] = Math.exp(-s[task]);
        s[task] -= (float) (RATE * gradient(s[task], g.lossByTask().get(names.get(i))));
      }
      g.combine(weights);
    }

    @Override
    public Map<String, float[]> save() {
      return Map.of("log-variances", s.clone());
    }

    @Override
    public void restore(Map<String, float[]> saved) {
      s = saved.get("log-variances").clone();
    }

    @Override
    public ImmutableList<Figure> figures() {
      ImmutableList.Builder<Figure> all = ImmutableList.builder();
      for (int i = 0; i < s.length; i++) {
        all.add(new Figure(WEIGHT, ImmutableList.of(tasks.get(i)), Math.exp(-s[i])));
      }
      return all.build();
    }
  }

  /** Returns the objective of a task. */
  static double objective(double s, double loss) {
    return Math.exp(-s) * loss + s / 2;
  }

  /** Returns the gradient of the objective with respect to the log-variance, clipped to ±1. */
  static double gradient(double s, double loss) {
    return Math.max(-1, Math.min(1, 0.5 - Math.exp(-s) * loss));
  }
}
