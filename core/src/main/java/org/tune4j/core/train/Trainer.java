package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.Maps;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterFactory;

/**
 * Executes a {@link TrainingPlan}; the only place where adapters are trained.
 *
 * <p>In a stage, every adapter in training is a <em>lane</em> with its own examples, loss,
 * clipping, learning rate, optimizer and early stopping. A step runs one step of each lane in one
 * pass through the base model, so that lanes come out as each would alone (up to the rounding of
 * sums, and to dropout masks). The loss of a lane is the mean over its learned tokens of the step,
 * over all passes; its validation loss is the mean of its tasks' losses. Where validation is on, an
 * adapter ends a stage with the weights of its best validation.
 *
 * <p>Where a stage merges adapters, it trains on a {@linkplain AdaptableModel#withMerged model of
 * the run's own}: the one given, and whoever uses it meanwhile, is left alone. The projections that
 * the merged adapters change are then held a second time, and for a moment between two such stages
 * a third time.
 *
 * <p>Files under the output directory: {@code stages/<n>-<stage>/<adapter>/} after each stage,
 * {@code adapters/<adapter>/} at the end, both in PEFT's format and named by {@link
 * org.tune4j.core.io.FileNames}, {@code bases/<n>-<stage>/} before each stage that merges, a model
 * in F32, which its adapters name as their base, and {@code checkpoint/}, from which {@link
 * Builder#resume} continues with the same bits. The last checkpoint stays: resuming a run that is
 * complete gives its result again. The directory is {@linkplain org.tune4j.core.io.DirectoryLock
 * held} while the run goes on.
 */
public final class Trainer {
  private final AdaptableModel model;
  private final ImmutableList<Task> tasks;
  private final TrainingPlan plan;
  private final AdapterFactory factory;
  private final Hyperparameters h;
  private final ImmutableList<TrainingListener> listeners;
  private final Path output;
  private final RunDirectory.Existing existing;
  private final BooleanSupplier cancelled;

  private final RunAdapters adapters;
  private final Turns turns;
  private final List<StageResult> ended = new ArrayList<>();
  private TrainingData data = new TrainingData(Map.of(), Map.of(), Map.of(), 0);
  private RunFingerprint fingerprint;
  private StepLog log;
  private GradientHooks hooks;
  private StepRunner steps;
  private Validation validation;
  private boolean started;

  private Trainer(Builder b) {
    model = b.model;
    tasks = b.tasks;
    plan = b.plan;
    factory = b.factory;
    h = b.hyperparameters;
    listeners = ImmutableList.copyOf(b.listeners);
    output = b.output;
    existing =
        b.resume
            ? RunDirectory.Existing.RESUME
            : b.overwrite ? RunDirectory.Existing.OVERWRITE : RunDirectory.Existing.REFUSE;
    cancelled = b.cancelled;
    adapters = new RunAdapters(model, factory, h.seed());
    turns = new Turns(model.engine(), b.servingShare, adapters::requireOpen);
  }

  /** Returns where a run with this output directory saves an adapter at its end. */
  public static Path adapterDirectory(Path output, String adapter) {
    return RunDirectory.adapter(output, adapter);
  }

  /** Returns a builder. */
  public static Builder builder(
      AdaptableModel model, List<Task> tasks, TrainingPlan plan, AdapterFactory factory) {
    return new Builder(model, tasks, plan, factory);
  }

  /** Builds a {@link Trainer}. */
  public static final class Builder {
    private final AdaptableModel model;
    private final ImmutableList<Task> tasks;
    private final TrainingPlan plan;
    private final AdapterFactory factory;
    private Hyperparameters hyperparameters = Hyperparameters.defaults();
    private final List<TrainingListener> listeners = new ArrayList<>();
    private Path output;
    private boolean resume;
    private boolean overwrite;
    private BooleanSupplier cancelled = () -> false;
    private double servingShare = 0.5;

    private Builder(
        AdaptableModel model, List<Task> tasks, TrainingPlan plan, AdapterFactory factory) {
      this.model = model;
      this.tasks = ImmutableList.copyOf(tasks);
      this.plan = plan;
      this.factory = factory;
    }

    /** Sets the hyperparameters. */
    public Builder hyperparameters(Hyperparameters value) {
      hyperparameters = value;
      return this;
    }

    /** Adds a listener. */
    public Builder listener(TrainingListener value) {
      listeners.add(value);
      return this;
    }

