package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;

/**
 * Trains a shared adapter on all tasks like {@link MultiTask}, then a small adapter for each task
 * on top of the frozen shared one, all in parallel. Those that do not {@linkplain
 * org.tune4j.core.train.Gain gain} on validation examples are left out, and their tasks are served
 * by the shared adapter alone. Created by {@link MultiTask#thenSpecialise}. The division into
 * shared and task-specific low-rank parts follows MTL-LoRA (Yang et al. 2024, arXiv 2410.09437),
 * and freezing the first below the second progressive networks (Rusu et al. 2016, arXiv
 * 1606.04671); here both are plain adapters, applied in sequence.
 *
 * <p>By default it trains on half as many {@linkplain #examples examples} again as multi-task
 * training, less what early stopping saves, and runs the validation examples twice. A task's own
 * adapter has a quarter of the shared one's {@linkplain #size rank} by default.
 *
 * <p>For tasks with common and conflicting aspects, such as different answer formats. Not if the
 * task is unknown when serving, nor if one adapter learns each task as well as its data allow: then
 * nothing is kept and the time is wasted. Needs validation examples for every task.
 */
public final class Specialised implements TrainingStrategy {
  private final MultiTask shared;
  private final double size;
  private final double examples;

  Specialised(MultiTask shared, double size, double examples) {
    this.shared = shared;
    this.size = size;
    this.examples = examples;
  }

  /** Returns the name of a task's own adapter. */
  public static String adapter(String task) {
    return "own-" + task;
  }

  /**
   * Returns this strategy with another size of the tasks' own adapters.
   *
   * @param share positive factor of the shared adapter's rank; each rank is at least 1
   */
  public Specialised size(double share) {
    checkArgument(
        share > 0 && Double.isFinite(share),
        "the size of the tasks' own adapters is %s; it must be positive",
        share);
    return new Specialised(shared, share, examples);
  }

  /**
   * Returns this strategy with another number of examples for the tasks' own adapters.
   *
   * @param share positive factor of the examples of all epochs
   */
  public Specialised examples(double share) {
    checkArgument(
        share > 0 && Double.isFinite(share),
        "the share of examples for the tasks' own adapters is %s; it must be positive",
        share);
    return new Specialised(shared, size, share);
  }

  @Override
  public String name() {
    return shared.name() + "-specialised";
  }

  @Override
  public TrainingPlan plan(PlanContext context) {
    ImmutableList<Stage> first = shared.plan(context).stages();
    Stage.Builder own = Stage.named("specialists").on(MultiTask.ADAPTER);
    context
        .examples()
        .forEach(
            (task, n) -> {
              String adapter = adapter(task);
              own.train(task, adapter, (int) Math.max(1, Math.round(n * examples)))
                  .size(adapter, size)
                  .keepIfItGains(adapter)
                  .serve(task, MultiTask.ADAPTER, adapter);
            });
    return TrainingPlan.of(
        name(), ImmutableList.<Stage>builder().addAll(first).add(own.build()).build());
  }

  @Override
  public String toString() {
    return "%s, then specialised: size %s, %s of the examples".formatted(shared, size, examples);
  }
}
