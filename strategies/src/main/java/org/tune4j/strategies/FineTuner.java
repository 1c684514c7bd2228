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
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.train.GradientHook;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Trainer;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.LoraConfig;

/**
 * Fine-tunes a model on tasks; the main entry point of the library.
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
  private final AdaptableModel model;
  private ImmutableList<Task> tasks = ImmutableList.of();
  private AdapterFactory adapters = LoraConfig.defaults();
  private TrainingStrategy strategy = MultiTask.proportional();
  private Hyperparameters hyperparameters = Hyperparameters.defaults();
  private final List<TrainingListener> listeners = new ArrayList<>();
  private Path output;
  private boolean resume;
  private boolean overwrite;
  private BooleanSupplier cancelled = () -> false;
  private BooleanSupplier endStage = () -> false;
  private double servingShare = 0.5;
  private final List<GradientHook> gradients = new ArrayList<>();

  private FineTuner(AdaptableModel model) {
    this.model = model;
  }

  /**
   * Returns a fine-tuner of a model, whose weights are not modified. One that is no language model
   * needs {@linkplain #adapters adapters of its kind}.
   */
  public static FineTuner of(AdaptableModel model) {
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

  /** Sets the configuration of adapters; the default is {@link LoraConfig#defaults()}. */
  public FineTuner lora(LoraConfig value) {
    adapters = value;
    return this;
  }

  /** Sets another kind of adapter, such as one for networks that are no language models. */
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
   * Adds a hook on the gradients of every adapter, before clipping, in every stage, after the
   * strategy's hooks and those added before.
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
   * Sets the output directory, which may have other content. A directory with an existing run is
   * refused unless {@link #resume} or {@link #overwrite} is set.
   */
  public FineTuner output(Path value) {
    output = value;
    return this;
  }

  /**
   * Continues from the checkpoint in the output directory, if there is one, with bit-identical
   * results to an uninterrupted run. A completed run returns its result again without training, so
   * that a program can always use this.
   */
  public FineTuner resume() {
    resume = true;
    return this;
  }

  /** Removes an existing run from the output directory as soon as the new one can start. */
  public FineTuner overwrite() {
    overwrite = true;
    return this;
  }

  /**
   * Sets a supplier that is polled before each step and during encoding; true cancels the run,
   * leaving a checkpoint, as does interrupting the thread.
   */
  public FineTuner cancelled(BooleanSupplier value) {
    cancelled = value;
    return this;
  }

  /**
   * Sets what is asked after each step, and each validation, whether the stage is to end; see
   * {@link Trainer.Builder#endStage}.
   */
  public FineTuner endStage(BooleanSupplier value) {
    endStage = value;
    return this;
  }

  /**
   * Sets the share of time for generation and scoring with the model during training; see {@link
   * Trainer.Builder#servingShare}. The default is 0.5.
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
   * @throws IllegalArgumentException if an option or task is invalid; the message names it
   * @throws java.nio.file.FileAlreadyExistsException if the output directory has a run and neither
   *     {@link #resume} nor {@link #overwrite} is set
   * @throws java.nio.file.FileSystemException if another run is using the output directory
   * @throws IOException if a file cannot be written, or a checkpoint is damaged or belongs to
   *     another run
   * @throws IllegalStateException if the model is closed, before or during the run
   * @throws org.tune4j.core.train.TrainingException if training diverges
   * @throws org.tune4j.core.model.NotEnoughMemoryException if memory would not suffice
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
            .cancelled(cancelled)
            .endStage(endStage);
    listeners.forEach(trainer::listener);
    return new FineTuningResult(model, trainer.build().run(), directory);
  }
}
