package org.tune4j.eval.advice;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.NotEnoughMemoryException;
import org.tune4j.core.progress.ProgressListener;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.PlanContext;

/**
 * Recommends how to train tasks: together, one after another, or apart.
 *
 * <pre>{@code
 * Recommendation advice =
 *     StrategyRecommender.of(model)
 *         .tasks(a, b, c)
 *         .lora(LoraConfig.rank(8))
 *         .budget(ComputeBudget.ofSeconds(600))
 *         .recommend();
 * System.out.println(advice);
 * advice.fineTuner().run();
 * }</pre>
 *
 * <p>It looks, in this order, at what the tasks are like ({@link TaskProfile}); how much they have
 * in common ({@link TaskSimilarity}); whether their data contradicts itself ({@link
 * AnswerConflicts}, {@link LabelTransfer}); if {@linkplain Level#AFFINITY wanted}, what they do to
 * one another in a short training ({@link Pilot}); and what a token costs on this machine in each
 * plan ({@link PlanPrice}). Then it forecasts what each {@link Candidate} scores, those of this
 * library by a {@link Forecast} from the {@link Features} and {@link #candidates yours} as they
 * say, and recommends the best that the budget pays for; among plans that are not told apart, the
 * cheapest. Where that takes less than a minute, or if {@linkplain #level wanted}, it trains the
 * likeliest ones to the end and compares them. The training and validation splits are used, the
 * test split never.
 *
 * <p>The same seed gives the same recommendation, up to measured seconds: they decide only where
 * the budget limits seconds, where a pilot runs into {@link #pilotSeconds}, which a warning then
 * says, and, unless a level is set, whether trainings are short enough for an experiment.
 *
 * <p>There is a recommendation for all tasks that training accepts, and for every budget: what
 * could not be measured is left out and warned about, be it that there are too few examples, that a
 * gradient is zero or that the model's outputs are no numbers. A budget that is too small for any
 * plan gets the plan that makes the most of it, with a warning.
 *
 * <p>Not thread-safe; {@link #recommend} may be called again. The model is left as it is.
 */
public final class StrategyRecommender {
  /** Most of a budget that the pilot may use. */
  public static final double PILOT_SHARE = 0.1;

  /** A plan that the budget cuts to fewer optimizer steps of an adapter is of no use. */
  public static final int LEAST_STEPS = 5;

  /** Tasks with fewer training examples are warned about. */
  public static final int FEW_EXAMPLES = 50;

  /** A recommendation that is the best with a lower probability is worth trying beside others. */
  public static final double TRY_BELOW = 0.75;

  /** How much is done to find out. */
  public enum Level {
    /** Nothing is trained: it is read off the data, and gradients of the untrained adapter. */
    RULES,
    /**
     * Short trainings besides, a {@link Pilot}, show what tasks do to one another: warnings of what
     * they showed, and the order of tasks that are trained in turn. What strategies are thought to
     * score does not rest on them. They cost up to {@link #pilotExamples} and {@link
     * #pilotSeconds}.
     */
    AFFINITY,
    /**
     * The recommended plan and its likeliest rivals are trained to the end and compared on the
     * validation examples, one by one, as long as another training is expected to improve the score
     * by at least 0.3 points of 100. {@link Recommendation#fineTuner} takes the winner's run over.
     */
    EXPERIMENT
  }

  /** Share of the whole that measuring is reported as where experiments may follow. */
  private static final double MEASURING = 0.2;

  private final LanguageModel model;
  private ImmutableList<Task> tasks = ImmutableList.of();
  private ImmutableList<Candidate> own = ImmutableList.of();
  private LoraConfig lora = LoraConfig.defaults();
  private Hyperparameters hyperparameters = Hyperparameters.defaults();
  private ComputeBudget budget = ComputeBudget.unlimited();
  private boolean equalTokens;
  private boolean arriving;
  private Level level; // null to choose
  private double experimentShare = 0.25;
  private double experimentSeconds = 60;
  private Path output;
  private double costShare = 0.1;
  private int pilotExamples = 384;
  private double pilotSeconds = 60;
  private int similarityExamples = 64;
  private int validationExamples = 64;
  private long seed;
  private ProgressListener listener = ProgressListener.none();
  private BooleanSupplier cancelled = () -> false;

