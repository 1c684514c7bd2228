package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.hash.Hasher;
import com.google.common.hash.Hashing;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.DatedDirectory;
import org.tune4j.core.io.DirectoryLock;
import org.tune4j.core.io.FileNames;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.LoraConfig;
import org.tune4j.lora.PeftFormat;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.PlanContext;
import org.tune4j.strategies.TrainingStrategy;

/**
 * Trains with several strategies on the same data and budget, and compares them on the validation
 * splits.
 *
 * <pre>{@code
 * Experiment experiment =
 *     Experiment.of(model)
 *         .tasks(a, b, c)
 *         .lora(LoraConfig.rank(8))
 *         .strategies(MultiTask.proportional(), Sequential.inOrder(a, b, c), Independent.perTask())
 *         .output(Path.of("comparison"));
 * ExperimentResult result = experiment.run();
 * System.out.println(result);
 * Map<String, Evaluation> test = experiment.test(result.best()); // after the choice
 * }</pre>
 *
 * <p><b>Budget.</b> All strategies train on the same number of tokens, by default those of {@link
 * Hyperparameters#epochs()} passes over the training examples of all tasks. If a plan takes more or
 * fewer (replay, mixtures), its epochs are scaled until it is within 0.5 %, estimated by the mean
 * length of each task's examples. A strategy whose plan does not depend on the epochs is run as it
 * is, which its {@link Cost} shows. Early stopping may use less.
 *
 * <p><b>Test split.</b> It is not used. {@link #test} scores it for one outcome, after the choice.
 *
 * <p><b>Resuming.</b> With the same output directory and {@link #resume}, an experiment reuses the
 * results of finished strategies and continues an interrupted one from its last checkpoint.
 * Otherwise a directory with an experiment is refused, unless {@link #overwrite} is set; a
 * directory in use by another run is always refused. The adapters of each strategy are freed after
 * it.
 *
 * <p>Files under the output directory: {@code untuned.json}; for each strategy a directory of its
 * name with the adapters and {@code outcome.json}. Not thread-safe.
 *
 * <p>The file is long because half of it is options and their documentation.
 */
public final class Experiment {
  private static final Logger LOG = LoggerFactory.getLogger(Experiment.class);
  private static final String UNTUNED = "untuned.json";

  private final LanguageModel model;
  private ImmutableList<Task> tasks = ImmutableList.of();
  private AdapterFactory adapters = LoraConfig.defaults();
  private Hyperparameters hyperparameters = Hyperparameters.defaults();
  private ImmutableList<TrainingStrategy> strategies = ImmutableList.of();
  private Evaluator evaluator;
  private long tokenBudget;
  private final List<TrainingListener> listeners = new ArrayList<>();
  private Path output;
  private boolean resume;
  private boolean overwrite;
  private BooleanSupplier cancelled = () -> false;
  private double servingShare = 0.5;

  private Experiment(LanguageModel model) {
    this.model = model;
  }

  /** Returns an experiment with a model, whose weights are not modified. */
  public static Experiment of(LanguageModel model) {
    return new Experiment(model);
  }

  /** Sets the tasks. */
  public Experiment tasks(Task... value) {
    return tasks(List.of(value));
  }

  /** Sets the tasks. */
  public Experiment tasks(List<Task> value) {
    tasks = ImmutableList.copyOf(value);
    return this;
  }

  /** Sets the configuration of adapters; the default is {@link LoraConfig#defaults()}. */
  public Experiment lora(LoraConfig value) {
    adapters = value;
    return this;
  }

  /** Sets another kind of adapter, which must be saved in PEFT's format. */
  public Experiment adapters(AdapterFactory value) {
    adapters = value;
    return this;
  }

  /**
   * Sets the hyperparameters; their epochs determine the budget unless {@link #tokenBudget} is set.
   */
  public Experiment hyperparameters(Hyperparameters value) {
    hyperparameters = value;
    return this;
  }

  /** Sets the strategies to compare. */
  public Experiment strategies(TrainingStrategy... value) {
    return strategies(List.of(value));
  }

  /** Sets the strategies to compare. */
  public Experiment strategies(List<? extends TrainingStrategy> value) {
    strategies = ImmutableList.copyOf(value);
    return this;
  }

  /**
   * Sets the evaluator; the default is {@link Evaluator#of} with the hyperparameters' lengths and
   * turns.
   */
  public Experiment evaluator(Evaluator value) {
    evaluator = value;
    return this;
  }

