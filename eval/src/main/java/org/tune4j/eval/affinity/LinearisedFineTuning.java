package org.tune4j.eval.affinity;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.Maps;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Shuffles;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.progress.ProgressListener;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StageResult;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.Trainer;
import org.tune4j.core.train.TrainingException;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.core.train.TrainingResult;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.PlanContext;

/**
 * Predicts the validation loss of every task after an adapter has learned any subset of them, from
 * gradients at one common adapter instead of a training for each subset.
 *
 * <pre>{@code
 * PredictedLosses predicted =
 *     LinearisedFineTuning.of(model).tasks(a, b, c).lora(LoraConfig.rank(8)).measure();
 * FineTuner.of(model)
 *     .tasks(a, b, c)
 *     .strategy(Grouped.byScore(predicted.tasks(), predicted, 3));
 * }</pre>
 *
 * <p><b>How.</b> Adapters of subsets end near one that has learned a little of all tasks, and near
 * it the outputs of a model are almost linear in the adapter's parameters (Li et al. 2024, GradEx,
 * arXiv 2409.19458, section 3; Li et al. 2025, EnsembleLoRA, arXiv 2505.21930, section 3; Li et al.
 * 2024, Grad-TAG, arXiv 2409.06091).
 *
 * <ol>
 *   <li>One adapter is trained on all tasks for a {@linkplain #warmUp share} of the training: at
 *       its initial values LoRA's B is 0, so that A has no gradient, and what gradients tell is the
 *       form of answers, which all tasks share. At this common adapter the margin of each of a
 *       sample of examples and its gradient are taken, and projected to {@value #DIMENSIONS}
 *       dimensions.
 *   <li>It is trained on for half as long, and validation losses are measured again: how far steps
 *       of this optimizer and learning rate really go. Without this, a regression goes on to where
 *       linear margins are lowest, far beyond where they are linear.
 *   <li>For a subset a logistic regression on the linearised margins of its tasks' examples, each
 *       weighted by how often it stands for one that is drawn, says where the parameters go, and
 *       the linearised margins of validation examples which losses follow. It is regularised so
 *       strongly that for all tasks it comes to the losses of step 2.
 * </ol>
 *
 * <p><b>Cost.</b> The training of step 1 and 2, by default 0.15 of one on all tasks together (of a
 * short one up to three quarters, see {@link #warmUp}), and a pass forward and backward for each
 * example of the samples: by default at most 64 for training and 48 for validation of each task.
 * Subsets take milliseconds each afterwards. In memory, inner products of all these examples: 8
 * bytes times the square of their number. Measured against trainings: docs/affinity.md.
 *
 * <p><b>When not.</b> Every subset is taken to begin at the common adapter, which knows the form of
 * all answers already: that a task alone needs its first steps for that, and has fewer of them than
 * several tasks together, is not in the prediction. Where training is that short, all subsets gain
 * more than predicted, and gains tell which tasks go together better, not whether any do. What a
 * task still learns from much more data of its own than the sample holds, learning curves tell.
 *
 * <p>A seed determines everything. Not thread-safe.
 */
public final class LinearisedFineTuning {
  /** Dimensions of projected gradients: an error of about 0.022 on a cosine. */
  static final int DIMENSIONS = 2048;

  /**
   * Steps that the common adapter gets at least, or half of those of the training: before, what is
   * learned is the form of answers.
   */
  static final int LEAST_STEPS = 64;

  private static final String ADAPTER = "common";

  /** What an example's forward and backward pass alone costs, in examples of a training. */
  private static final double PASS_COST = 2;

  private final LanguageModel model;
  private ImmutableList<Task> tasks = ImmutableList.of();
  private LoraConfig lora = LoraConfig.defaults();
  private Hyperparameters hyperparameters = Hyperparameters.defaults();
  private double warmUp = 0.1;
  private int trainExamples = 64;
  private int validationExamples = 48;
  private long seed;
  private ProgressListener listener = ProgressListener.none();
  private BooleanSupplier cancelled = () -> false;

  private LinearisedFineTuning(LanguageModel model) {
    this.model = model;
  }

  /** Returns a measurement with a model, whose weights stay as they are. */
  public static LinearisedFineTuning of(LanguageModel model) {
    return new LinearisedFineTuning(model);
  }

  /** Sets the tasks. */
  public LinearisedFineTuning tasks(Task... value) {
    return tasks(List.of(value));
  }

  /**
   * Sets the tasks. One without validation examples has a quarter of its training examples held
   * out, at most as many as are {@linkplain #validationExamples asked for}.
   */
  public LinearisedFineTuning tasks(List<Task> value) {
    tasks = ImmutableList.copyOf(value);
    return this;
  }

  /** Sets what adapters look like; the default is {@link LoraConfig#defaults()}. */
  public LinearisedFineTuning lora(LoraConfig value) {
    lora = value;
    return this;
  }

  /** Sets how training is meant to go. */
  public LinearisedFineTuning hyperparameters(Hyperparameters value) {
    hyperparameters = value;
    return this;
  }