  private StrategyRecommender(LanguageModel model) {
    this.model = model;
  }

  /** Returns a recommender for a model. */
  public static StrategyRecommender of(LanguageModel model) {
    return new StrategyRecommender(model);
  }

  /** Sets the tasks. */
  public StrategyRecommender tasks(Task... value) {
    return tasks(List.of(value));
  }

  /** Sets the tasks. */
  public StrategyRecommender tasks(List<Task> value) {
    tasks = ImmutableList.copyOf(value);
    return this;
  }

  /**
   * Sets strategies of your own, to be weighed beside those of {@link Candidates}. Each has a name
   * that no other has, and a strategy that fits the tasks.
   */
  public StrategyRecommender candidates(Candidate... value) {
    return candidates(List.of(value));
  }

  /** Sets strategies of your own. */
  public StrategyRecommender candidates(List<Candidate> value) {
    own = ImmutableList.copyOf(value);
    return this;
  }

  /** Sets what adapters look like; the default is {@link LoraConfig#defaults()}. */
  public StrategyRecommender lora(LoraConfig value) {
    lora = value;
    return this;
  }

  /** Sets how training is meant to go. */
  public StrategyRecommender hyperparameters(Hyperparameters value) {
    hyperparameters = value;
    return this;
  }

  /** Sets what training may take; the default is no limit but the machine's memory. */
  public StrategyRecommender budget(ComputeBudget value) {
    budget = value;
    return this;
  }

  /**
   * Weighs all plans at the tokens that the epochs come to, as {@link org.tune4j.eval.Experiment}
   * compares strategies: one that takes more is cut. Unless this is said, plans are weighed at the
   * epochs, whatever they take: replay takes more than each example once an epoch, and so do small
   * adapters on top of a shared one.
   */
  public StrategyRecommender equalTokens() {
    equalTokens = true;
    return this;
  }

  /**
   * Says that tasks arrive one after another, in the order given, and each is to be served before
   * the next one comes: training all together would have to be done again at each arrival.
   */
  public StrategyRecommender arrivingOverTime() {
    arriving = true;
    return this;
  }

  /**
   * Sets how much is done to find out. Unless set, it is {@link Level#EXPERIMENT} where the
   * trainings that it takes come to {@link #experimentSeconds} at most, and otherwise {@link
   * Level#RULES}.
   */
  public StrategyRecommender level(Level value) {
    level = value;
    return this;
  }

  /**
   * Sets what the trainings of an experiment may cost that do not win, as a share of the tokens of
   * training all candidates; the default is 0.25. The winner's costs nothing, as it is used.
   *
   * @param value over 0; infinity for no limit
   */
  public StrategyRecommender experimentShare(double value) {
    checkArgument(value > 0, "the share of experiments is %s; it must be positive", value);
    experimentShare = value;
    return this;
  }

  /**
   * Sets how many seconds the trainings of an experiment may take, all of them together, if no
   * {@linkplain #level level} is set; the default is 60.
   */
  public StrategyRecommender experimentSeconds(double value) {
    checkArgument(value > 0, "the seconds of experiments are %s; they must be positive", value);
    experimentSeconds = value;
    return this;
  }

  /**
   * Sets the directory that runs are written to, each to a folder of its candidate's name: those of
   * an experiment, by default to {@code tune4j-runs/<time>-advice}, and that of {@link
   * Recommendation#fineTuner}. Runs that it holds already are taken over or continued.
   */
  public StrategyRecommender output(Path value) {
    output = value;
    return this;
  }

  /**
   * Sets the most that measuring may cost, pilot and experiments aside, as a share of the passes
   * over examples that training takes; the default is 0.1. Fewer examples are looked at where tasks
   * are small, and no steps are timed where they would cost too much: then seconds are estimated
   * from those of the gradients.
   *
   * @param value over 0; infinity for no limit
   */
  public StrategyRecommender costShare(double value) {
    checkArgument(value > 0, "the share of the cost is %s; it must be positive", value);
    costShare = value;
    return this;
  }

  /**
   * Sets the most training examples of each task in the pilot; the default is 384. It begins with a
   * quarter of them, and takes more only if just the form of answers was learned.
   */
  public StrategyRecommender pilotExamples(int value) {
    checkArgument(value > 0, "the pilot's examples are %s; there must be at least 1", value);
    pilotExamples = value;
    return this;
  }

