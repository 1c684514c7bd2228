package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.AdapterFactory;

/**
 * Executes a {@link TrainingPlan}; all training goes through this class.
 *
 * <p>In a stage, every adapter in training is a <em>lane</em> with its own examples, loss, gradient
 * hooks, clipping, learning rate, optimizer and early stopping. A step runs one step of each lane
 * in a shared pass through the base model; the result of a lane is the same as alone (up to the
 * rounding of sums, and dropout masks). The loss of a lane is the mean over its learned tokens of
 * the step, over all passes; its validation loss is the mean of its tasks' losses. With validation
 * enabled, an adapter ends a stage with the weights of its best validation. Then {@linkplain
 * Stage#optional optional} adapters are kept or dropped, and adapters are {@linkplain
 * Stage#combined combined}; checkpoints record both, so that a resumed run decides the same.
 *
 * <p>A stage that merges adapters trains on the run's {@linkplain AdaptableModel#withMerged own
 * model}, so that the given model and its other users are not affected. The projections that the
 * merged adapters change are then held twice, and briefly three times between two such stages.
 *
 * <p>Files under the output directory: {@code stages/<n>-<stage>/<adapter>/} after each stage,
 * {@code adapters/<adapter>/} at the end, both in PEFT's format and named by {@link
 * org.tune4j.core.io.FileNames}, {@code bases/<n>-<stage>/} before each stage that merges (a model
 * in F32, which the stage's adapters name as their base), {@code steps.jsonl} with a line for each
 * step, and {@code checkpoint/}, from which {@link Builder#resume} continues with the same bits.
 * The last checkpoint stays: resuming a completed run returns its result again. The directory is
 * {@linkplain org.tune4j.core.io.DirectoryLock locked} during the run.
 */
public final class Trainer {
  final AdaptableModel model;
  final ImmutableList<Task> tasks;
  final TrainingPlan plan;
  final AdapterFactory factory;
  final Hyperparameters h;
  final ImmutableList<TrainingListener> listeners;
  final Path output;
  private final RunDirectory.Existing existing;
  final BooleanSupplier cancelled;
  final BooleanSupplier endStage;

