package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.GradientHook;
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
 * earlier tasks into later stages; {@linkplain #ewc} holds the adapter that continues to what
 * earlier tasks made of it, and {@linkplain #orthogonal} keeps stacked ones out of each other's
 * way.
 *
 * <p>The order is given, or {@linkplain #bestOrder chosen by measured affinities}. Early stopping
 * is a stage's own: it ends by the validation examples of the tasks that the stage draws from, and
 * the next stage begins with the best weights.
 */
public final class Sequential implements TrainingStrategy {
  /** The name of the adapter that continues. */
  public static final String ADAPTER = "sequential";

  /** Examples of a stage that {@link #ewc(double)} measures importances on. */
  public static final int FISHER_EXAMPLES = 128;

  private enum Mode {
    CONTINUING,
    STACKED,
    MERGING
  }

  private final ImmutableList<String> order;
  private final Mode mode;
  private final double replay;
  private final Optional<Affinity> affinity; // chooses the order
  private final Optional<GradientHook> hook;

  private Sequential(
      List<String> order,
      Optional<Affinity> affinity,
      Mode mode,
      double replay,
      Optional<GradientHook> hook) {
    hook.ifPresent(
        h ->
            checkArgument(
                mode == (h instanceof ElasticWeights ? Mode.CONTINUING : Mode.STACKED),
                "sequential: ewc is for the adapter that continues, orthogonal for stacked ones; %s was given with %s",
                h,
                mode));
    this.order = ImmutableList.copyOf(order);
    this.affinity = affinity;
    this.mode = mode;
    this.replay = replay;
    this.hook = hook;
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
    return new Sequential(names, Optional.empty(), Mode.CONTINUING, 0, Optional.empty());
  }

  /**
   * Returns the strategy that chooses the order by what training on one task gains for another.
   *
   * <p>Where all tasks are served by what the last stage leaves, a task that is learned later
   * changes what an earlier one has learned, and the last one is not changed any more. The order is
   * therefore the one in which the later tasks gain most for, or harm least, the earlier ones: the
   * sum of these affinities over all pairs is the highest. Where adapters are {@linkplain #stacked}
   * and a task is served up to its own, nothing is changed, and the order is the one in which the
   * earlier tasks gain most for the later ones. (That an order matters, and by the likeness of
   * tasks, is shown by Bell and Lawrence 2022, arXiv 2205.13323.) Exact for up to 16 tasks; ties go
   * to the order in which the tasks are given.
   */
  public static Sequential bestOrder(Affinity affinity) {
    return new Sequential(List.of(), Optional.of(affinity), Mode.CONTINUING, 0, Optional.empty());
  }

  /** Returns this strategy with a new adapter for each stage, on top of the frozen earlier ones. */
  public Sequential stacked() {
    return new Sequential(order, affinity, Mode.STACKED, replay, hook);
  }

  /** Returns this strategy with the earlier adapter merged into the base before each new one. */
  public Sequential merging() {
    return new Sequential(order, affinity, Mode.MERGING, replay, hook);
  }

  /**
   * Returns this strategy with examples of earlier tasks making up a share of each later stage, on
   * top of its own examples, in equal parts.
   *
   * @param share at least 0, below 1
   */
  public Sequential replay(double share) {
    checkArgument(share >= 0 && share < 1, "the replay share is %s; it must be in [0, 1)", share);
    return new Sequential(order, affinity, mode, share, hook);
  }

  /**
   * Like {@link #ewc(double, int)} on {@value #FISHER_EXAMPLES} examples.
   *
   * @param strength 0 or more
   */
  public Sequential ewc(double strength) {
    return ewc(strength, FISHER_EXAMPLES);
  }

  /**
   * Returns this strategy with elastic weight consolidation (EWC: Kirkpatrick et al. 2017, arXiv
   * 1612.00796, equation 3): in later stages each parameter of the adapter is drawn back to what
   * earlier ones left it at, the more the surer these were of it. The penalties of all earlier
   * stages are added up, each with its own values.
   *
   * <p>For one adapter that must serve all tasks when examples of earlier ones may not be kept;
   * where they may, {@link #replay} keeps more, and where each task may have an adapter, {@link
   * #stacked} forgets nothing. After each stage but the last, {@code examples} of its examples are
   * run once more one by one, forward and backward; three copies of the adapter's parameters are
   * held.
   *
   * @param strength 0 or more; of no common scale, as it weighs the Fisher information of an
   *     example's whole answer against the mean loss of a token: try 10, 100, 1000
   * @param examples of each stage that importances are measured on, at most; more are more exact
   */
  public Sequential ewc(double strength, int examples) {
    checkArgument(
        strength >= 0 && Double.isFinite(strength),
        "the strength of ewc is %s; it must be 0 or more",
        strength);
    checkArgument(examples > 0, "ewc on %s examples; it takes at least 1", examples);
    return new Sequential(
        order, affinity, mode, replay, Optional.of(new ElasticWeights(strength, examples)));
  }

  /**
   * Returns this strategy with a new adapter for each stage on the frozen earlier ones, which is to
   * read other directions of its inputs than they do (O-LoRA: Wang et al. 2023, arXiv 2310.14152,
   * section 3.2), so that it disturbs what they do little. All tasks are served by the whole stack:
   * nobody has to know which task a prompt is of.
   *
   * <p>For tasks that come one by one and are not told apart when serving; where they are, {@link
   * #stacked} serves each by the stack up to its own and forgets nothing. It keeps an adapter for
   * each task, which all are run for every prompt until they are merged, and the penalty takes two
   * small products for each module and earlier adapter in a step. Adapters that train no {@code
   * lora_A} are refused.
   *
   * @param strength 0 or more; the paper takes 0.5
   */
  public Sequential orthogonal(double strength) {
    checkArgument(
        strength >= 0 && Double.isFinite(strength),
        "the strength of orthogonal is %s; it must be 0 or more",
        strength);
    checkArgument(
        mode != Mode.MERGING, "sequential: orthogonal is for stacked adapters, not for merging");
    return new Sequential(
        order, affinity, Mode.STACKED, replay, Optional.of(new OrthogonalSubspaces(strength)));
  }

  @Override
  public String name() {
    String name =
        hook.isPresent()
            ? "sequential-" + (mode == Mode.STACKED ? "orthogonal" : "ewc")
            : mode == Mode.CONTINUING
                ? "sequential"
                : "sequential-" + mode.name().toLowerCase(java.util.Locale.ROOT);
    return replay > 0 ? name + "-replay" : name;
  }

  @Override
  public TrainingPlan plan(PlanContext context) {
    List<String> names = order(context.names());
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
      if (hook.isPresent() && (mode == Mode.CONTINUING || k > 0)) {
        stage.gradients(hook.get());
      }
      adapters.add(adapter);
      for (String t : context.names()) {
        // a later task is served by what there is
        int last = hook.isPresent() ? k : Math.min(names.indexOf(t), k);
        stage.serve(t, mode == Mode.STACKED ? adapters.subList(0, last + 1) : List.of(adapter));
      }
      stages.add(stage.build());
    }
    return TrainingPlan.of(name(), stages);
  }

  private List<String> order(ImmutableList<String> tasks) {
    List<String> given = affinity.map(Affinity::tasks).orElse(order.isEmpty() ? tasks : order);
    checkArgument(
        ImmutableSet.copyOf(given).equals(ImmutableSet.copyOf(tasks)),
        affinity.isPresent()
            ? "sequential: the affinities are of %s, the tasks are %s"
            : "sequential: the order is %s, the tasks are %s",
        given,
        tasks);
    boolean changed = mode != Mode.STACKED || hook.isPresent(); // all are served by the last stage
    return affinity
        .<List<String>>map(
            a ->
                BestOrder.of(
                    tasks,
                    (first, second) -> changed ? a.gain(second, first) : a.gain(first, second)))
        .orElse(given);
  }

  @Override
  public String toString() {
    return name()
        + (order.isEmpty() ? "" : " " + order)
        + affinity.map(a -> " in the best order by " + a).orElse("")
        + (replay > 0 ? " " + replay : "")
        + hook.map(h -> " with " + h).orElse("");
  }
}