  /**
   * Sets after how many seconds an unfinished pilot is given up; the default is 60. It also gets no
   * more than a {@link #PILOT_SHARE} of the budget.
   */
  public StrategyRecommender pilotSeconds(double value) {
    checkArgument(value > 0, "the pilot's seconds are %s; they must be positive", value);
    pilotSeconds = value;
    return this;
  }

  /**
   * Sets the most examples of each task that gradients and hidden states are taken of; the default
   * is 64.
   */
  public StrategyRecommender similarityExamples(int value) {
    checkArgument(value >= 2, "%s examples cannot be split in two halves", value);
    similarityExamples = value;
    return this;
  }

  /**
   * Sets the most validation examples of each task that losses are measured on; the default is 64.
   */
  public StrategyRecommender validationExamples(int value) {
    checkArgument(value > 0, "the validation examples are %s; there must be at least 1", value);
    validationExamples = value;
    return this;
  }

  /** Sets the seed of every choice and initial value. */
  public StrategyRecommender seed(long value) {
    seed = value;
    return this;
  }

  /**
   * Sets who is told how far it is: in hundredths of the whole, whenever an activity such as {@code
   * gradients of noun-category} begins, and at the end.
   */
  public StrategyRecommender progress(ProgressListener value) {
    listener = value;
    return this;
  }

  /** Sets what is asked now and then whether to stop; interrupting the thread stops, too. */
  public StrategyRecommender cancelled(BooleanSupplier value) {
    cancelled = value;
    return this;
  }

  /**
   * Measures and recommends.
   *
   * @throws IllegalArgumentException if names clash, a task has no usable example, an example
   *     cannot be encoded, the adapter does not fit the model, or a candidate's plan does not fit
   *     the tasks; the message names it
   * @throws NotEnoughMemoryException if this machine has not the memory to train any adapter
   * @throws java.util.concurrent.CancellationException if cancelled
   * @throws IOException if a directory cannot be written, or {@link #output} holds another run
   */
  public Recommendation recommend() throws IOException {
    Task.requireDistinctNames(tasks);
    ImmutableList<String> names =
        tasks.stream().map(Task::name).collect(ImmutableList.toImmutableList());
    List<Candidate> expected = withOwn(Candidates.all(names, 1));
    requireDistinctNames(expected);
    Request asked =
        new Request(model, tasks, lora, hyperparameters, budget, arriving, effort(), seed);
    boolean wanted = asked.several() && level == Level.AFFINITY;
    boolean trials = asked.several() && (level == null || level == Level.EXPERIMENT);
    AdviceProgress progress =
        new AdviceProgress(
            listener,
            cancelled,
            tasks.size()
                    * (1
                        + TaskSimilarity.GRADIENT_COST
                        + TaskSimilarity.HIDDEN_COST
                        + (wanted ? TaskSimilarity.GRADIENT_COST : 0))
                + (wanted ? 3 * Pilot.COST : 0)
                + shapes(expected).size(),
            trials ? MEASURING : 1);
    Warnings warnings = new Warnings();
    long adapterParameters;
    try (Adapter adapter = lora.create(model, "size", seed)) {
      adapterParameters = adapter.parameters().size();
    }
    Profiles profiles = Profiles.of(asked, progress, warnings);
    Request request = equalTokens ? asked.withTokens(tokens(profiles)) : asked;
    MemoryFit memory = new MemoryFit(request, profiles, adapterParameters);
    memory.require();

    StepRates rates = new StepRates(model, lora);
    Set<String> withoutGradient = new LinkedHashSet<>();
    TaskSimilarity similarity =
        similarity(request, profiles, memory, rates, withoutGradient, progress);
    Optional<Pilot> piloted =
        wanted
            ? new PilotRounds(request, profiles, memory, progress, warnings).run()
            : Optional.empty();
    AnswerConflicts conflicts = AnswerConflicts.of(tasks);
    Features features = Features.of(tasks, hyperparameters, conflicts);
    Situation situation =
        new Situation(
            profiles.all(),
            similarity,
            conflicts,
            features,
            tasks.size() == 1
                ? new Scorecard(ImmutableList.of())
                : Evidence.scorecard(Forecast.standard(), features),
            piloted,
            arriving);
    List<Candidate> candidates =
        withOwn(Candidates.all(order(names, situation), situation.imbalance()));
    new StepTimer(request, profiles, memory, progress, warnings).run(shapes(candidates), rates);

    Pricing pricing = new Pricing(request, profiles, memory, rates);
    Recommendation made =
        new Decision(request, pricing, memory, situation, warnings)
            .among(
                candidates,
                withoutGradient,
                new Experimenting(
                    request,
                    Optional.ofNullable(level),
                    experimentShare,
                    experimentSeconds,
                    Optional.ofNullable(output),
                    progress,
                    warnings));
    progress.end();
    return made;
  }