    /** Sets the output directory. */
    public Builder output(Path value) {
      output = value;
      return this;
    }

    /**
     * Sets whether a run in the output directory is continued from its checkpoint; without one,
     * training starts anew.
     */
    public Builder resume(boolean value) {
      resume = value;
      return this;
    }

    /**
     * Sets whether a run in the output directory is removed; unless it is continued, a directory
     * that holds one is otherwise refused.
     */
    public Builder overwrite(boolean value) {
      overwrite = value;
      return this;
    }

    /**
     * Sets what is asked before each step, and while examples are encoded, whether to stop;
     * interrupting the thread stops, too.
     */
    public Builder cancelled(BooleanSupplier value) {
      cancelled = value;
      return this;
    }

    /**
     * Sets how much of the time others may have who use the model while it trains: generation and
     * scores then run between the operations of a step, in the share that this is of the whole
     * while they ask for it. With 0 they wait for the end of the step that is running; the default
     * is 0.5. Results are the same bits in any case. It takes an arena for the steps of others
     * beside that of the training.
     *
     * @param value in [0, 1)
     */
    public Builder servingShare(double value) {
      servingShare = Turns.check(value);
      return this;
    }

    /**
     * Returns the trainer.
     *
     * @throws IllegalArgumentException if names clash, the plan names an unknown task or leaves one
     *     unserved, there is no output directory, or a run is to be both continued and replaced
     */
    public Trainer build() {
      checkArgument(output != null, "no output directory was given");
      checkArgument(
          !(resume && overwrite), "a run is either continued (resume) or replaced (overwrite)");
      Task.requireDistinctNames(tasks);
      Set<String> names = new LinkedHashSet<>();
      tasks.forEach(t -> names.add(t.name()));
      for (Stage s : plan.stages()) {
        for (String t : s.examples().keySet()) {
          checkArgument(
              names.contains(t),
              "strategy '%s', stage '%s' draws from task '%s'; the tasks are %s",
              plan.strategy(),
              s.name(),
              t,
              names);
        }
        checkArgument(
            s.serving().keySet().equals(names),
            "strategy '%s', stage '%s' says which adapters serve the tasks %s; the tasks are %s",
            plan.strategy(),
            s.name(),
            s.serving().keySet(),
            names);
      }
      return new Trainer(this);
    }
  }

  /**
   * Trains; a trainer does so once.
   *
   * @throws TrainingException if a loss or gradient is no finite number
   * @throws java.nio.file.FileAlreadyExistsException if the output directory holds a run that is to
   *     be neither continued nor replaced
   * @throws java.nio.file.FileSystemException if another run is using the output directory
   * @throws IOException if something cannot be written, or a checkpoint is damaged or belongs to
   *     another run
   * @throws IllegalArgumentException if an example cannot be encoded, or early stopping lacks
   *     validation examples
   * @throws IllegalStateException if the model is closed, also in the middle
   * @throws org.tune4j.core.model.NotEnoughMemoryException if it would not fit
   */
  public TrainingResult run() throws IOException {
    checkState(!started, "this trainer has run; build another");
    started = true;
    model.requireOpen();
    try (RunDirectory directory = RunDirectory.take(output, existing)) {
      return run(directory);
    }
  }

  private TrainingResult run(RunDirectory directory) throws IOException {
    if (!encoded()) {
      return cancelledBefore();
    }
    if (h.patience() > 0) {
      data.requireValidation(plan);
    }
    fingerprint = RunFingerprint.of(model, factory, h, data, plan);
    Optional<Checkpoint> from =
        existing == RunDirectory.Existing.RESUME ? Checkpoint.read(output) : Optional.empty();
    if (from.isPresent()) {
      fingerprint.requireSame(from.get().fingerprint(), RunDirectory.checkpoint(output));
    }
    if (existing == RunDirectory.Existing.OVERWRITE) {
      directory.clear();
    }
    try (StepLog opened =
            from.isPresent() ? StepLog.resume(output, from.get().steps()) : StepLog.begin(output);
        GradientHooks states = GradientHooks.of(plan, from, output)) {
      log = opened;
      hooks = states;
      steps =
          new StepRunner(
              adapters,
              data,
              tasks.stream().map(Task::name).toList(),
              h,
              turns,
              from.map(Checkpoint::peakBytes).orElse(0L));
      validation = new Validation(adapters, data, h, turns);
      listeners.forEach(l -> l.onStart(plan, data.reports()));
      boolean completed = false;
      try {
        completed = stages(from);
      } catch (RuntimeException | IOException | Error e) {
        adapters.close();
        throw e;
      } finally {
        listeners.forEach(TrainingListener::onEnd);
      }
      adapters.freeze();
      return result(completed);
    }
  }

