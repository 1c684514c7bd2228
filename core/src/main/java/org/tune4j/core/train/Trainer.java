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
 * Executes a {@link TrainingPlan}; the only place where adapters are trained.
 *
 * <p>In a stage, every adapter in training is a <em>lane</em> with its own examples, loss, gradient
 * hooks, clipping, learning rate, optimizer and early stopping. A step runs one step of each lane
 * in one pass through the base model, so that lanes come out as each would alone (up to the
 * rounding of sums, and to dropout masks). The loss of a lane is the mean over its learned tokens
 * of the step, over all passes; its validation loss is the mean of its tasks' losses. Where
 * validation is on, an adapter ends a stage with the weights of its best validation. Then it is
 * decided which {@linkplain Stage#optional optional} adapters are kept, and adapters are
 * {@linkplain Stage#combined combined}; a checkpoint has both, so that a resumed run decides the
 * same.
 *
 * <p>Where a stage merges adapters, it trains on a {@linkplain AdaptableModel#withMerged model of
 * the run's own}: the one given, and whoever uses it meanwhile, is left alone. The projections that
 * the merged adapters change are then held a second time, and for a moment between two such stages
 * a third time.
 *
 * <p>Files under the output directory: {@code stages/<n>-<stage>/<adapter>/} after each stage,
 * {@code adapters/<adapter>/} at the end, both in PEFT's format and named by {@link
 * org.tune4j.core.io.FileNames}, {@code bases/<n>-<stage>/} before each stage that merges, a model
 * in F32, which its adapters name as their base, {@code steps.jsonl} with a line for each step, and
 * {@code checkpoint/}, from which {@link Builder#resume} continues with the same bits. The last
 * checkpoint stays: resuming a run that is complete gives its result again. The directory is
 * {@linkplain org.tune4j.core.io.DirectoryLock held} while the run goes on.
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
    servingShare = b.servingShare;
  }

  /** Returns where a run with this output directory saves an adapter at its end. */
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
      plan.requireTasks(tasks.stream().map(Task::name).toList());
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
    plan.stages().forEach(s -> s.combined().forEach(c -> c.how().require(factory)));
    if (!encoded()) {
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
      return new PlanRun(this, fingerprint, log, hooks, from).toItsEnd();
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

  /** Encodes the examples; returns false if that was cancelled. */
  private boolean encoded() throws IOException {
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

  /** Returns the parameters of all adapters, those combined of others at their most. */
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