  /**
   * Returns how much may be measured: three tenths of the cost go to the gradients, which take four
   * passes forward for an example where training takes three, two tenths to untuned losses, three
   * to timing.
   */
  private Request.Effort effort() {
    double passes =
        hyperparameters.epochs() * tasks.stream().mapToInt(t -> t.train().size()).sum() * 3;
    double ofTask = costShare * passes / Math.max(1, tasks.size());
    return new Request.Effort(
        pilotExamples,
        pilotSeconds,
        (int) Math.max(2, Math.min(similarityExamples, 0.3 * ofTask / 4)),
        (int) Math.max(1, Math.min(validationExamples, 0.2 * ofTask)),
        0.3 * costShare * passes);
  }

  /** Returns the tokens of each example once an epoch, and half a per cent for rounding. */
  private long tokens(Profiles profiles) {
    double tokens = 0;
    for (Task t : tasks) {
      tokens += hyperparameters.epochs() * t.train().size() * profiles.meanTokens(t.name());
    }
    return (long) Math.ceil(1.005 * tokens);
  }

  private List<Candidate> withOwn(List<Candidate> builtIn) {
    return ImmutableList.<Candidate>builder().addAll(builtIn).addAll(own).build();
  }

  private static void requireDistinctNames(List<Candidate> candidates) {
    Set<String> names = new HashSet<>();
    for (Candidate c : candidates) {
      checkArgument(
          names.add(c.name()),
          "two candidates are named '%s'; those of your own need a name() that no other has",
          c.name());
    }
  }

  private Set<StepRates.Shape> shapes(List<Candidate> candidates) {
    PlanContext context = PlanContext.of(tasks, hyperparameters);
    return StepTimer.shapes(candidates.stream().map(c -> c.strategy().plan(context)).toList());
  }

  /**
   * Measures similarity, and then, as kernels are made and code is compiled, how long a token takes
   * should no training step be timed.
   */
  private static TaskSimilarity similarity(
      Request request,
      Profiles profiles,
      MemoryFit memory,
      StepRates rates,
      Set<String> withoutGradient,
      AdviceProgress progress) {
    int most = request.effort().similarityExamples();
    Hyperparameters h = memory.fit(1, 1).orElseGet(memory::least);
    TaskSimilarity measured =
        TaskSimilarity.measure(
            request.model(),
            profiles.train(),
            request.lora(),
            h,
            most,
            request.seed(),
            withoutGradient,
            progress);
    Map.Entry<String, List<EncodedExample>> first = profiles.train().entrySet().iterator().next();
    rates.untimed(
        request.lora(),
        Sample.of(first.getValue(), most, request.seed(), first.getKey()),
        h,
        request.seed());
    return measured;
  }

  /**
   * The order of arrival; else, if the pilot showed it, tasks whose adapters harm others most come
   * first, so that what comes last undoes least.
   */
  private static List<String> order(List<String> names, Situation situation) {
    if (situation.arriving() || situation.pilot().isEmpty()) {
      return names;
    }
    Pilot pilot = situation.pilot().get();
    double[][] transfer = pilot.transfer();
    Map<String, Double> good = new LinkedHashMap<>();
    for (int i = 0; i < transfer.length; i++) {
      double sum = 0;
      for (int j = 0; j < transfer.length; j++) {
        sum += i == j ? 0 : transfer[i][j];
      }
      good.put(pilot.tasks().get(i), sum);
    }
    return names.stream().sorted(Comparator.comparing(good::get)).toList();
  }
}
