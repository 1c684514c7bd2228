package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;

/**
 * Trains one adapter on all tasks together, in mixed batches. The total number of examples is that
 * of the epochs over all data; the mixture divides it among the tasks.
 */
public final class MultiTask implements TrainingStrategy {
  /** The adapter's name. */
  public static final String ADAPTER = "multi-task";

  private final String mixture;
  private final double exponent;
  private final ImmutableMap<String, Double> weights;
  private final boolean surgery;
  private final boolean uncertainty;

  private MultiTask(String mixture, double exponent, Map<String, Double> weights) {
    this(mixture, exponent, weights, false, false);
  }

  private MultiTask(
      String mixture,
      double exponent,
      Map<String, Double> weights,
      boolean surgery,
      boolean uncertainty) {
    this.mixture = mixture;
    this.exponent = exponent;
    this.weights = weights == null ? null : ImmutableMap.copyOf(weights);
    this.surgery = surgery;
    this.uncertainty = uncertainty;
  }

  /**
   * Returns the strategy that draws from each task in proportion to its data: each example once per
   * epoch.
   */
  public static MultiTask proportional() {
    return new MultiTask("proportional", 1, null);
  }

  /** Returns the strategy that draws equally from all tasks, so that small ones are repeated. */
  public static MultiTask uniform() {
    return new MultiTask("uniform", 0, null);
  }

  /**
   * Returns the strategy that draws in proportion to {@code size^(1/temperature)} (Raffel et al.
   * 2020, section 3.5.2).
   */
  public static MultiTask temperature(double temperature) {
    checkArgument(temperature > 0, "temperature is %s; it must be positive", temperature);
    return new MultiTask("temperature " + temperature, 1 / temperature, null);
  }

  /**
   * Returns the strategy that draws in proportion to weights, by task name; they need not add up to
   * 1.
   */
  public static MultiTask weights(Map<String, Double> weights) {
    weights.forEach(
        (t, w) ->
            checkArgument(
                w > 0 && Double.isFinite(w),
                "the weight of task '%s' is %s; it must be positive",
                t,
                w));
    return new MultiTask("weights " + new TreeMap<>(weights), 1, weights);
  }

  /**
   * Returns this strategy with gradient surgery (PCGrad: Yu et al. 2020, arXiv 2001.06782,
   * algorithm 1): in each step, the component of a task's gradient that conflicts with another
   * task's is projected out. {@link FineTuningResult#conflicts()} tells how often that happened.
   *
   * <p>For tasks that share much but still interfere; if gradients seldom conflict it changes
   * little, and tasks that contradict each other are better served by separate adapters ({@link
   * Independent}, {@link Grouped}), as no single adapter can serve both. The tasks of a step are
   * run in separate passes, and a copy of the gradients is held for each task: use steps with
   * enough examples that most tasks are in each.
   */
  public MultiTask gradientSurgery() {
    return new MultiTask(mixture, exponent, weights, true, uncertainty);
  }

  /**
   * Returns this strategy with tasks weighted by their uncertainty (Kendall, Gal and Cipolla 2018,
   * arXiv 1705.07115, section 3.2): the loss {@code L} of each task becomes {@code exp(-s) L + s/2}
   * with a learned log-variance {@code s}; see {@link FineTuningResult#taskWeights()}.
   *
   * <p>For tasks whose losses differ in scale, or some of which have noisy answers, which then
   * count less. Not if a hard task matters most, as it is treated as noisy, nor for many epochs
   * over few examples, as a memorised task gains ever more weight. The cost is that of {@link
   * #gradientSurgery}; with both, surgery is applied to the weighted gradients.
   */
  public MultiTask uncertaintyWeighting() {
    return new MultiTask(mixture, exponent, weights, surgery, true);
  }

  /** Returns the strategy that then trains a small adapter for each task on top. */
  public Specialised thenSpecialise() {
    return new Specialised(this, 0.25, 0.5);
  }

  @Override
  public String name() {
    return "multi-task" + (uncertainty ? "-uncertainty" : "") + (surgery ? "-surgery" : "");
  }

  @Override
  public TrainingPlan plan(PlanContext context) {
    Map<String, Double> shares = new LinkedHashMap<>();
    if (weights != null) {
      checkArgument(
          weights.keySet().equals(context.examples().keySet()),
          "multi-task: weights are given for %s, the tasks are %s",
          weights.keySet(),
          context.names());
    }
    for (Task t : context.tasks()) {
      shares.put(
          t.name(),
          weights != null ? weights.get(t.name()) : Math.pow(context.examples(t), exponent));
    }
    long total = context.examples().values().stream().mapToLong(Integer::longValue).sum();
    Stage.Builder stage =
        Stage.named("all-tasks")
            .train(PlanContext.divide(total, shares), ADAPTER)
            .serve(context.names(), ADAPTER);
    if (uncertainty) {
      stage.gradients(new UncertaintyWeighting(context.names()));
    }
    if (surgery) {
      stage.gradients(new GradientSurgery(context.names(), context.hyperparameters().seed()));
    }
    return TrainingPlan.of(name(), stage.build());
  }

  @Override
  public String toString() {
    return name() + " (" + mixture + ")";
  }
}