  /**
   * Sets which part of training on all tasks together the common adapter gets; the default is 0.1.
   * It gets {@value #LEAST_STEPS} steps at least, or half of those of the training, and goes on for
   * half as many. Predictions are the better, the more it has learned.
   *
   * @param share in (0, 1]
   */
  public LinearisedFineTuning warmUp(double share) {
    checkArgument(
        share > 0 && share <= 1, "the warm-up is %s of the training; it must be in (0, 1]", share);
    warmUp = share;
    return this;
  }

  /** Sets the most training examples of each task that gradients are taken of. */
  public LinearisedFineTuning trainExamples(int value) {
    checkArgument(value > 0, "the training examples are %s; there must be at least 1", value);
    trainExamples = value;
    return this;
  }

  /** Sets the most validation examples of each task that losses are predicted of. */
  public LinearisedFineTuning validationExamples(int value) {
    checkArgument(value > 0, "the validation examples are %s; there must be at least 1", value);
    validationExamples = value;
    return this;
  }

  /** Sets the seed of the samples, the warm-up and the projection. */
  public LinearisedFineTuning seed(long value) {
    seed = value;
    return this;
  }

  /** Sets who is told how far it is, in hundredths of the whole. */
  public LinearisedFineTuning progress(ProgressListener value) {
    listener = value;
    return this;
  }

  /** Sets what is asked before each step and example whether to stop; interrupting stops, too. */
  public LinearisedFineTuning cancelled(BooleanSupplier value) {
    cancelled = value;
    return this;
  }

  /**
   * Measures.
   *
   * @throws IllegalArgumentException if names clash, a task has too few usable examples to learn
   *     from one and validate on another, an example cannot be encoded, or the adapter does not fit
   *     the model; the message names it
   * @throws org.tune4j.core.train.TrainingException if a loss or gradient is no finite number
   * @throws CancellationException if cancelled
   * @throws IOException if the directory for temporary files cannot be written
   */
  public PredictedLosses measure() throws IOException {
    Task.requireDistinctNames(tasks);
    model.requireOpen();
    List<Sample> samples = new ArrayList<>();
    for (Task t : tasks) {
      check();
      samples.add(sample(t));
    }
    List<Task> learned = samples.stream().map(Sample::task).toList();
    ImmutableMap<String, Integer> draws = PlanContext.of(learned, hyperparameters).examples();
    long all = draws.values().stream().mapToLong(Integer::longValue).sum();
    long common =
        Math.max(
            Math.round(warmUp * all),
            Math.min(all / 2, (long) LEAST_STEPS * hyperparameters.examplesPerStep()));
    ImmutableMap<String, Integer> first = part(common, draws);
    ImmutableMap<String, Integer> onward = part(common / 2, draws);
    TrainingPlan plan =
        TrainingPlan.of("affinity", stage("common", first), stage("onward", onward));
    Whole whole = new Whole(sum(first), sum(onward), passes(samples));
    Path directory = Files.createTempDirectory("tune4j-affinity");
    try (TrainingResult result =
        Trainer.builder(model, learned, plan, lora)
            .hyperparameters(
                hyperparameters.toBuilder()
                    .patience(0)
                    .validateEvery(0)
                    .checkpointEvery(0)
                    .seed(seed)
                    .build())
            .output(directory)
            .listener(whole)
            .cancelled(this::stopped)
            .build()
            .run()) {
      if (!result.completed()) {
        throw cancelledNow();
      }
      Adapter adapter = result.adapters().get(ADAPTER);
      List<Double> after = new ArrayList<>();
      for (Sample s : samples) {
        after.add(loss(s, adapter));
      }
      write(adapter, whole.common);
      adapter.setTrainable(true);
      Tangent tangent = new Tangent(model, adapter, DIMENSIONS, seed);
      List<Outputs> outputs = new ArrayList<>();
      for (Sample s : samples) {
        String task = s.task.name();
        outputs.add(
            new Outputs(
                task,
                draws.get(task),
                onward.get(task),
                after.get(outputs.size()),
                outputs(task, s.train, tangent, whole),
                outputs(task, s.validation, tangent, whole)));
      }
      PredictedLosses predicted = PredictedLosses.of(outputs);
      whole.end();
      return predicted;
    } finally {
      AtomicFiles.deleteRecursively(directory);
    }
  }

  /** Divides examples in the proportions of a whole training. */
  private static ImmutableMap<String, Integer> part(long examples, Map<String, Integer> draws) {
    return PlanContext.divide(
        Math.max(examples, draws.size()), Maps.transformValues(draws, Integer::doubleValue));
  }

  private static Stage stage(String name, Map<String, Integer> examples) {
    return Stage.named(name).train(examples, ADAPTER).serve(examples.keySet(), ADAPTER).build();
  }

  private static long sum(Map<String, Integer> examples) {
    return examples.values().stream().mapToLong(Integer::longValue).sum();
  }

