package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.Maps;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Pass;

/**
 * An adapter in training in a stage: its examples, optimizer, gradient hooks, validations with
 * early stopping, and the state of all that for checkpoints. Lanes are independent of each other.
 */
final class Lane implements AutoCloseable {
  private final int index;
  private final Stage stage;
  private final Adapter adapter;
  private final ImmutableList<Adapter> stack;
  private final DataOrder order;
  private final Optimizer optimizer;
  private final ImmutableList<GradientHooks.Active> hooks;
  private final Optional<TaskGradients> byTask; // if a hook needs them
  private final double sizeAtStart;
  private final int steps;

  private int trained;
  private boolean stopped;
  private int measuredAt = -1;
  private int badValidations;
  private Map<String, Double> losses = Map.of();
  private Map<String, Double> bestLosses = Map.of();
  private Optional<float[]> bestWeights = Optional.empty();

  /**
   * Creates a lane at its start.
   *
   * @param index among the lanes of the stage
   * @param stack the frozen adapters below, then the one in training
   * @param hooks applied to its gradients, in order
   * @param sizeAtStart root mean square of its parameters
   */
  Lane(
      int index,
      Stage stage,
      Adapter adapter,
      ImmutableList<Adapter> stack,
      DataOrder order,
      ImmutableList<GradientHooks.Active> hooks,
      Hyperparameters h,
      double sizeAtStart) {
    this.index = index;
    this.stage = stage;
    this.adapter = adapter;
    this.stack = stack;
    this.order = order;
    this.hooks = hooks;
    this.sizeAtStart = sizeAtStart;
    steps = Math.toIntExact(stage.steps(adapter.name(), h));
    optimizer = h.optimizer().create(adapter.parameters(), h);
    byTask =
        hooks.stream().anyMatch(a -> a.hook().byTask())
            ? Optional.of(new TaskGradients(adapter.parameters()))
            : Optional.empty();
  }

  int index() {
    return index;
  }

  String name() {
    return adapter.name();
  }

  Adapter adapter() {
    return adapter;
  }

  Parameters parameters() {
    return adapter.parameters();
  }

  ImmutableList<Adapter> stack() {
    return stack;
  }

  Optimizer optimizer() {
    return optimizer;
  }

  double sizeAtStart() {
    return sizeAtStart;
  }

  /** Returns the number of steps that it trains unless it stops early. */
  int steps() {
    return steps;
  }

  ImmutableList<String> tasks() {
    return stage.tasks(name());
  }

  // ---- training

  /** Returns whether it takes part in the next step. */
  boolean running() {
    return !stopped && trained < steps;
  }

  /** Returns the number of completed steps. */
  int trained() {
    return trained;
  }

  void countStep() {
    trained++;
  }

  /**
   * Returns the examples of a step.
   *
   * @param step from 0
   * @param tasks of the run; items have indices into these
   */
  List<Pass.Item> items(int step, int examplesPerStep, TrainingData data, List<String> tasks) {
    List<Pass.Item> items = new ArrayList<>();
    int from = step * examplesPerStep;
    int to = Math.min(from + examplesPerStep, order.size());
    for (int i = from; i < to; i++) {
      String task = order.task(i);
      EncodedExample example = data.train(task).get(order.example(i));
      items.add(new Pass.Item(tasks.indexOf(task), index, example));
    }
    return items;
  }

  /** Returns the separate gradients of each task, if a hook needs them. */
  Optional<TaskGradients> byTask() {
    return byTask;
  }

  /**
   * Notifies hooks that the stage has ended; under the engine's lock.
   *
   * @param continuing the hooks to notify: those that later stages use for this adapter
   */
  void end(List<GradientHook> continuing, GradientHook.ExampleGradients examples) {
    for (GradientHooks.Active a : hooks) {
      if (continuing.contains(a.hook())) {
        a.state().stageEnds(stage, parameters(), examples);
      }
    }
  }

  /** Notifies the hooks that the stage starts; under the engine's lock. */
  void begin() {
    hooks.forEach(a -> a.state().stageBegins(stage, parameters()));
  }