  /** Sets the number of tokens that each strategy trains on. */
  public Experiment tokenBudget(long value) {
    checkArgument(value > 0, "the token budget is %s; it must be positive", value);
    tokenBudget = value;
    return this;
  }

  /** Adds a listener to the training of every strategy. */
  public Experiment listener(TrainingListener value) {
    listeners.add(value);
    return this;
  }

  /** Sets the output directory; the default is {@code tune4j-runs/<time>-experiment}. */
  public Experiment output(Path value) {
    output = value;
    return this;
  }

  /**
   * Continues the experiment in the output directory, if there is one; a completed one returns its
   * result again.
   */
  public Experiment resume() {
    resume = true;
    return this;
  }

  /** Removes an existing experiment from the output directory. */
  public Experiment overwrite() {
    overwrite = true;
    return this;
  }

  /**
   * Sets a supplier that is polled before each step and each pass of an evaluation; true cancels
   * the experiment, as does interrupting the thread. A stage whose evaluation is cancelled is
   * trained again from its last checkpoint, so consider setting {@link
   * Hyperparameters#checkpointEvery}.
   */
  public Experiment cancelled(BooleanSupplier value) {
    cancelled = value;
    return this;
  }

  /**
   * Sets the share of time for other users of the model during training; see {@link
   * FineTuner#servingShare}. The default is 0.5.
   *
   * @param value in [0, 1)
   */
  public Experiment servingShare(double value) {
    checkArgument(
        value >= 0 && value < 1, "the share of others is %s; it must be in [0, 1)", value);
    servingShare = value;
    return this;
  }

  /** The file of a finished strategy. */
  record KeptOutcome(String settings, Outcome outcome) {}

  /** The file of the untuned model. */
  record KeptUntuned(String settings, ImmutableMap<String, Evaluation> evaluations) {}

  /**
   * Runs the experiment.
   *
   * @return the result; if cancelled, of the strategies that finished
   * @throws IllegalArgumentException if an option or task is invalid; the message names it
   * @throws java.nio.file.FileAlreadyExistsException if the output directory has an experiment and
   *     neither {@link #resume} nor {@link #overwrite} is set
   * @throws java.nio.file.FileSystemException if another run is using the output directory
   * @throws IOException if a file cannot be read or written, or the output directory has another
   *     experiment
   * @throws org.tune4j.core.train.TrainingException if training diverges
   */
  public ExperimentResult run() throws IOException {
    checkArgument(
        !(resume && overwrite),
        "an experiment is either continued (resume) or replaced (overwrite)");
    Task.requireDistinctNames(tasks);
    checkArgument(!strategies.isEmpty(), "no strategies were given");
    for (Task t : tasks) {
      checkArgument(
          !t.validation().isEmpty(),
          "task '%s' has no validation examples to compare strategies on",
          t.name());
    }
    return output == null ? DatedDirectory.use("experiment", this::runIn) : runIn(output);
  }

  /**
   * Checks that {@link #run} may use the output directory, for programs that do other work before.
   * {@code run} checks it, too.
   *
   * @throws java.nio.file.FileAlreadyExistsException as in {@link #run}
   * @throws java.nio.file.FileSystemException as in {@link #run}
   */
  public void requireFree() throws IOException {
    if (output != null) {
      try (DirectoryLock lock = DirectoryLock.take(output)) {
        existing(lock.directory());
      }
    }
  }

  private ExperimentResult runIn(Path root) throws IOException {
    try (DirectoryLock lock = DirectoryLock.take(root)) {
      List<Path> existing = existing(lock.directory());
      return run(root, overwrite ? existing : List.of());
    }
  }

  private ExperimentResult run(Path root, List<Path> replaced) throws IOException {
    for (Path p : replaced) {
      AtomicFiles.deleteRecursively(p);
    }
    Evaluator e = evaluator();
    ImmutableMap<String, Evaluation> untuned = null;
    ImmutableList.Builder<Outcome> outcomes = ImmutableList.builder();
    boolean completed = true;
    try {
      TokenBudget budget =
          TokenBudget.of(
              model,
              tasks,
              hyperparameters,
              tokenBudget,
              p -> listeners.forEach(l -> l.onProgress(p)),
              cancelled);
      untuned = untuned(root, e);
      for (Map.Entry<String, TrainingStrategy> s : byUniqueName().entrySet()) {
        Optional<Outcome> outcome = outcome(root, s.getKey(), s.getValue(), e, untuned, budget);
        if (outcome.isEmpty()) {
          completed = false;
          break;
        }
        outcomes.add(outcome.get());
      }
    } catch (CancellationException stopped) {
      completed = false;
    } catch (UncheckedIOException failed) {
      throw failed.getCause();
    }
    return new ExperimentResult(
        untuned == null ? ImmutableMap.of() : untuned,
        outcomes.build(),
        completed,
        hyperparameters.seed());
  }

