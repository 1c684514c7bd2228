package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.EncodedExamples;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;

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

  private final Engine engine;
  private final Map<String, Adapter> adapters = new LinkedHashMap<>();
  private final List<StepRecord> records = new ArrayList<>();
  private final List<StageResult> ended = new ArrayList<>();
  private TrainingData data = new TrainingData(Map.of(), Map.of(), Map.of(), 0);
  private final Turns turns;
  private AdaptableModel base; // the one given, or the run's own with adapters merged
  private final Set<String> merged = new LinkedHashSet<>();
  private RunFingerprint fingerprint;
  private long peakBytes;
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
    base = model;
    engine = model.engine();
    turns = new Turns(engine, b.servingShare, this::requireOpen);
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

  /** An adapter in training. */
  private static final class Lane {
    final Adapter adapter;
    final ImmutableList<Adapter> stack;
    final DataOrder order;
    final Optimizer optimizer;
    final double sizeAtStart; // root mean square of the adapter's parameters
    int steps;
    int trained;
    boolean stopped;
    int measuredAt = -1;
    int badValidations;
    Map<String, Double> losses = Map.of();
    Map<String, Double> bestLosses = Map.of();
    float[] bestWeights;

    Lane(
        Adapter adapter,
        ImmutableList<Adapter> stack,
        DataOrder order,
        Optimizer optimizer,
        double sizeAtStart) {
      this.adapter = adapter;
      this.stack = stack;
      this.order = order;
      this.optimizer = optimizer;
      this.sizeAtStart = sizeAtStart;
    }

    boolean running() {
      return !stopped && trained < steps;
    }

    /** Returns the mean over tasks, so that a large one does not decide alone. */
    static double mean(Map<String, Double> losses) {
      return losses.values().stream()
          .mapToDouble(Double::doubleValue)
          .average()
          .orElse(Double.POSITIVE_INFINITY);
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
      return result(false);
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
    listeners.forEach(l -> l.onStart(plan, data.reports()));
    boolean completed = false;
    try {
      completed = stages(from.orElse(null));
    } catch (RuntimeException | IOException | Error e) {
      adapters.values().forEach(Adapter::close);
      closeIfMade(base);
      throw e;
    } finally {
      listeners.forEach(TrainingListener::onEnd);
    }
    adapters.values().forEach(a -> a.setTrainable(false));
    return result(completed);
  }

  private TrainingResult result(boolean completed) {
    return new TrainingResult(
        plan,
        completed,
        ImmutableList.copyOf(ended),
        ImmutableList.copyOf(records),
        ImmutableMap.copyOf(adapters),
        ImmutableMap.copyOf(data.reports()),
        records.stream().mapToDouble(StepRecord::seconds).sum(),
        peakBytes,
        base == model ? Optional.empty() : Optional.of(base));
  }

  private void closeIfMade(AdaptableModel of) {
    if (of != model) {
      of.close();
    }
  }

  /** Stages that merge. */
  private int merges() {
    return (int) plan.stages().stream().filter(s -> !s.mergedBefore().isEmpty()).count();
  }

  /** Encodes the examples; returns false if that was cancelled. */
  private boolean encoded() {
    boolean done = false;
    try {
      encode();
      done = true;
    } catch (CancellationException e) {
      return false;
    } finally {
      if (!done) {
        listeners.forEach(TrainingListener::onEnd);
      }
    }
    return true;
  }

  private void encode() {
    data = TrainingData.encode(model, tasks, plan, h, listeners, cancelled);
    int trained = plan.adapters().size();
    model
        .trainingMemory(
            Math.max(data.longest(), rowsOfAPass()),
            data.longest(),
            Math.max(1, trained * factory.parameters(model)),
            mode(),
            merges())
        .ifPresent(estimate -> estimate.require("training"));
  }

  private Tape.Mode mode() {
    return h.activationCheckpointing() ? Tape.Mode.CHECKPOINTING : Tape.Mode.RECORDING;
  }

  private int rowsOfAPass() {
    int lanes = plan.stages().stream().mapToInt(s -> s.adapters().size()).max().orElse(1);
    return (int) Math.min(h.tokensPerPass(), lanes * h.examplesPerStep() * data.meanTokens() * 1.5);
  }

  private boolean stages(Checkpoint from) throws IOException {
    int first = from == null ? 0 : from.stage();
    if (from != null) {
      records.addAll(from.steps());
      peakBytes = from.peakBytes();
      for (int i = 0; i < first; i++) {
        restoreEnded(from, i);
      }
    }
    for (int i = first; i < plan.stages().size(); i++) {
      if (!stage(i, i == first ? from : null)) {
        return false;
      }
    }
    if (first < plan.stages().size()) {
      for (Adapter a : adapters.values()) {
        a.save(adapterDirectory(output, a.name()));
      }
      checkpoint(plan.stages().size(), 0, List.of());
    }
    return true;
  }

  /** Makes anew what an earlier run of this plan had after stage {@code index}. */
  private void restoreEnded(Checkpoint from, int index) throws IOException {
    Stage stage = plan.stages().get(index);
    merge(stage, index, true);
    for (String name : stage.adapters()) {
      if (!adapters.containsKey(name)) {
        Adapter a = begin(stage, name);
        // a plan changes no adapter after merging it, so its last values are those that were merged
        fill(a, from.tensor("w", name, a.parameters().size(), output));
      }
    }
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
            serving(stage)));
  }

  /** Makes an adapter that a stage trains first. */
  private Adapter begin(Stage stage, String name) {
    String source = stage.startFrom().get(name);
    Adapter made =
        source == null
            ? factory.create(base, name, h.seed())
            : factory.copy(adapters.get(source), base, name, h.seed());
    adapters.put(name, made);
    return made;
  }

  /** Makes and saves the base of a stage that merges adapters, and takes the others over to it. */
  private void merge(Stage stage, int index, boolean again) throws IOException {
    if (stage.mergedBefore().isEmpty()) {
      return;
    }
    Path directory = RunDirectory.base(output, index, stage);
    AdaptableModel below = base;
    base = below.withMerged(stage.mergedBefore().stream().map(adapters::get).toList(), directory);
    if (!again || !Files.exists(directory)) {
      base.save(directory, ElementType.F32);
    }
    merged.addAll(stage.mergedBefore());
    for (Map.Entry<String, Adapter> e : adapters.entrySet()) {
      if (!merged.contains(e.getKey())) {
        Adapter old = e.getValue();
        e.setValue(factory.copy(old, base, old.name(), h.seed()));
        old.close();
      }
    }
    closeIfMade(below);
  }

  /** Works with adapters' values under the engine's lock, unless they or the model were closed. */
  private <T> T locked(Supplier<T> work) {
    engine.lock().lock();
    try {
      requireOpen();
      return work.get();
    } finally {
      engine.lock().unlock();
    }
  }

  /** Checks that nobody has closed what the run works with. */
  private void requireOpen() {
    model.requireOpen();
    for (Adapter a : adapters.values()) {
      checkState(!a.parameters().closed(), "adapter '%s' is closed", a.name());
    }
  }

  private void fill(Adapter adapter, float[] weights) {
    locked(
        () -> {
          engine.write(adapter.parameters().flat(), weights);
          adapter.parameters().changed();
          return null;
        });
  }

  private float[] weightsOf(Adapter adapter) {
    return locked(() -> engine.read(adapter.parameters().flat()));
  }

  private boolean stage(int index, Checkpoint from) throws IOException {
    Stage stage = plan.stages().get(index);
    merge(stage, index, from != null);
    adapters.values().forEach(a -> a.setTrainable(false));
    List<Lane> lanes = lanes(stage, index);
    try {
      int steps = lanes.stream().mapToInt(l -> l.steps).max().orElse(0);
      int done = 0;
      if (from != null) {
        done = from.step();
        for (Lane l : lanes) {
          restore(l, from);
        }
      }
      int total = steps;
      listeners.forEach(l -> l.onStageStart(stage, index, total));
      for (int step = done; step < steps; step++) {
        if (cancelled.getAsBoolean() || Thread.currentThread().isInterrupted()) {
          checkpoint(index, step, lanes);
          return false;
        }
        List<Lane> running = lanes.stream().filter(Lane::running).toList();
        if (running.isEmpty()) {
          break;
        }
        StepRecord record = step(stage, index, step, steps, lanes, running);
        records.add(record);
        running.forEach(l -> l.trained++);
        listeners.forEach(l -> l.onStep(record));
        if (h.validateEvery() > 0 && ((step + 1) % h.validateEvery() == 0 || step + 1 == steps)) {
          validate(stage, lanes, step + 1);
        }
        if (h.checkpointEvery() > 0 && (step + 1) % h.checkpointEvery() == 0 && step + 1 < steps) {
          checkpoint(index, step + 1, lanes);
        }
      }
      Map<String, Double> losses = new LinkedHashMap<>();
      for (Lane l : lanes) {
        if (l.bestWeights != null) {
          fill(l.adapter, l.bestWeights);
          losses.putAll(l.bestLosses);
        } else {
          losses.putAll(validationLosses(stage, l));
        }
      }
      end(stage, index, lanes, losses);
    } finally {
      lanes.forEach(l -> l.optimizer.close());
    }
    if (index + 1 < plan.stages().size()) {
      checkpoint(index + 1, 0, List.of());
    }
    return true;
  }

  private List<Lane> lanes(Stage stage, int index) {
    List<Lane> lanes = new ArrayList<>();
    for (String name : stage.adapters()) {
      Adapter adapter = adapters.containsKey(name) ? adapters.get(name) : begin(stage, name);
      adapter.setTrainable(true);
      ImmutableList.Builder<Adapter> stack = ImmutableList.builder();
      stage.below().forEach(b -> stack.add(adapters.get(b)));
      stack.add(adapter);
      Lane lane =
          new Lane(
              adapter,
              stack.build(),
              DataOrder.of(stage.draws(name), t -> data.train(t).size(), h.seed(), index),
              h.optimizer().create(adapter.parameters(), h),
              size(adapter));
      lane.steps = (int) stage.steps(name, h);
      lanes.add(lane);
    }
    return lanes;
  }

  private int taskIndex(String name) {
    for (int i = 0; i < tasks.size(); i++) {
      if (tasks.get(i).name().equals(name)) {
        return i;
      }
    }
    throw new IllegalArgumentException("no task is named '" + name + "'");
  }

  private StepRecord step(
      Stage stage, int stageIndex, int step, int steps, List<Lane> lanes, List<Lane> running) {
    long start = System.nanoTime();
    List<Pass.Item> items = new ArrayList<>();
    long[] lossTokens = new long[lanes.size()];
    for (Lane lane : running) {
      int index = lanes.indexOf(lane);
      int from = step * h.examplesPerStep();
      int to = Math.min(from + h.examplesPerStep(), lane.order.size());
      for (int i = from; i < to; i++) {
        String task = lane.order.task(i);
        EncodedExample example = data.train(task).get(lane.order.example(i));
        items.add(new Pass.Item(taskIndex(task), index, example));
        lossTokens[index] += example.lossTokens();
      }
    }
    ImmutableList<ImmutableList<Adapter>> stacks =
        lanes.stream().map(l -> l.stack).collect(ImmutableList.toImmutableList());
    float[] weights = new float[lanes.size()];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = 1f / lossTokens[i];
    }
    double[] sums = new double[tasks.size()];
    long[] counts = new long[tasks.size()];
    long tokens = 0;
    Map<String, Double> norms = new LinkedHashMap<>();
    double rate = 0;
    turns.begin();
    try {
      requireOpen();
      running.forEach(l -> l.adapter.parameters().zeroGradients());
      int number = 0;
      for (Pass pass : Pass.divide(items, stacks, h.tokensPerPass())) {
        tokens += pass.tokens();
        long seed = ((h.seed() * 31 + stageIndex) * 1_000_003 + step) * 1_000_003 + number++;
        PassLosses losses = base.addGradients(pass, weights, mode(), seed, turns::pause);
        peakBytes = Math.max(peakBytes, engine.memory().step());
        engine.resetArena();
        count(losses, pass, sums, counts, stage, lanes, step);
      }
      for (Lane lane : running) {
        turns.pause();
        Parameters p = lane.adapter.parameters();
        double norm = Math.sqrt(engine.sumOfSquares(p.flatGradients()));
        if (!Double.isFinite(norm)) {
          throw diverged(
              stage,
              step + 1,
              "gradient norm of adapter '%s'".formatted(lane.adapter.name()),
              norm,
              taskOf(stage, lane),
              lane);
        }
        norms.put(lane.adapter.name(), norm);
        double laneRate = h.learningRate() * h.schedule().factor(step, lane.steps);
        rate = Math.max(rate, laneRate);
        lane.optimizer.apply(laneRate, Math.min(1, h.maxGradientNorm() / (norm + 1e-6)), step + 1);
      }
      peakBytes = Math.max(peakBytes, engine.memory().step());
    } finally {
      finish();
    }
    ImmutableMap.Builder<String, Double> byTask = ImmutableMap.builder();
    for (int t = 0; t < tasks.size(); t++) {
      if (counts[t] > 0) {
        byTask.put(tasks.get(t).name(), sums[t] / counts[t]);
      }
    }
    long learned = 0;
    for (long n : counts) {
      learned += n;
    }
    return new StepRecord(
        stage.name(),
        stageIndex,
        step + 1,
        steps,
        byTask.buildOrThrow(),
        rate,
        ImmutableMap.copyOf(norms),
        items.size(),
        tokens,
        learned,
        (System.nanoTime() - start) / 1e9);
  }

  private void count(
      PassLosses losses,
      Pass pass,
      double[] sums,
      long[] counts,
      Stage stage,
      List<Lane> lanes,
      int step) {
    for (int i = 0; i < losses.losses().length; i++) {
      Pass.Item item = pass.items().get(losses.items()[i]);
      if (!Float.isFinite(losses.losses()[i])) {
        String name = tasks.get(item.task()).name();
        throw diverged(
            stage,
            step + 1,
            "loss of task '%s'".formatted(name),
            losses.losses()[i],
            name,
            lanes.get(item.lane()));
      }
      sums[item.task()] += losses.losses()[i];
      counts[item.task()]++;
    }
  }

  private static String taskOf(Stage stage, Lane lane) {
    return stage.tasks(lane.adapter.name()).get(0);
  }

  /** Returns the root mean square of an adapter's parameters. */
  private double size(Adapter adapter) {
    Parameters p = adapter.parameters();
    return locked(() -> Math.sqrt(engine.sumOfSquares(p.flat()) / Math.max(1, p.size())));
  }

  /** Describes a value that is no finite number and what led to it. */
  private TrainingException diverged(
      Stage stage, int step, String what, double value, String task, Lane lane) {
    int index = plan.stages().indexOf(stage);
    Divergence divergence =
        new Divergence(
            records.stream().filter(r -> r.stageIndex() == index).toList(),
            lane.sizeAtStart,
            size(lane.adapter),
            engine.precision());
    return new TrainingException(
        "stage '%s', step %s: the %s is %s. %s"
            .formatted(
                stage.name(), step, what, value, divergence.explain(task, lane.adapter.name())));
  }

  private void validate(Stage stage, List<Lane> lanes, int step) {
    Map<String, Double> all = new LinkedHashMap<>();
    for (Lane lane : lanes) {
      if (lane.measuredAt != lane.trained) { // else it ended before the last validation
        lane.losses = validationLosses(stage, lane);
        lane.measuredAt = lane.trained;
        if (lane.losses.isEmpty()) {
          continue;
        }
        if (Lane.mean(lane.losses) < Lane.mean(lane.bestLosses)) {
          lane.bestLosses = lane.losses;
          lane.badValidations = 0;
          lane.bestWeights = weightsOf(lane.adapter);
        } else {
          lane.badValidations++;
          lane.stopped = h.patience() > 0 && lane.badValidations >= h.patience();
        }
      }
      all.putAll(lane.losses);
    }
    listeners.forEach(l -> l.onValidation(stage, step, Collections.unmodifiableMap(all)));
  }

  private Map<String, Double> validationLosses(Stage stage, Lane lane) {
    Map<String, Double> losses = new LinkedHashMap<>();
    stage
        .routes()
        .forEach(
            (task, name) -> {
              EncodedExamples held = data.validation(task);
              if (name.equals(lane.adapter.name()) && held.size() > 0) {
                double loss =
                    PassLosses.mean(
                        Pass.divide(held, lane.stack, h.tokensPerPass()), this::lossesOf);
                if (!Double.isFinite(loss)) {
                  throw diverged(
                      stage,
                      lane.trained,
                      "validation loss of task '%s'".formatted(task),
                      loss,
                      task,
                      lane);
                }
                losses.put(task, loss);
              }
            });
    return losses;
  }

  private PassLosses lossesOf(Pass pass) {
    turns.begin();
    try {
      requireOpen();
      return base.losses(pass, turns::pause);
    } finally {
      finish();
    }
  }

  private void finish() {
    if (engine.lock().getHoldCount() == 1) {
      engine.resetArena();
    }
    engine.lock().unlock();
  }

  private void end(Stage stage, int index, List<Lane> lanes, Map<String, Double> losses)
      throws IOException {
    ImmutableMap<String, Path> saved = saved(stage, index);
    for (Lane lane : lanes) {
      lane.adapter.setTrainable(false);
      lane.adapter.save(saved.get(lane.adapter.name()));
    }
    List<StepRecord> mine = records.stream().filter(r -> r.stageIndex() == index).toList();
    StageResult result =
        new StageResult(
            stage,
            index,
            mine.size(),
            mine.stream().mapToLong(StepRecord::examples).sum(),
            mine.stream().mapToLong(StepRecord::tokens).sum(),
            mine.stream().mapToDouble(StepRecord::seconds).sum(),
            ImmutableMap.copyOf(losses),
            saved,
            serving(stage));
    ended.add(result);
    listeners.forEach(l -> l.onStageEnd(result));
  }

  private ImmutableMap<String, Path> saved(Stage stage, int index) {
    Path directory = RunDirectory.stage(output, index, stage);
    ImmutableMap.Builder<String, Path> saved = ImmutableMap.builder();
    stage.adapters().forEach(a -> saved.put(a, RunDirectory.named(directory, a)));
    return saved.buildOrThrow();
  }

  private ImmutableMap<String, ImmutableList<Adapter>> serving(Stage stage) {
    ImmutableMap.Builder<String, ImmutableList<Adapter>> serving = ImmutableMap.builder();
    stage
        .serving()
        .forEach(
            (task, names) ->
                serving.put(
                    task,
                    names.stream().map(adapters::get).collect(ImmutableList.toImmutableList())));
    return serving.buildOrThrow();
  }

  /** Takes back what {@link #checkpoint} kept; nothing if the stage had not begun. */
  private void restore(Lane lane, Checkpoint from) throws IOException {
    if (!from.begun()) {
      return;
    }
    String name = lane.adapter.name();
    Checkpoint.LaneState state = from.lane(name, output);
    int size = lane.adapter.parameters().size();
    fill(lane.adapter, from.tensor("w", name, size, output));
    Map<String, float[]> kept = new LinkedHashMap<>();
    for (Map.Entry<String, Integer> kind : lane.optimizer.sizes().entrySet()) {
      kept.put(kind.getKey(), from.tensor(kind.getKey(), name, kind.getValue(), output));
    }
    locked(
        () -> {
          kept.forEach(lane.optimizer::restore);
          return null;
        });
    lane.stopped = state.stopped();
    lane.trained = lane.stopped ? state.measuredAt() : Math.min(from.step(), lane.steps);
    lane.measuredAt = state.measuredAt();
    lane.badValidations = state.badValidations();
    lane.losses = state.losses();
    lane.bestLosses = state.bestLosses();
    lane.bestWeights = lane.bestLosses.isEmpty() ? null : from.tensor("best", name, size, output);
  }

  private void checkpoint(int stage, int step, List<Lane> lanes) throws IOException {
    Map<String, float[]> tensors = new LinkedHashMap<>();
    Map<String, Checkpoint.LaneState> states = new LinkedHashMap<>();
    locked(
        () -> {
          adapters.forEach(
              (name, a) -> tensors.put("w." + name, engine.read(a.parameters().flat())));
          for (Lane lane : lanes) {
            lane.optimizer
                .save()
                .forEach((kind, values) -> tensors.put(kind + "." + lane.adapter.name(), values));
          }
          return null;
        });
    for (Lane lane : lanes) {
      String name = lane.adapter.name();
      if (lane.bestWeights != null) {
        tensors.put("best." + name, lane.bestWeights);
      }
      states.put(
          name,
          new Checkpoint.LaneState(
              lane.stopped, lane.badValidations, lane.measuredAt, lane.losses, lane.bestLosses));
    }
    List<Checkpoint.Ended> done =
        ended.stream()
            .map(
                e ->
                    new Checkpoint.Ended(
                        e.steps(), e.examples(), e.tokens(), e.seconds(), e.validationLoss()))
            .toList();
    new Checkpoint(fingerprint.text(), stage, step, peakBytes, states, records, done, tensors)
        .write(output);
  }
}