  /**
   * Applies the hooks to the gradients of a step.
   *
   * @param step from 0
   * @param lossByTask losses of the step, including other lanes' tasks
   */
  void applyHooks(int step, Map<String, Double> lossByTask) {
    byTask.ifPresent(TaskGradients::sum);
    if (hooks.isEmpty()) {
      return;
    }
    ImmutableList<Parameters> below =
        stack.subList(0, stack.size() - 1).stream()
            .map(Adapter::parameters)
            .collect(ImmutableList.toImmutableList());
    ImmutableMap<String, Double> losses =
        ImmutableMap.copyOf(Maps.filterKeys(lossByTask, tasks()::contains));
    for (GradientHooks.Active a : hooks) {
      a.state()
          .apply(
              new GradientHook.Gradients(
                  stage,
                  step + 1,
                  parameters(),
                  below,
                  a.hook().byTask() ? byTask.orElseThrow().ofStep() : ImmutableMap.of(),
                  losses));
    }
  }

  // ---- validation and early stopping

  /** Returns whether it has trained since its last validation. */
  boolean unmeasured() {
    return measuredAt != trained;
  }

  /**
   * Records the losses of a validation, keeps the weights if it is the best one, and stops after
   * too many without improvement.
   *
   * @param measured by task; empty if it has no validation examples
   * @param patience validations without improvement after which it stops; 0 for never
   */
  void recordValidation(Map<String, Double> measured, RunAdapters adapters, int patience) {
    losses = measured;
    measuredAt = trained;
    if (losses.isEmpty()) {
      return;
    }
    if (mean(losses) < mean(bestLosses)) {
      bestLosses = losses;
      badValidations = 0;
      bestWeights = Optional.of(adapters.weights(adapter));
    } else {
      badValidations++;
      stopped = patience > 0 && badValidations >= patience;
    }
  }

  /** Returns the mean over tasks, so that a large task does not dominate. */
  private static double mean(Map<String, Double> losses) {
    return losses.values().stream()
        .mapToDouble(Double::doubleValue)
        .average()
        .orElse(Double.POSITIVE_INFINITY);
  }

  /** Returns the last validation losses, by task. */
  Map<String, Double> losses() {
    return losses;
  }

  /** Returns the losses of the best validation, by task. */
  Map<String, Double> bestLosses() {
    return bestLosses;
  }

  /** Returns the weights of the best validation, if there was one. */
  Optional<float[]> bestWeights() {
    return bestWeights;
  }

  // ---- checkpoints

  /** Returns the state of early stopping for a checkpoint. */
  Checkpoint.LaneState state() {
    return new Checkpoint.LaneState(stopped, badValidations, measuredAt, losses, bestLosses);
  }

  /** Returns the tensors for a checkpoint, besides the weights; under the engine's lock. */
  Map<String, float[]> tensors() {
    Map<String, float[]> tensors = new LinkedHashMap<>();
    optimizer.save().forEach((kind, values) -> tensors.put(kind + "." + name(), values));
    bestWeights.ifPresent(values -> tensors.put("best." + name(), values));
    return tensors;
  }

  /** Restores its state from a checkpoint within the stage. */
  void restore(Checkpoint from, RunAdapters adapters, Path output) throws IOException {
    Checkpoint.LaneState state = from.lane(name(), output);
    int size = parameters().size();
    adapters.fill(adapter, from.tensor("w", name(), size, output));
    Map<String, float[]> kept = new LinkedHashMap<>();
    for (Map.Entry<String, Integer> kind : optimizer.sizes().entrySet()) {
      kept.put(kind.getKey(), from.tensor(kind.getKey(), name(), kind.getValue(), output));
    }
    adapters.runLocked(() -> kept.forEach(optimizer::restore));
    stopped = state.stopped();
    trained = stopped ? state.measuredAt() : Math.min(from.step(), steps);
    measuredAt = state.measuredAt();
    badValidations = state.badValidations();
    losses = state.losses();
    bestLosses = state.bestLosses();
    bestWeights =
        bestLosses.isEmpty()
            ? Optional.empty()
            : Optional.of(from.tensor("best", name(), size, output));
  }

  /** Frees everything except the adapter. */
  @Override
  public void close() {
    optimizer.close();
    byTask.ifPresent(TaskGradients::close);
  }
}
