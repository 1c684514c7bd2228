package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.Maps;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.Adapter;

/** Executes a plan: its stages one after another, from the beginning or from a checkpoint. */
final class PlanRun {
  private final TrainingPlan plan;
  private final Hyperparameters h;
  private final TrainingData data;
  private final List<TrainingListener> listeners;
  private final BooleanSupplier cancelled;
  private final BooleanSupplier endStage;
  private final Path output;
  private final RunFingerprint fingerprint;
  private final StepLog log;
  private final GradientHooks hooks;
  private final Optional<Checkpoint> from;
  private final RunAdapters adapters;
  private final StepRunner steps;
  private final Validation validation;
  private final List<StageResult> ended = new ArrayList<>();

  /**
   * Prepares the run.
   *
   * @param trainer has encoded its data
   * @param from the checkpoint to continue from
   */
  PlanRun(
      Trainer trainer,
      RunFingerprint fingerprint,
      StepLog log,
      GradientHooks hooks,
      Optional<Checkpoint> from) {
    plan = trainer.plan;
    h = trainer.h;
    data = trainer.data;
    listeners = trainer.listeners;
    cancelled = trainer.cancelled;
    endStage = trainer.endStage;
    output = trainer.output;
    this.fingerprint = fingerprint;
    this.log = log;
    this.hooks = hooks;
    this.from = from;
    adapters = new RunAdapters(trainer.model, trainer.factory, plan, h.seed());
    EngineSharing sharing =
        new EngineSharing(trainer.model.engine(), trainer.servingShare, adapters::requireOpen);
    steps =
        new StepRunner(
            adapters,
            data,
            trainer.tasks.stream().map(Task::name).toList(),
            h,
            sharing,
            from.map(Checkpoint::peakBytes).orElse(0L));
    validation = new Validation(adapters, data, h, sharing);
  }

  /** Trains until all stages are done or the run is cancelled. */
  TrainingResult execute() throws IOException {
    listeners.forEach(l -> l.onStart(plan, data.reports()));
    boolean completed = false;
    try {
      completed = stages();
    } catch (RuntimeException | IOException | Error e) {
      adapters.close();
      throw e;
    } finally {
      listeners.forEach(TrainingListener::onEnd);
    }
    adapters.freeze();
    return result(completed);
  }

  private TrainingResult result(boolean completed) {
    StepLog.Totals totals = log.totals();
    return new TrainingResult(
        plan,
        completed,
        ImmutableList.copyOf(ended),
        log.records(),
        ImmutableMap.copyOf(adapters.all()),
        ImmutableMap.copyOf(data.reports()),
        totals.examples(),
        totals.tokens(),
        totals.seconds(),
        steps.peakBytes(),
        adapters.locked(() -> hooks.figures(plan, adapters)),
        adapters.own());
  }

  /** Runs all remaining stages; returns false if cancelled. */
  private boolean stages() throws IOException {
    int first = from.map(Checkpoint::stage).orElse(0);
    for (int i = 0; i < first; i++) {
      restoreEnded(from.orElseThrow(), i);
    }
    for (int i = first; i < plan.stages().size(); i++) {
      if (!stage(i, i == first ? from : Optional.empty())) {
        return false;
      }
    }
    if (first < plan.stages().size()) {
      for (Adapter a : adapters.all().values()) {
        a.save(RunDirectory.adapter(output, a.name()));
      }
      checkpoint(plan.stages().size(), 0, ImmutableList.of());
    }
    return true;
  }

  /** Restores the state of an earlier run of this plan after stage {@code index}. */
  private void restoreEnded(Checkpoint from, int index) throws IOException {
    Stage stage = plan.stages().get(index);
    adapters.merge(stage, RunDirectory.base(output, index, stage), true);
    Checkpoint.Ended e = from.ended().get(index);
    adapters.restore(stage, e.gains(), from, output);
    ended.add(
        new StageResult(
            stage,
            index,
            e.steps(),
            e.examples(),
            e.tokens(),
            e.seconds(),
            ImmutableMap.copyOf(e.validationLoss()),
            ImmutableMap.copyOf(e.gains()),
            saved(stage, index),
            adapters.serving(stage)));
  }

  /** Runs a stage, or the rest of it; returns false if cancelled. */
  private boolean stage(int index, Optional<Checkpoint> from) throws IOException {
    Stage stage = plan.stages().get(index);
    adapters.merge(stage, RunDirectory.base(output, index, stage), from.isPresent());
    adapters.freeze();
    try (StageRun run = new StageRun(stage, index, lanes(stage, index))) {
      if (from.isPresent() && from.get().started()) {
        for (Lane l : run.lanes()) {
          l.restore(from.get(), adapters, output);
        }
      } else {
        adapters.runLocked(run::begin);
      }
      listeners.forEach(l -> l.onStageStart(stage, index, run.steps()));
      if (!steps(run, from.map(Checkpoint::step).orElse(0))) {
        return false;
      }
      end(run);
    } catch (NotFiniteException e) {
      throw e.explained(
          stage,
          new Divergence(
              log.records().ofStage(index),
              e.lane().sizeAtStart(),
              adapters.size(e.lane().adapter()),
              adapters.base().engine().precision()));
    }
    if (index + 1 < plan.stages().size()) {
      checkpoint(index + 1, 0, ImmutableList.of());
    }
    return true;
  }

