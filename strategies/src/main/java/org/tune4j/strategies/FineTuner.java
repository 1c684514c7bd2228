package org.tune4j.strategies;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.DatedDirectory;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.GradientHook;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Trainer;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.LoraConfig;

/**
 * The front door: fine-tunes a model on tasks.
 *
 * <pre>{@code
 * try (LanguageModel model = LanguageModel.load(Path.of("my-model"));
 *     FineTuningResult result =
 *         FineTuner.of(model)
 *             .tasks(Task.fromDirectory(Path.of("sentiment")), Task.fromDirectory(Path.of("summaries")))
 *             .lora(LoraConfig.rank(8))
 *             .strategy(MultiTask.proportional())
 *             .listener(ConsoleProgress.toStandardError())
 *             .run()) {
 *   Generation g = model.generate("A prompt", GenerationConfig.greedy(32), result.adaptersFor("summaries"));
 * }
 * }</pre>
 *
 * <p>Adapters are saved under {@link #output}, by default {@code tune4j-runs/<time>-<strategy>} in
 * the working directory. Not thread-safe; {@link #run} may be called again.
 */
public final class FineTuner {
  private final LanguageModel model;
  private ImmutableList<Task> tasks = ImmutableList.of();
  private AdapterFactory adapters = LoraConfig.defaults();
  private TrainingStrategy strategy = MultiTask.proportional();
  private Hyperparameters hyperparameters = Hyperparameters.defaults();
  private final List<TrainingListener> listeners = new ArrayList<>();
  private Path output;
  private boolean resume;
  private boolean overwrite;
  private BooleanSupplier cancelled = () -> false;
  private double servingShare = 0.5;
  private final List<GradientHook> gradients = new ArrayList<>();

  private FineTuner(LanguageModel model) {
    this.model = model;
  }

  /** Returns a fine-tuner of a model, whose weights stay as they are. */
  public static FineTuner of(LanguageModel model) {
    return new FineTuner(model);
  }

  /** Sets the tasks. */
  public FineTuner tasks(Task... value) {
    return tasks(List.of(value));
  }

  /** Sets the tasks. */
  public FineTuner tasks(List<Task> value) {
    tasks = ImmutableList.copyOf(value);
    return this;
  }

  /** Sets what adapters look like; the default is {@link LoraConfig#defaults()}. */
  public FineTuner lora(LoraConfig value) {
    adapters = value;
    return this;
  }

  /** Sets another kind of adapter. */
  public FineTuner adapters(AdapterFactory value) {
    adapters = value;
    return this;
  }

  /** Sets the strategy; the default is {@link MultiTask#proportional()}. */
  public FineTuner strategy(TrainingStrategy value) {
    strategy = value;
    return this;
  }

  /**
   * Passes the gradients of every adapter through a hook before they are clipped, in every stage,
   * after the hooks of the strategy and those added before.
   */
  public FineTuner gradients(GradientHook value) {
    gradients.add(value);
    return this;
  }

  /** Sets the hyperparameters. */
  public FineTuner hyperparameters(Hyperparameters value) {
    hyperparameters = value;
    return this;
  }

  /** Adds a listener. */
  public FineTuner listener(TrainingListener value) {
    listeners.add(value);
    return this;
  }

  /**
   * Sets the output directory. It may hold other things; one that holds a run already is refused
   * unless that is to be {@linkplain #resume continued} or {@linkplain #overwrite replaced}.
   */
  public FineTuner output(Path value) {
    output = value;
    return this;
  }

  /**
   * Continues from the checkpoint in the output directory, if there is one: the outcome is the
   * same, bit for bit, as if it had never stopped. A run that is complete gives its result again
   * without training, so that a program can always be started with this.
   */
  public FineTuner resume() {
    resume = true;
    return this;
  }

  /** Removes the run that the output directory holds, if any, as soon as the new one can begin. */
  public FineTuner overwrite() {
    overwrite = true;
    return this;
  }

  /**
   * Sets what is asked before each step, and while examples are encoded, whether to stop, leaving a
   * checkpoint of what was trained; interrupting the thread stops, too.
   */
  public FineTuner cancelled(BooleanSupplier value) {
    cancelled = value;
    return this;
  }

  /**
   * Sets how much of the time others may have who generate or score with the model while it trains;
   * see {@link Trainer.Builder#servingShare}. The default is 0.5.
   *
   * @param value in [0, 1)
   */
  public FineTuner servingShare(double value) {
    checkArgument(
        value >= 0 && value < 1, "the share of others is %s; it must be in [0, 1)", value);
    servingShare = value;
    return this;
  }

  /**
   * Returns the plan that {@link #run} would execute.
   *
   * @throws IllegalArgumentException if the strategy does not fit the tasks
   */
  public TrainingPlan plan() {
    TrainingPlan plan = strategy.plan(PlanContext.of(tasks, hyperparameters));
    for (GradientHook hook : gradients) {
      plan = plan.withGradients(hook);
    }
    return plan;
  }

  /**
   * Trains.
   *
   * @throws IllegalArgumentException if something given does not fit; the message names it
   * @throws java.nio.file.FileAlreadyExistsException if the output directory holds a run that is to
   *     be neither continued nor replaced
   * @throws java.nio.file.FileSystemException if another run is using the output directory
   * @throws IOException if a file cannot be written, or a checkpoint is damaged or belongs to
   *     another run
   * @throws IllegalStateException if the model is closed, also in the middle
   * @throws org.tune4j.core.train.TrainingException if training diverges
   * @throws org.tune4j.core.model.NotEnoughMemoryException if it would not fit into memory
   */
  public FineTuningResult run() throws IOException {
    checkArgument(
        !resume || output != null, "resume() needs the output directory of the run to continue");
    return output == null ? DatedDirectory.use(strategy.name(), this::runIn) : runIn(output);
  }

  private FineTuningResult runIn(Path directory) throws IOException {
    Trainer.Builder trainer =
        Trainer.builder(model, tasks, plan(), adapters)
            .hyperparameters(hyperparameters)
            .output(directory)
            .resume(resume)
            .overwrite(overwrite)
            .servingShare(servingShare)
            .cancelled(cancelled);
    listeners.forEach(trainer::listener);
    return new FineTuningResult(model, trainer.build().run(), directory);
  }
}
