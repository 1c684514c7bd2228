package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableMap;
import com.google.common.collect.Maps;
import java.util.Map;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.Combination;

/**
 * An adapter for each task, trained as by {@link Independent}, and then one of all by merging,
 * which serves every task: added up, by TIES (Yadav et al. 2023, arXiv 2306.01708), or by DARE (Yu
 * et al. 2024, arXiv 2311.03099), as the {@link Combination} says. Made by {@link
 * Independent#merged}.
 *
 * <p>Costs what {@link Independent} costs, and merging: nothing for a concatenation, a
 * decomposition of each adapted matrix for methods that keep singular values (a fraction of a
 * second for some hundred features, seconds for some thousands).
 *
 * <p>For tasks whose data cannot come together (they stand apart in place or in time), where one
 * adapter must serve them all and whoever serves does not know the task. Where the data can be
 * mixed, {@link MultiTask} does better as a rule: merging loses some of what each adapter learned,
 * the more the more tasks there are. The adapters of the tasks are kept too, so that the loss can
 * be measured.
 *
 * <p>Unless {@linkplain #weights said otherwise} every task weighs the same: where updates are
 * added up, as parts of 1, so that the result is their mean; where signs are elected, 1, as the
 * values of a sign are averaged already. Adapters whose updates do not add up (DoRA, modules that
 * are trained whole) are refused before training begins.
 */
public final class Merged implements TrainingStrategy {
  /** The name of the adapter of all; with more primes where a task is named so. */
  public static final String ADAPTER = "merged";

  private final Combination how;
  private final ImmutableMap<String, Double> weights; // empty for the default

  Merged(Combination how, Map<String, Double> weights) {
    this.how = how;
    this.weights = ImmutableMap.copyOf(weights);
  }

  /**
   * Returns this strategy with weights of the tasks' adapters, as {@link Combination#apply} takes
   * them: an adapter's update counts so many times.
   *
   * @param value finite, by the name of every task
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