  final double servingShare;
  TrainingData data = new TrainingData(Map.of(), Map.of(), Map.of(), 0);
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
    endStage = b.endStage;
    servingShare = b.servingShare;
  }

  /**
   * Returns the directory in which a run with this output directory saves an adapter at the end.
   */
  public static Path adapterDirectory(Path output, String adapter) {
    return RunDirectory.adapter(output, adapter);
  }

  /** Returns a builder of a trainer that executes a plan. */
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
    private BooleanSupplier endStage = () -> false;
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
     * Sets whether to continue a run in the output directory from its checkpoint; if there is none,
     * training starts over.
     */
    public Builder resume(boolean value) {
      resume = value;
      return this;
    }

    /**
     * Sets whether to remove an existing run in the output directory. Without this or {@link
     * #resume}, a directory with a run is refused.
     */
    public Builder overwrite(boolean value) {
      overwrite = value;
      return this;
    }

    /**
     * Sets a supplier that is polled before each step and during encoding; true cancels the run, as
     * does interrupting the thread.
     */
    public Builder cancelled(BooleanSupplier value) {
      cancelled = value;
      return this;
    }

    /**
     * Sets what is asked after each step, and each validation, whether the stage is to end as if
     * all of its adapters had stopped early: with their best weights, and with the next stage to
     * follow. A run that is resumed asks anew.
     */
    public Builder endStage(BooleanSupplier value) {
      endStage = value;
      return this;
    }

    /**
     * Sets the share of time for other users of the model during training: their generation and
     * scoring then run between the operations of a step, up to this share while they are waiting.
     * With 0 they wait for the end of the current step; the default is 0.5. Training results are
     * the same bits in any case. Steps of others need a second arena.
     *
     * @param value in [0, 1)
     */
    public Builder servingShare(double value) {
      servingShare = EngineSharing.check(value);
      return this;
    }

    /**
     * Builds the trainer.
     *
     * @throws IllegalArgumentException if names clash, the plan names an unknown task or leaves one
     *     unserved, there is no output directory, or both {@link #resume} and {@link #overwrite}
     *     are set
     */
    public Trainer build() {
      checkArgument(output != null, "no output directory was given");
      checkArgument(
          !(resume && overwrite), "a run is either continued (resume) or replaced (overwrite)");
      Task.requireDistinctNames(tasks);
      plan.requireTasks(tasks.stream().map(Task::name).toList());
      return new Trainer(this);
    }
  }

  /**
   * Trains; a trainer can run only once.
   *
   * @throws TrainingException if a loss or gradient is not finite
   * @throws java.nio.file.FileAlreadyExistsException if the output directory has a run and neither
   *     {@link Builder#resume} nor {@link Builder#overwrite} is set
   * @throws java.nio.file.FileSystemException if another run is using the output directory
   * @throws IOException if something cannot be written, or a checkpoint is damaged or belongs to
   *     another run
   * @throws IllegalArgumentException if an example cannot be encoded, or early stopping lacks
   *     validation examples
   * @throws IllegalStateException if the model is closed, before or during the run
   * @throws org.tune4j.core.model.NotEnoughMemoryException if memory would not suffice
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
    plan.stages().forEach(s -> s.combined().forEach(c -> c.how().require(factory)));
    if (!encode()) {
      return cancelledBefore();
    }
    if (h.patience() > 0) {
      data.requireValidation(plan);
    }
    data.requireGains(plan);
    RunFingerprint fingerprint = RunFingerprint.of(model, factory, h, data, plan);
    Optional<Checkpoint> from =
        existing == RunDirectory.Existing.RESUME ? Checkpoint.read(output) : Optional.empty();
    if (from.isPresent()) {
      fingerprint.requireSame(from.get().fingerprint(), RunDirectory.checkpoint(output));
    }
    if (existing == RunDirectory.Existing.OVERWRITE) {
      directory.clear();
    }
    try (StepLog log =
            from.isPresent() ? StepLog.resume(output, from.get().steps()) : StepLog.begin(output);
        GradientHooks hooks = GradientHooks.of(plan, from, output)) {
      return new PlanRun(this, fingerprint, log, hooks, from).execute();
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
        ImmutableList.of(),
        Optional.empty());
  }

  // ---- before the first step

  /** Encodes the examples and checks the memory; returns false if cancelled. */
  private boolean encode() throws IOException {
    boolean done = false;
    try {
      data =
          TrainingData.encode(
              model, tasks, plan, h, p -> listeners.forEach(l -> l.onProgress(p)), cancelled);
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
            Math.max(1, parameters()),
            StepRunner.mode(h),
            merges)
        .map(e -> e.withAdapterCopies(plan.gradientCopies() * factory.parameters(model)))
        .ifPresent(estimate -> estimate.require("training", model.engine().freeMemory()));
  }

  /** Returns the number of parameters of all adapters; of combined ones an upper bound. */
  private long parameters() {
    Map<String, Long> all = new HashMap<>();
    for (Stage s : plan.stages()) {
      for (String a : s.adapters()) {
        double size = s.sizes().getOrDefault(a, 1.0);
        all.computeIfAbsent(a, name -> factory.sized(size).parameters(model));
      }
      for (Stage.Combined c : s.combined()) {
        all.put(c.name(), c.weights().keySet().stream().mapToLong(all::get).sum());
      }
    }
    return all.values().stream().mapToLong(n -> n).sum();
  }

  private int rowsOfAPass() {
    int lanes = plan.stages().stream().mapToInt(s -> s.adapters().size()).max().orElse(1);
    return (int) Math.min(h.tokensPerPass(), lanes * h.examplesPerStep() * data.meanTokens() * 1.5);
  }
}
