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
 * Trains one task after another, each in its own stage.
 *
 * <p>There are three modes. By default the same adapter continues, which is cheapest but forgets.
 * {@linkplain #stacked Stacked}, each stage adds a new adapter on the frozen earlier ones; nothing
 * is forgotten if the task is known when serving, as it is served by the stack up to its own stage.
 * {@linkplain #merging Merging}, the earlier adapter is merged into a copy of the base's
 * projections before a new one starts; the copy is saved under {@code bases}, as the base of later
 * adapters. {@linkplain #replay Replay} mixes examples of earlier tasks into later stages; {@link
 * #ewc} keeps the continuing adapter close to what earlier tasks learned, and {@link #orthogonal}
 * reduces interference between stacked ones.
 *
 * <p>The order is given, or {@linkplain #bestOrder chosen by measured affinities}. Early stopping
 * applies to each stage, by the validation examples of the tasks that it draws from, and the next
 * stage starts with the best weights.
 */
public final class Sequential implements TrainingStrategy {
  /** The name of the continuing adapter. */
  public static final String ADAPTER = "sequential";

  /** Number of examples on which {@link #ewc(double)} measures importances in each stage. */
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
                "sequential: ewc is for a continuing adapter, orthogonal for stacked ones; %s was given with %s",
                h,
                mode));
    this.order = ImmutableList.copyOf(order);
    this.affinity = affinity;
    this.mode = mode;
    this.replay = replay;
    this.hook = hook;
  }

  /**
   * Returns the strategy for tasks in this order; without arguments, in the order of the run's
   * tasks.
   */
  public static Sequential inOrder(Task... tasks) {
    return inOrder(Arrays.stream(tasks).map(Task::name).toList());
  }

  /** Like {@link #inOrder(Task...)}, by names. */
  public static Sequential inOrder(List<String> names) {
    checkArgument(
        ImmutableSet.copyOf(names).size() == names.size(),
        "the order %s names a task twice",
        names);
    return new Sequential(names, Optional.empty(), Mode.CONTINUING, 0, Optional.empty());
  }

  /**
   * Returns the strategy that chooses the order by measured affinities.
   *
   * <p>If all tasks are served by the result of the last stage, later tasks change what earlier
   * ones learned. So the order is the one in which the later tasks help the earlier ones most, or
   * harm them least: with the highest sum of these affinities over all pairs. If adapters are
   * {@linkplain #stacked} and a task is served by the stack up to its own, nothing learned is
   * changed, and the order is the one in which the earlier tasks help the later ones most. (Bell
   * and Lawrence 2022, arXiv 2205.13323, show that the order matters, depending on the similarity
   * of tasks.) Exact for up to 16 tasks; ties go to the given order.
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
   * Returns this strategy with additional examples of earlier tasks, in equal parts, as a share of
   * each later stage.
   *
   * @param share at least 0, below 1
   */
  public Sequential replay(double share) {
    checkArgument(share >= 0 && share < 1, "the replay share is %s; it must be in [0, 1)", share);
    return new Sequential(order, affinity, mode, share, hook);
  }

  /**
   * Like {@link #ewc(double, int)} with {@value #FISHER_EXAMPLES} examples.
   *
   * @param strength 0 or more
   */
  public Sequential ewc(double strength) {
    return ewc(strength, FISHER_EXAMPLES);
  }

  /**
   * Returns this strategy with elastic weight consolidation (EWC: Kirkpatrick et al. 2017, arXiv
   * 1612.00796, equation 3): in later stages each parameter of the adapter is pulled towards its
   * value after earlier stages, the more strongly the more important it was there. The penalties of
   * all earlier stages are added, each with its own values.
   *
   * <p>For one adapter that must serve all tasks if examples of earlier ones cannot be kept. If
   * they can, {@link #replay} retains more, and if each task may have an adapter, {@link #stacked}
   * forgets nothing. After each stage except the last, {@code examples} of its examples are run
   * again one by one, forward and backward; three copies of the adapter's parameters are held.
   *
   * @param strength 0 or more; has no natural scale, as it weighs the Fisher information of an
   *     example's whole answer against the mean loss of a token: try 10, 100, 1000
   * @param examples most examples of each stage to measure importances on; more are more accurate
   */
  public Sequential ewc(double strength, int examples) {
    checkArgument(
        strength >= 0 && Double.isFinite(strength),
        "the strength of ewc is %s; it must be 0 or more",
        strength);
    checkArgument(examples > 0, "ewc on %s examples; it needs at least 1", examples);
    return new Sequential(
        order, affinity, mode, replay, Optional.of(new ElasticWeights(strength, examples)));
  }

  /**
   * Returns this strategy with a new adapter for each stage on the frozen earlier ones, trained to
   * use other directions of its inputs than they do (O-LoRA: Wang et al. 2023, arXiv 2310.14152,
   * section 3.2), so that it interferes little with them. All tasks are served by the whole stack,
   * so the task of a prompt need not be known.
   *
   * <p>For tasks that arrive one by one and are not distinguished when serving; if they are, {@link
   * #stacked} serves each by the stack up to its own and forgets nothing. There is an adapter for
   * each task, all of which run for every prompt unless they are merged, and the penalty costs two
   * small products per module and earlier adapter in each step. Adapters without a trained {@code
   * lora_A} are refused.
   *
   * @param strength 0 or more; the paper uses 0.5
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
        // tasks of later stages are served by what exists so far
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
    boolean servedByLast =
        mode != Mode.STACKED || hook.isPresent(); // whether all are served by the last stage
    return affinity
        .<List<String>>map(
            a ->
                BestOrder.of(
                    tasks,
                    (first, second) ->
                        servedByLast ? a.gain(second, first) : a.gain(first, second)))
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
