package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableMap;
import com.google.common.collect.Maps;
import java.util.Map;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.Combination;

/**
 * Trains an adapter for each task as in {@link Independent}, and then merges them into one that
 * serves every task: by addition, TIES (Yadav et al. 2023, arXiv 2306.01708), or DARE (Yu et al.
 * 2024, arXiv 2311.03099), depending on the {@link Combination}. Created by {@link
 * Independent#merged}.
 *
 * <p>The cost is that of {@link Independent} plus merging: nothing for a concatenation, a
 * decomposition of each adapted matrix for SVD methods (a fraction of a second for hundreds of
 * features, seconds for thousands).
 *
 * <p>For tasks whose data cannot be combined (separated by place or time), if one adapter must
 * serve them all without knowing the task. If the data can be mixed, {@link MultiTask} usually
 * works better: merging loses some of what each adapter learned, and more with more tasks. The
 * tasks' adapters are kept as well, so that the loss can be measured.
 *
 * <p>By default every task has the same {@linkplain #weights weight}: if updates are added, the
 * weights sum to 1, so that the result is their mean; if signs are elected, each is 1, as the
 * values of a sign are averaged already. Adapters whose updates cannot be added (DoRA, fully
 * trained modules) are refused before training starts.
 */
public final class Merged implements TrainingStrategy {
  /** The name of the merged adapter; primes are appended if a task has this name. */
  public static final String ADAPTER = "merged";

  private final Combination how;
  private final ImmutableMap<String, Double> weights; // empty for the default

  Merged(Combination how, Map<String, Double> weights) {
    this.how = how;
    this.weights = ImmutableMap.copyOf(weights);
  }

  /**
   * Returns this strategy with weights of the tasks' adapters, as in {@link Combination#apply}.
   *
   * @param value finite weights by the names of all tasks
   */
  public Merged weights(Map<String, Double> value) {
    value.forEach(
        (t, w) ->
            checkArgument(
                Double.isFinite(w),
                "merged: the weight of task '%s' is %s; it must be finite",
                t,
                w));
    checkArgument(!value.isEmpty(), "merged: there are no weights");
    return new Merged(how, value);
  }

  @Override
  public String name() {
    return "merged-" + how.method().toString().replace('_', '-');
  }

  @Override
  public TrainingPlan plan(PlanContext context) {
    checkArgument(
        weights.isEmpty() || weights.keySet().equals(context.examples().keySet()),
        "merged: weights are given for %s, the tasks are %s",
        weights.keySet(),
        context.names());
    double equal = how.method().elects() ? 1 : 1.0 / context.names().size();
    String merged = ADAPTER;
    while (context.names().contains(merged)) {
      merged += "'";
    }
    Stage.Builder stage = Stage.named("side-by-side");
    context.examples().forEach((task, n) -> stage.train(task, task, n));
    return TrainingPlan.of(
        name(),
        stage
            .combine(merged, how, Maps.toMap(context.names(), t -> weights.getOrDefault(t, equal)))
            .serve(context.names(), merged)
            .build());
  }

  @Override
  public String toString() {
    return "merged: " + how + (weights.isEmpty() ? "" : ", weights " + weights);
  }
}