  private double loss(Sample sample, Adapter adapter) {
    check();
    double loss =
        PassLosses.mean(
            Pass.divide(sample.validation, List.of(adapter), hyperparameters.tokensPerPass()),
            model::losses);
    if (!Double.isFinite(loss)) {
      throw new TrainingException(
          "the validation loss of task '%s' is %s".formatted(sample.task.name(), loss));
    }
    return loss;
  }

  private static void write(Adapter adapter, float[] values) {
    Parameters parameters = adapter.parameters();
    Engine engine = parameters.engine();
    engine.lock().lock();
    try {
      engine.write(parameters.flat(), values);
      parameters.changed();
    } finally {
      engine.lock().unlock();
    }
  }

  private static double passes(List<Sample> samples) {
    return samples.stream()
        .mapToDouble(s -> PASS_COST * (s.train.size() + s.validation.size()))
        .sum();
  }

  private ImmutableList<Tangent.Output> outputs(
      String task, List<EncodedExample> examples, Tangent tangent, Whole whole) {
    ImmutableList.Builder<Tangent.Output> outputs = ImmutableList.builder();
    for (EncodedExample e : examples) {
      check();
      outputs.add(tangent.of(task, e));
      whole.passed("gradients of " + task);
    }
    return outputs.build();
  }

  // ---- samples

  /**
   * A task and what is looked at of it.
   *
   * @param task without what is held out
   */
  private record Sample(Task task, List<EncodedExample> train, List<EncodedExample> validation) {}

  private Sample sample(Task task) {
    int[] learn = shuffled(task.train(), task.name());
    Task rest = task;
    List<Example> held;
    if (task.validation().isEmpty()) {
      int n = Math.min(validationExamples, Math.max(1, learn.length / 4));
      checkArgument(
          learn.length > n,
          "task '%s' has %s training examples and none to validate on: it takes at least 2",
          task.name(),
          learn.length);
      int[] kept = Arrays.copyOf(learn, learn.length - n);
      held = pick(task.train(), Arrays.copyOfRange(learn, kept.length, learn.length), n);
      int[] inOrder = kept.clone();
      Arrays.sort(inOrder);
      rest = task.select(inOrder, new int[0]);
      learn = kept;
    } else {
      held = pick(task.validation(), shuffled(task.validation(), task.name()), validationExamples);
    }
    Task part = task.withExamples(pick(task.train(), learn, trainExamples), held, List.of());
    return new Sample(rest, encoded(part, Task.Split.TRAIN), encoded(part, Task.Split.VALIDATION));
  }

  private int[] shuffled(List<?> examples, String name) {
    return Shuffles.numbers(examples.size(), new Random(seed * 31 + name.hashCode()));
  }

  private static List<Example> pick(List<Example> examples, int[] order, int most) {
    return Arrays.stream(order).limit(most).mapToObj(examples::get).toList();
  }

  private List<EncodedExample> encoded(Task part, Task.Split split) {
    TaskEncoder encoder =
        model.encoder(
            hyperparameters.maxLength(),
            hyperparameters.lengthPolicy(),
            hyperparameters.learnedTurns());
    List<EncodedExample> usable =
        encoder.encode(part, split, ProgressListener.none(), this::stopped).examples().stream()
            .filter(e -> e.lossTokens() > 0)
            .toList();
    checkArgument(
        !usable.isEmpty(),
        "task '%s': none of %s %s examples can be used: they have more than %s tokens, or nothing in them is learned",
        part.name(),
        part.split(split).size(),
        split.name().toLowerCase(Locale.ROOT),
        encoder.maxLength());
    return usable;
  }

  // ---- progress

  /** How far the whole is, in examples of a training; and the common adapter, on the way. */
  private final class Whole implements TrainingListener {
    private final double total;
    private double done;
    private float[] common;

    Whole(long first, long onward, double passes) {
      total = first + onward + passes;
    }

    @Override
    public void onStep(StepRecord step) {
      done += step.examples();
      tell("common adapter");
    }

    @Override
    public void onStageEnd(StageResult result) {
      if (result.index() == 0) {
        Parameters parameters = result.serving().get(tasks.get(0).name()).get(0).parameters();
        Engine engine = parameters.engine();
        engine.lock().lock();
        try {
          common = engine.read(parameters.flat());
        } finally {
          engine.lock().unlock();
        }
      }
    }

    void passed(String work) {
      done += PASS_COST;
      tell(work);
    }

    void end() {
      done = total;
      tell("done");
    }

    private void tell(String work) {
      long share = Math.min(100, (long) (100 * done / total));
      listener.onProgress(new Progress(work, share, 100, Progress.Unit.PERCENT));
    }
  }

  private boolean stopped() {
    return cancelled.getAsBoolean() || Thread.currentThread().isInterrupted();
  }

  private void check() {
    if (stopped()) {
      throw cancelledNow();
    }
  }

  private static CancellationException cancelledNow() {
    return new CancellationException("the measurement of affinities was cancelled");
  }
}