  /**
   * Scores the test splits with a strategy's saved adapters; use it once, for the chosen strategy.
   *
   * @return evaluations by task
   * @throws IllegalArgumentException if a task has no test examples
   * @throws IOException if an adapter cannot be read
   * @throws CancellationException if it is cancelled
   */
  public ImmutableMap<String, Evaluation> test(Outcome outcome) throws IOException {
    Map<Path, Adapter> loaded = new LinkedHashMap<>();
    LanguageModel base = model;
    try {
      for (Path p : outcome.merged()) {
        LanguageModel below = base;
        base = below.withMerged(List.of(load(below, p, loaded)));
        closeIfDerived(below);
      }
      Map<String, List<Adapter>> serving = new LinkedHashMap<>();
      for (Task t : tasks) {
        List<Adapter> stack = new ArrayList<>();
        for (Path p : outcome.adaptersFor(t.name())) {
          stack.add(load(base, p, loaded));
        }
        serving.put(t.name(), stack);
      }
      return evaluator().evaluateAll(tasks, Split.TEST, serving::get);
    } finally {
      loaded.values().forEach(Adapter::close);
      closeIfDerived(base);
    }
  }

  private void closeIfDerived(LanguageModel base) {
    if (base != model) {
      base.close();
    }
  }

  private static Adapter load(LanguageModel base, Path directory, Map<Path, Adapter> loaded)
      throws IOException {
    Adapter a = loaded.get(directory);
    if (a == null) {
      a = PeftFormat.load(base, directory.getFileName().toString(), directory);
      a.setTrainable(false);
      loaded.put(directory, a);
    }
    return a;
  }

  private Evaluator evaluator() {
    Evaluator e =
        evaluator == null
            ? Evaluator.of(model)
                .maxLength(hyperparameters.maxLength())
                .learnedTurns(hyperparameters.learnedTurns())
            : evaluator.copy();
    BooleanSupplier evaluatorCancelled = e.cancelled();
    return e.cancelled(() -> evaluatorCancelled.getAsBoolean() || cancelled.getAsBoolean());
  }

  /** Returns the strategies by unique names: those with the same name are numbered. */
  private Map<String, TrainingStrategy> byUniqueName() {
    Map<String, TrainingStrategy> byUniqueName = new LinkedHashMap<>();
    for (TrainingStrategy s : strategies) {
      String name = s.name();
      for (int n = 2; byUniqueName.containsKey(name); n++) {
        name = s.name() + "-" + n;
      }
      byUniqueName.put(name, s);
    }
    return byUniqueName;
  }

  private String settings(Evaluator e) {
    Hasher hash = Hashing.sha256().newHasher();
    StringBuilder text = new StringBuilder();
    text.append(model.config().family().modelType().toUpperCase(Locale.ROOT))
        .append(' ')
        .append(model.config().parameters());
    text.append(' ').append(model.engine().precision()).append('\n');
    text.append("evaluation: ").append(e).append('\n');
    for (Task t : tasks) {
      for (Split split : List.of(Split.TRAIN, Split.VALIDATION)) {
        for (Example x : t.split(split)) {
          hash.putString(x.prompt() + '\0' + x.completion() + '\0', StandardCharsets.UTF_8);
          hash.putString(x.messages().toString() + '\0', StandardCharsets.UTF_8);
          hash.putString(
              x.learned() + "\0" + x.completionStart() + '\0' + x.options() + '\0',
              StandardCharsets.UTF_8);
        }
      }
      text.append("task ").append(t).append('\n');
    }
    return text.append("data: ").append(hash.hash()).append('\n').toString();
  }

  private static void requireSame(Path file, String before, String now) throws IOException {
    if (!before.equals(now)) {
      throw new IOException(
          "%s belongs to another experiment; choose another output directory or remove it; it was%n%s%nthis is%n%s"
              .formatted(file, before, now));
    }
  }