  private TrainingResult cancelledBefore() {
    return new TrainingResult(
        plan,
        false,
        ImmutableList.of(),
        new StepRecords(RunDirectory.steps(output), 0),
        ImmutableMap.of(),
        ImmutableMap.of(),
        0,
        0,
        0,
        0,
        Optional.empty());
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
        adapters.own());
  }

  // ---- before the first step

  /** Encodes the examples; returns false if that was cancelled. */
  private boolean encoded() throws IOException {
    boolean done = false;
    try {
      data = TrainingData.encode(model, tasks, plan, h, listeners, cancelled);
      requireMemory();
      done = true;
    } catch (CancellationException e) {
      return false;
    } catch (UncheckedIOException e) {
      throw e.getCause();
    } finally {
      if (!done) {
        listeners.forEach(TrainingListener::onEnd);
      }
    }
    return true;
  }

  private void requireMemory() {
    int merges = (int) plan.stages().stream().filter(s -> !s.mergedBefore().isEmpty()).count();
    model
        .trainingMemory(
            Math.max(data.longest(), rowsOfAPass()),
            data.longest(),
            Math.max(1, plan.adapters().size() * factory.parameters(model)),
            StepRunner.mode(h),
            merges)
        .ifPresent(estimate -> estimate.require("training"));
  }

  private int rowsOfAPass() {
    int lanes = plan.stages().stream().mapToInt(s -> s.adapters().size()).max().orElse(1);
    return (int) Math.min(h.tokensPerPass(), lanes * h.examplesPerStep() * data.meanTokens() * 1.5);
  }

  // ---- stages

  /** Runs all stages, or those that are left; returns false if that was cancelled. */
  private boolean stages(Optional<Checkpoint> from) throws IOException {
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
        a.save(adapterDirectory(output, a.name()));
      }
      checkpoint(plan.stages().size(), 0, ImmutableList.of());
    }
    return true;
  }

  /** Makes anew what an earlier run of this plan had after stage {@code index}. */
  private void restoreEnded(Checkpoint from, int index) throws IOException {
    Stage stage = plan.stages().get(index);
    adapters.merge(stage, RunDirectory.base(output, index, stage), true);
    adapters.restore(stage, from, output);
    Checkpoint.Ended e = from.ended().get(index);
    ended.add(
        new StageResult(
            stage,
            index,
            e.steps(),
            e.examples(),
            e.tokens(),
            e.seconds(),
            ImmutableMap.copyOf(e.validationLoss()),
            saved(stage, index),
            adapters.serving(stage)));
  }

  /** Runs a stage, or the rest of it; returns false if that was cancelled. */
  private boolean stage(int index, Optional<Checkpoint> from) throws IOException {
    Stage stage = plan.stages().get(index);
    adapters.merge(stage, RunDirectory.base(output, index, stage), from.isPresent());
    adapters.freeze();
    try (StageRun run = new StageRun(stage, index, lanes(stage, index))) {
      if (from.isPresent() && from.get().begun()) {
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
              model.engine().precision()));
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

  /** Runs the steps of a stage from {@code done} on; returns false if that was cancelled. */
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
      if (h.checkpointEvery() > 0 && now % h.checkpointEvery() == 0 && now < all) {
        checkpoint(run.index(), now, run.lanes());
      }
    }
    return true;
  }

  /** Gives each adapter its best weights, and saves it. */
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
    ImmutableMap<String, Path> saved = saved(run.stage(), run.index());
    for (Lane lane : run.lanes()) {
      lane.adapter().setTrainable(false);
      lane.adapter().save(saved.get(lane.name()));
    }
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
            saved,
            adapters.serving(run.stage()));
    ended.add(result);
    listeners.forEach(l -> l.onStageEnd(result));
  }

  private ImmutableMap<String, Path> saved(Stage stage, int index) {
    Path directory = RunDirectory.stage(output, index, stage);
    return Maps.toMap(stage.adapters(), a -> RunDirectory.named(directory, a));
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
