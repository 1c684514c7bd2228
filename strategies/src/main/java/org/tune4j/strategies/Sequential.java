package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;

/**
 * One task after another, a stage each.
 *
 * <p>What carries over is one of three: the same adapter continues (the default: cheapest, and it
 * forgets); each stage stacks a new adapter on the frozen earlier ones (nothing is forgotten where
 * the task is known when serving: a task is served by the stack up to its own stage); or the
 * earlier adapter is merged before a new one starts, into a copy of the base's projections, which
 * is saved under {@code bases} for the later adapters to be loaded on. Replay mixes examples of
 * earlier tasks into later stages.
 */
public final class Sequential implements TrainingStrategy {
  /** The name of the adapter that continues. */
  public static final String ADAPTER = "sequential";

  private enum Mode {
    CONTINUING,
    STACKED,
    MERGING
  }

  private final ImmutableList<String> order;
  private final Mode mode;
  private final double replay;

  private Sequential(List<String> order, Mode mode, double replay) {
    this.order = ImmutableList.copyOf(order);
    this.mode = mode;
    this.replay = replay;
  }

  /**
   * Returns the strategy for tasks in this order; without tasks, in the order in which they were
   * given.
   */
  public static Sequential inOrder(Task... tasks) {
    return inOrder(Arrays.stream(tasks).map(Task::name).toList());
  }

  /** Like {@link #inOrder(Task...)} by names. */
  public static Sequential inOrder(List<String> names) {
    checkArgument(
        ImmutableSet.copyOf(names).size() == names.size(),
        "the order %s names a task twice",
        names);
    return new Sequential(names, Mode.CONTINUING, 0);
  }

  /** Returns this strategy with a new adapter for each stage, on top of the frozen earlier ones. */
  public Sequential stacked() {
    return new Sequential(order, Mode.STACKED, replay);
  }

  /** Returns this strategy with the earlier adapter merged into the base before each new one. */
  public Sequential merging() {
    return new Sequential(order, Mode.MERGING, replay);
  }

  /**
   * Returns this strategy with examples of earlier tasks making up a share of each later stage, on
   * top of its own examples, in equal parts.
   *
   * @param share at least 0, below 1
   */
  public Sequential replay(double share) {
    checkArgument(share >= 0 && share < 1, "the replay share is %s; it must be in [0, 1)", share);
    return new Sequential(order, mode, share);
  }

  @Override
  public String name() {
    String name =
        mode == Mode.CONTINUING
            ? "sequential"
            : "sequential-" + mode.name().toLowerCase(java.util.Locale.ROOT);
    return replay > 0 ? name + "-replay" : name;
  }

  @Override
  public TrainingPlan plan(PlanContext context) {
    List<String> names = order.isEmpty() ? context.names() : order;
    checkArgument(
        ImmutableSet.copyOf(names).equals(ImmutableSet.copyOf(context.names())),
        "sequential: the order is %s, the tasks are %s",
        names,
        context.names());
    List<Stage> stages = new ArrayList<>();
    List<String> adapters = new ArrayList<>();
    for (int k = 0; k < names.size(); k++) {
      String task = names.get(k);
      String adapter = mode == Mode.CONTINUING ? ADAPTER : (k + 1) + "-" + task;
      int count = context.examples().get(task);
      Stage.Builder stage = Stage.named(task).train(task, adapter, count);
      if (replay > 0 && k > 0) {
        Map<String, Double> equal = new LinkedHashMap<>();
        names.subList(0, k).forEach(t -> equal.put(t, 1.0));
        long replayed = Math.max(k, Math.round(count * replay / (1 - replay)));
        stage.train(PlanContext.divide(replayed, equal), adapter);
      }
      if (mode == Mode.MERGING && k > 0) {
        stage.merge(adapters.get(k - 1));
      }
      if (mode == Mode.STACKED) {
        stage.on(adapters);
      }
      adapters.add(adapter);
      for (String t : context.names()) {
        int place = names.indexOf(t); // a later task is served by what there is
        stage.serve(
            t,
            mode == Mode.STACKED ? adapters.subList(0, Math.min(place, k) + 1) : List.of(adapter));
      }
      stages.add(stage.build());
    }
    return TrainingPlan.of(name(), stages);
  }

  @Override
  public String toString() {
    return name() + (order.isEmpty() ? "" : " " + order) + (replay > 0 ? " " + replay : "");
  }
}
