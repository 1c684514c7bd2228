package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.progress.ProgressListener;

/**
 * Measures the performance of a model on a task, with or without adapters.
 *
 * <ul>
 *   <li>A classification is scored by the likelihoods of its labels as completions, including the
 *       end-of-text token as in training: the likeliest label is the prediction. The prompt is run
 *       once for all labels. {@link #classifyBy} chooses generation instead.
 *   <li>A generation task is scored by greedy generation: exact match, ROUGE-L and BLEU. For a
 *       conversation, the last turn of the assistant is generated.
 *   <li>Text is scored by perplexity.
 * </ul>
 *
 * <p>Examples are run in chunks of {@link #tokensPerPass}, so that memory does not grow with their
 * number. The test split is scored only if it is named. Settings must not be changed while another
 * thread evaluates.
 */
public final class Evaluator {
  /** How the label of a classification is predicted. */
  public enum Scoring {
    /** The label that is the likeliest completion of the prompt. */
    LIKELIHOOD,
    /** The text that the model generates greedily, which may not be a label. */
    GENERATION
  }

  private final AdaptableModel model;
  private int limit = Integer.MAX_VALUE;
  private int tokensPerPass = 2048;
  private int maxLength = 512;
  private LearnedTurns learnedTurns = LearnedTurns.ALL;
  private int maxNewTokens;
  private Scoring scoring = Scoring.LIKELIHOOD;
  private boolean lengthNormalization;
  private Metric generationMetric = Metrics.exactMatch();
  private ImmutableList<Metric> additionalMetrics = ImmutableList.of();
  private ProgressListener progress = ProgressListener.none();
  private BooleanSupplier cancelled = () -> false;

  private Evaluator(AdaptableModel model) {
    this.model = model;
  }

  /**
   * Returns an evaluator of a model that {@linkplain AdaptableModel#answers() answers} itself, or
   * of a language model with a tokenizer.
   */
  public static Evaluator of(AdaptableModel model) {
    return new Evaluator(model);
  }

  Evaluator copy() {
    Evaluator c = new Evaluator(model);
    c.limit = limit;
    c.tokensPerPass = tokensPerPass;
    c.maxLength = maxLength;
    c.learnedTurns = learnedTurns;
    c.maxNewTokens = maxNewTokens;
    c.scoring = scoring;
    c.lengthNormalization = lengthNormalization;
    c.generationMetric = generationMetric;
    c.additionalMetrics = additionalMetrics;
    c.progress = progress;
    c.cancelled = cancelled;
    return c;
  }

  /** Limits scoring to the first examples of a split; the default is all. */
  public Evaluator limit(int value) {
    checkArgument(value > 0, "the limit is %s; it must be at least 1", value);
    limit = value;
    return this;
  }

  /** Sets the most tokens run at once; an example with more goes alone. The default is 2,048. */
  public Evaluator tokensPerPass(int value) {
    checkArgument(value > 0, "tokens per pass is %s; it must be at least 1", value);
    tokensPerPass = value;
    return this;
  }

  /**
   * Sets the most tokens of an example, at most the model's context; longer prompts lose their
   * first tokens, and longer texts their last ones, as in training. The default is 512, as in
   * training.
   */
  public Evaluator maxLength(int value) {
    checkArgument(value >= 2, "maximum length is %s; it must be at least 2", value);
    maxLength = value;
    return this;
  }

  /**
   * Sets which turns of a conversation count for its perplexity if the data does not say; the
   * default is all of the assistant's, as in training.
   */
  public Evaluator learnedTurns(LearnedTurns value) {
    learnedTurns = value;
    return this;
  }

  /** Sets how classifications are scored; the default is by likelihood. */
  public Evaluator classifyBy(Scoring value) {
    scoring = value;
    return this;
  }

  /**
   * Sets whether a label's log-likelihood is divided by its number of tokens. Off by default:
   * training makes the right label likeliest as a whole, the end-of-text token included.
   */
  public Evaluator lengthNormalization(boolean value) {
    lengthNormalization = value;
    return this;
  }

  /**
   * Sets the most tokens generated for an example. The default is 1.5 times the length of the
   * task's longest training completion.
   */
  public Evaluator maxNewTokens(int value) {
    checkArgument(value > 0, "maxNewTokens is %s; it must be at least 1", value);
    maxNewTokens = value;
    return this;
  }

  /**
   * Sets the primary metric of generation tasks instead of exact match, which long answers rarely
   * achieve. Its value on a single example is the example's score.
   *
   * @param value with values in [0, 1], higher is better, such as {@link Metrics#rougeL()}
   */
  public Evaluator generationMetric(Metric value) {
    checkArgument(
        value.higherIsBetter(),
        "metric '%s' cannot be primary: lower values are better",
        value.name());
    generationMetric = value;
    return this;
  }

  /** Adds a metric to report for classifications and generation tasks. */
  public Evaluator metric(Metric value) {
    additionalMetrics =
        ImmutableList.<Metric>builder().addAll(additionalMetrics).add(value).build();
    return this;
  }

  /** Sets a listener that is notified after each chunk. */
  public Evaluator progress(ProgressListener value) {
    progress = value;
    return this;
  }

  /**
   * Sets a supplier that is polled before each chunk; true cancels the evaluation with a {@link
   * CancellationException}, as does interrupting the thread.
   */
  public Evaluator cancelled(BooleanSupplier value) {
    cancelled = value;
    return this;
  }