  private ImmutableMap<String, Evaluation> untuned(Path root, Evaluator e) throws IOException {
    Path file = root.resolve(UNTUNED);
    String settings = settings(e);
    if (Files.exists(file)) {
      KeptUntuned kept = Json.read(file, KeptUntuned.class);
      requireSame(file, kept.settings(), settings);
      return kept.evaluations();
    }
    ImmutableMap<String, Evaluation> evaluations =
        e.evaluateAll(tasks, Split.VALIDATION, t -> ImmutableList.of());
    Json.write(file, new KeptUntuned(settings, evaluations));
    return evaluations;
  }

  /**
   * Returns the existing files of an experiment; throws if there are any and they may be neither
   * continued nor replaced.
   */
  private List<Path> existing(Path root) throws IOException {
    List<Path> existing = new ArrayList<>();
    existing.add(root.resolve(UNTUNED));
    byUniqueName().keySet().forEach(name -> existing.add(root.resolve(FileNames.of(name))));
    existing.removeIf(p -> !Files.exists(p));
    if (!existing.isEmpty() && !resume && !overwrite) {
      throw new FileAlreadyExistsException(
          root.toString(),
          null,
          "the directory already has an experiment ('%s'): resume() or --resume continues it, overwrite() or --overwrite replaces it"
              .formatted(existing.get(0).getFileName()));
    }
    return existing;
  }

  /** Returns a strategy's outcome, from its file or by training; empty if cancelled. */
  private Optional<Outcome> outcome(
      Path root,
      String name,
      TrainingStrategy strategy,
      Evaluator e,
      ImmutableMap<String, Evaluation> untuned,
      TokenBudget budget)
      throws IOException {
    Path directory = root.resolve(FileNames.of(name));
    Path file = directory.resolve("outcome.json");
    Hyperparameters fitted = budget.fit(strategy);
    TrainingPlan plan = strategy.plan(PlanContext.of(tasks, fitted));
    String settings = settings(e) + adapters + '\n' + fitted + '\n' + plan.describe();
    if (Files.exists(file)) {
      KeptOutcome kept = Json.read(file, KeptOutcome.class);
      requireSame(file, kept.settings(), settings);
      LOG.info("{}: reusing {}", name, file);
      return Optional.of(kept.outcome().in(directory));
    }
    StageMatrixListener stages =
        StageMatrixListener.of(e, tasks).untuned(untuned).keepIn(directory.resolve("evaluations"));
    FineTuner tuner =
        FineTuner.of(model)
            .tasks(tasks)
            .adapters(adapters)
            .strategy(strategy)
            .hyperparameters(fitted)
            .output(directory)
            .resume()
            .cancelled(cancelled)
            .servingShare(servingShare)
            .listener(stages);
    listeners.forEach(tuner::listener);
    try (FineTuningResult result = tuner.run()) {
      if (!result.completed()) {
        return Optional.empty();
      }
      stages.loadUpTo(plan.stages().size());
      Outcome outcome = outcome(name, plan, stages, result).in(directory);
      Json.write(file, new KeptOutcome(settings, outcome.in(Path.of(""))));
      return Optional.of(outcome);
    }
  }

  private Outcome outcome(
      String name, TrainingPlan plan, StageMatrixListener stages, FineTuningResult result) {
    ImmutableMap<String, Evaluation> last =
        stages.evaluations().get(stages.evaluations().size() - 1);
    Bootstrap bootstrap = Bootstrap.seeded(hyperparameters.seed());
    ImmutableMap.Builder<String, ConfidenceInterval> intervals = ImmutableMap.builder();
    last.forEach((task, e) -> intervals.put(task, bootstrap.interval(e.scores())));
    return new Outcome(
        name,
        plan,
        tasks.stream()
            .map(Task::name)
            .collect(
                ImmutableMap.toImmutableMap(
                    t -> t,
                    t ->
                        result.adaptersFor(t).stream()
                            .map(Adapter::name)
                            .collect(ImmutableList.toImmutableList()))),
        stages.matrix(),
        last,
        intervals.buildOrThrow(),
        bootstrap.interval(last.values().stream().map(Evaluation::scores).toList()),
        Cost.of(result),
        result.training().log(),
        result.output());
  }
}