  private ImmutableList<Lane> lanes(Stage stage, int index) {
    ImmutableList.Builder<Lane> lanes = ImmutableList.builder();
    int number = 0;
    for (String name : stage.adapters()) {
      Adapter adapter = adapters.train(stage, name);
      lanes.add(
          new Lane(
              number++,
              stage,
              adapter,
              ImmutableList.<Adapter>builder()
                  .addAll(adapters.stack(stage.below()))
                  .add(adapter)
                  .build(),
              DataOrder.of(stage.draws(name), t -> data.train(t).size(), h.seed(), index),
              adapters.locked(() -> hooks.of(stage, name, adapter.parameters())),
              h,
              adapters.size(adapter)));
    }
    return lanes.build();
  }

  /** Runs the steps of a stage from {@code done} on; returns false if cancelled. */
  private boolean steps(StageRun run, int done) throws IOException {
    int all = run.steps();
    for (int step = done; step < all; step++) {
      if (cancelled.getAsBoolean() || Thread.currentThread().isInterrupted()) {
        checkpoint(run.index(), step, run.lanes());
        return false;
      }
      List<Lane> running = run.running();
      if (running.isEmpty()) {
        return true;
      }
      StepRecord record = steps.run(run, step);
      log.add(record);
      running.forEach(Lane::countStep);
      listeners.forEach(l -> l.onStep(record));
      int now = step + 1;
      if (h.validateEvery() > 0 && (now % h.validateEvery() == 0 || now == all)) {
        Map<String, Double> losses = validation.of(run.lanes());
        listeners.forEach(l -> l.onValidation(run.stage(), now, losses));
      }
      if (endStage.getAsBoolean()) {
        return true;
      }
      if (h.checkpointEvery() > 0 && now % h.checkpointEvery() == 0 && now < all) {
        checkpoint(run.index(), now, run.lanes());
      }
    }
    return true;
  }

  /**
   * Ends a stage: gives each adapter its best weights, saves it, drops it if it does not gain, and
   * combines adapters.
   */
  private void end(StageRun run) throws IOException {
    Map<String, Double> losses = new LinkedHashMap<>();
    for (Lane l : run.lanes()) {
      if (l.bestWeights().isPresent()) {
        adapters.fill(l.adapter(), l.bestWeights().get());
        losses.putAll(l.bestLosses());
      } else {
        losses.putAll(validation.losses(l));
      }
    }
    for (Lane l : run.lanes()) {
      List<GradientHook> continuing =
          run.stage().gradients().stream()
              .filter(hook -> plan.hookContinues(run.index(), hook, l.name()))
              .toList();
      if (!continuing.isEmpty()) {
        steps.end(run, l, continuing);
      }
    }
    ImmutableMap<String, Path> saved = saved(run.stage(), run.index());
    for (Lane lane : run.lanes()) {
      lane.adapter().setTrainable(false);
      lane.adapter().save(saved.get(lane.name()));
    }
    ImmutableMap<String, Gain> gains = gains(run);
    gains.forEach(
        (name, gain) -> {
          if (!gain.kept()) {
            adapters.drop(name);
          }
        });
    for (Stage.Combined c : run.stage().combined()) {
      adapters.combine(c).save(saved.get(c.name()));
    }
    ImmutableMap<String, ImmutableList<Adapter>> serving = adapters.serving(run.stage());
    losses.putAll(lossesAsServed(run, serving));
    StepLog.Totals totals = log.totals(run.index());
    StageResult result =
        new StageResult(
            run.stage(),
            run.index(),
            totals.steps(),
            totals.examples(),
            totals.tokens(),
            totals.seconds(),
            ImmutableMap.copyOf(losses),
            gains,
            saved,
            serving);
    ended.add(result);
    listeners.forEach(l -> l.onStageEnd(result));
  }

  private ImmutableMap<String, Gain> gains(StageRun run) {
    return run.lanes().stream()
        .filter(lane -> run.stage().optional().contains(lane.name()))
        .collect(ImmutableMap.toImmutableMap(Lane::name, validation::gain));
  }

  /**
   * Returns the losses of tasks that are served by other adapters than they were trained with, if
   * they have validation examples.
   */
  private Map<String, Double> lossesAsServed(
      StageRun run, Map<String, ImmutableList<Adapter>> serving) {
    Stage stage = run.stage();
    Set<String> others = new HashSet<>();
    stage.combined().forEach(c -> others.add(c.name()));
    Map<String, Double> losses = new LinkedHashMap<>();
    for (String task : stage.examples().keySet()) {
      boolean combined = stage.serving().get(task).stream().anyMatch(others::contains);
      boolean dropped = stage.serving().get(task).size() > serving.get(task).size();
      if ((combined || dropped) && data.validation(task).size() > 0) {
        losses.put(task, validation.loss(task, serving.get(task)));
      }
    }
    return losses;
  }

  private ImmutableMap<String, Path> saved(Stage stage, int index) {
    Path directory = RunDirectory.stage(output, index, stage);
    return Maps.toMap(stage.newAdapters(), a -> RunDirectory.named(directory, a));
  }

  private void checkpoint(int stage, int step, List<Lane> lanes) throws IOException {
    Map<String, float[]> tensors = new LinkedHashMap<>();
    Map<String, Checkpoint.LaneState> states = new LinkedHashMap<>();
    List<Checkpoint.HookState> kept = new ArrayList<>();
    adapters.runLocked(
        () -> {
          adapters.all().forEach((name, a) -> tensors.put("w." + name, adapters.weights(a)));
          lanes.forEach(l -> tensors.putAll(l.tensors()));
          kept.addAll(hooks.save());
        });
    lanes.forEach(l -> states.put(l.name(), l.state()));
    new Checkpoint(
            fingerprint.text(),
            stage,
            step,
            steps.peakBytes(),
            states,
            log.sync(),
            ended.stream().map(Checkpoint.Ended::of).toList(),
            kept,
            tensors)
        .write(output);
  }
}
