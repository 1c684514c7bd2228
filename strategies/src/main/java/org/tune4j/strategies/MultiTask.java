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
 * One adapter learns all tasks together, from batches in which they are mixed. The total number of
 * examples is that of the epochs over all data; the mixture says how it is divided.
 */
public final class MultiTask implements TrainingStrategy {
  /** The adapter's name. */
  public static final String ADAPTER = "multi-task";

  private final String mixture;
  private final double exponent;
  private final ImmutableMap<String, Double> weights;

  private MultiTask(String mixture, double exponent, Map<String, Double> weights) {
    this.mixture = mixture;
    this.exponent = exponent;
    this.weights = weights == null ? null : ImmutableMap.copyOf(weights);
  }

  /**
   * Returns the strategy that draws from each task in proportion to its data: each example once an
   * epoch.
   */
  public static MultiTask proportional() {
    return new MultiTask("proportional", 1, null);
  }

  /** Returns the strategy that draws equally from all tasks: small ones are repeated. */
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

  /** Returns the strategy that draws by weights, by task name; they need not add up to 1. */
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

  @Override
  public String name() {
    return "multi-task";
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
    return TrainingPlan.of(
        name(),
        Stage.named("all-tasks")
            .train(PlanContext.divide(total, shares), ADAPTER)
            .serve(context.names(), ADAPTER)
            .build());
  }

  @Override
  public String toString() {
    return name() + " (" + mixture + ")";
  }
}
