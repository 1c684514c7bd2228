package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;

/**
 * A shared adapter learns all tasks as {@link MultiTask} does; then each task has a small one of
 * its own on top of the shared one, which is frozen, all trained side by side. Those that do not
 * {@linkplain org.tune4j.core.train.Gain gain} on validation examples are left out: their tasks are
 * served by the shared adapter alone. Made by {@link MultiTask#thenSpecialise}. That a low-rank
 * part is shared and another is a task's own is the idea of MTL-LoRA (Yang et al. 2024, arXiv
 * 2410.09437), that the first is frozen under the second that of progressive networks (Rusu et al.
 * 2016, arXiv 1606.04671); here both are plain adapters, one after the other.
 *
 * <p>Costs the examples of multi-task training and, unless {@linkplain #examples said otherwise},
 * half of them again, less what early stopping saves, and two passes over the validation examples.
 * A task's own adapter has a quarter of the shared one's {@linkplain #size rank} unless said
 * otherwise.
 *
 * <p>For tasks that have something in common and something that is against one another, such as
 * formats of answers of their own. Not where whoever serves does not know the task, nor where one
 * adapter has learned each task as well as its data allow: then nothing is kept, and the time is
 * lost. Needs validation examples of every task.
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
   * Returns this strategy with adapters of another size on top.
   *
   * @param share of the shared one's rank, positive; each rank is at least 1
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
   * @param share of those that the epochs come to, positive
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