  /** Like {@link #evaluate(Task, Split, List)} on the validation split. */
  public Evaluation evaluate(Task task, List<? extends Adapter> adapters) {
    return evaluate(task, Split.VALIDATION, adapters);
  }

  /**
   * Scores a split of a task.
   *
   * @param adapters applied in order; none for the base model
   * @throws IllegalArgumentException if the split is empty, or an example cannot be scored; the
   *     message says which
   * @throws CancellationException if it is cancelled
   */
  public Evaluation evaluate(Task task, Split split, List<? extends Adapter> adapters) {
    long start = System.nanoTime();
    List<Example> examples = examples(task, split);
    Map<String, Double> metrics = new LinkedHashMap<>();
    List<Prediction> predictions;
    String primary;
    if (task.type() == Task.Type.TEXT) {
      List<Likelihood> likelihoods = Likelihood.of(run(task, adapters), split, examples.size());
      primary = Metrics.PERPLEXITY;
      metrics.put(primary, Likelihood.perplexity(likelihoods));
      predictions =
          likelihoods.stream()
              .map(
                  l ->
                      new Prediction(
                          "", examples.get(l.example()).allText(), "", l.tokenProbability()))
              .toList();
      metrics.put(
          Metrics.TOKEN_PROBABILITY,
          predictions.stream().mapToDouble(Prediction::score).average().orElseThrow());
    } else {
      boolean classification = task.type() == Task.Type.CLASSIFICATION;
      predictions = predictions(run(task, adapters), examples, classification);
      List<Metric> all = new ArrayList<>();
      if (classification) {
        all.add(Metrics.accuracy());
        all.add(Metrics.macroF1(task.labels()));
      } else {
        all.add(generationMetric);
        all.add(Metrics.exactMatch());
        all.add(Metrics.rougeL());
        all.add(Metrics.bleu());
      }
      all.addAll(additionalMetrics);
      primary = all.get(0).name();
      List<String> predicted = predictions.stream().map(Prediction::predicted).toList();
      List<String> expected = predictions.stream().map(Prediction::expected).toList();
      all.forEach(m -> metrics.computeIfAbsent(m.name(), k -> m.score(predicted, expected)));
    }
    return new Evaluation(
        task.name(),
        task.type(),
        split,
        task.labels().asList(),
        primary,
        ImmutableMap.copyOf(metrics),
        ImmutableList.copyOf(predictions),
        (System.nanoTime() - start) / 1e9);
  }

  private List<Prediction> predictions(
      EvaluationRun run, List<Example> examples, boolean classification) {
    if (model.answers().isPresent()) {
      return run.answered(model.answers().get(), examples, generationMetric);
    }
    return classification && scoring == Scoring.LIKELIHOOD
        ? LabelPredictions.of(run, examples, lengthNormalization)
        : new GeneratedPredictions(run, generationMetric, maxNewTokens).of(examples);
  }

  /**
   * Scores a split of several tasks.
   *
   * @param adaptersFor returns the adapters for a task by its name, such as {@code
   *     result::adaptersFor}
   * @return evaluations by task name, in the tasks' order
   */
  public ImmutableMap<String, Evaluation> evaluateAll(
      List<Task> tasks,
      Split split,
      Function<String, ? extends List<? extends Adapter>> adaptersFor) {
    ImmutableMap.Builder<String, Evaluation> all = ImmutableMap.builder();
    for (Task t : tasks) {
      all.put(t.name(), evaluate(t, split, adaptersFor.apply(t.name())));
    }
    return all.buildOrThrow();
  }

  /**
   * Returns the perplexity of a split of any kind of task: the exponential of the mean negative
   * log-likelihood of the learned tokens.
   *
   * @throws IllegalArgumentException if the split is empty, or all of it too long
   * @throws CancellationException if it is cancelled
   */
  public double perplexity(Task task, Split split, List<? extends Adapter> adapters) {
    int scored = examples(task, split).size();
    return Likelihood.perplexity(Likelihood.of(run(task, adapters), split, scored));
  }

  private List<Example> examples(Task task, Split split) {
    List<Example> all = task.split(split);
    checkArgument(
        !all.isEmpty(),
        "task '%s' has no %s examples to evaluate on",
        task.name(),
        split.name().toLowerCase(Locale.ROOT));
    return all.subList(0, Math.min(limit, all.size()));
  }

  private TaskEncoder encoder() {
    return model.encoder(maxLength, ExampleEncoder.LengthPolicy.TRUNCATE_PROMPT, learnedTurns);
  }

  private EvaluationRun run(Task task, List<? extends Adapter> adapters) {
    return new EvaluationRun(model, task, adapters, encoder(), tokensPerPass, progress, cancelled);
  }

  BooleanSupplier cancelled() {
    return cancelled;
  }

  /** Returns the settings that affect results. */
  @Override
  public String toString() {
    return "limit=%s maxLength=%s scoring=%s lengthNormalization=%s maxNewTokens=%s metrics=%s"
        .formatted(
            limit == Integer.MAX_VALUE ? "none" : limit,
            maxLength,
            scoring,
            lengthNormalization,
            maxNewTokens == 0 ? "by data" : maxNewTokens,
            ImmutableList.builder()
                .add(generationMetric.name())
                .addAll(additionalMetrics.stream().map(Metric::name).toList())
                .build());
  }
}
