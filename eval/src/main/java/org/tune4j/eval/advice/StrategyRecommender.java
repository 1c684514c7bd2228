package org.tune4j.eval.advice;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.MemoryEstimate;
import org.tune4j.core.model.NotEnoughMemoryException;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingException;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.PlanContext;
import org.tune4j.strategies.Sequential;
import org.tune4j.strategies.TrainingStrategy;

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
 * FineTuner.of(model)
 *     .tasks(a, b, c)
 *     .lora(LoraConfig.rank(8))
 *     .strategy(advice.strategy())
 *     .hyperparameters(advice.hyperparameters())
 *     .run();
 * }</pre>
 *
 * <p>It measures, in this order: what the tasks are like ({@link TaskProfile}); how much they have
 * in common ({@link TaskSimilarity}); what they do to one another in a short training ({@link
 * Pilot}, by default for models of at most {@value #PILOT_PARAMETERS} parameters); and what a token
 * costs on this machine in each plan ({@link PlanPrice}). Then it weighs the evidence in a {@link
 * Scorecard} and scores the plans by {@link PlanKind#score}. The training and validation splits are
 * used, the test split never.
 *
 * <p>The same seed gives the same recommendation, up to measured seconds: they decide only where
 * the budget limits seconds, or where the pilot runs into {@link #pilotSeconds}, which a warning
 * then says.
 *
 * <p>There is a recommendation for all tasks that training accepts, and for every budget: what
 * could not be measured is left out and warned about, be it that there are too few examples, that a
 * gradient is zero or that the model's outputs are no numbers. A budget that is too small for any
 * plan gets the plan that makes the most of it, with a warning.
 *
 * <p>Not thread-safe; {@link #recommend} may be called again. The model is left as it is.
 */
public final class StrategyRecommender {
  /** Models up to this size have a pilot by default: it takes seconds to a minute on two cores. */
  public static final long PILOT_PARAMETERS = 50_000_000;

  /** Most of a budget that the pilot may use. */
  public static final double PILOT_SHARE = 0.1;

  /**
   * Sizes of the largest and the smallest task that differ by more are mixed with a temperature.
   */
  public static final double IMBALANCE = 4;

  /** The temperature that Raffel et al. (2020, section 3.5.2) found best. */
  public static final double TEMPERATURE = 2;

  /**
   * Share of replayed examples where tasks are trained in turn: a fifth to a tenth keeps most of
   * what was learned (Rolnick et al. 2019; Scialom et al. 2022 use 1 % to 10 % of the old data).
   */
  public static final double REPLAY = 0.2;

  /** A plan that the budget cuts to fewer optimizer steps of an adapter is of no use. */
  public static final int LEAST_STEPS = 5;

  /** Tasks with fewer training examples are warned about. */
  public static final int FEW_EXAMPLES = 50;

  /**
   * Steepness of the confidence: a lead of 0.1 over the next plan gives 0.65, of 0.2 0.77, of 0.5
   * 0.95.
   */
  public static final double CONFIDENCE_SLOPE = 6;

  /** Plans over which the lead gives less confidence than this are worth trying, too. */
  public static final double TRY_BELOW = 0.75;

  /**
   * The most confidence without a pilot that got beyond the form of answers: contradicting answers
   * to the same prompts cannot be seen without training. It rises to 1 with {@link
   * Pilot#maturity()}.
   */
  public static final double UNTRIED_CONFIDENCE = 0.75;

  /** The pilot begins with its examples halved so often. */
  private static final int PILOT_DOUBLINGS = 2;

  /** The pilot's steps have as many times fewer examples. */
  private static final int PILOT_STEP = 4;

  private static final int PRICE_STEPS = 4;
  private static final double SKEWED = 0.5;

  /** Tokens that smaller passes are not cut below. */
  private static final int LEAST_PASS = 32;

  /** Plans that can be run by their score; of others, those first that take least. */
  private static final Comparator<Assessment> BEST_FIRST =
      Comparator.comparingDouble(Assessment::score)
          .reversed()
          .thenComparingLong(a -> a.feasible() ? 0 : a.price().memoryBytes())
          .thenComparingLong(a -> a.feasible() ? 0 : a.price().tokens());

  private final LanguageModel model;
  private ImmutableList<Task> tasks = ImmutableList.of();
  private LoraConfig lora = LoraConfig.defaults();
  private Hyperparameters hyperparameters = Hyperparameters.defaults();
  private ComputeBudget budget = ComputeBudget.unlimited();
  private boolean arriving;
  private Optional<Boolean> pilot = Optional.empty();
  private int pilotExamples = 384;
  private double pilotSeconds = 60;
  private int similarityExamples = 64;
  private int validationExamples = 64;
  private long seed;
  private AdviceListener listener = (activity, done) -> {};
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
   * Says that tasks arrive one after another, in the order given, and each is to be served before
   * the next one comes: training all together would have to be done again at each arrival.
   */
  public StrategyRecommender arrivingOverTime() {
    arriving = true;
    return this;
  }

  /** Sets whether there is a pilot. */
  public StrategyRecommender pilot(boolean value) {
    pilot = Optional.of(value);
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

  /** Sets who is told how far it is. */
  public StrategyRecommender listener(AdviceListener value) {
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
   *     cannot be encoded, or the adapter does not fit the model; the message names it
   * @throws NotEnoughMemoryException if this machine has not the memory to train any adapter
   * @throws java.util.concurrent.CancellationException if cancelled
   * @throws IOException if the directory for temporary files cannot be written
   */
  public Recommendation recommend() throws IOException {
    return new Run().recommend();
  }

  /** One recommendation in the making. */
  private final class Run {
    private final Map<String, List<EncodedExample>> train = new LinkedHashMap<>();
    private final Map<String, Task> usable = new LinkedHashMap<>();
    private final Map<String, TaskProfile> profiles = new LinkedHashMap<>();
    private final Set<String> withoutGradient = new LinkedHashSet<>();
    private final List<String> warnings = new ArrayList<>();
    private final StepRates rates = new StepRates(model, lora);
    private Interruptions interruptions;
    private int adapterParameters;

    Recommendation recommend() throws IOException {
      Task.requireDistinctNames(tasks);
      boolean several = tasks.size() > 1;
      boolean wanted = several && pilot.orElse(model.config().parameters() <= PILOT_PARAMETERS);
      interruptions =
          new Interruptions(
              listener,
              cancelled,
              tasks.size()
                      * (1
                          + TaskSimilarity.GRADIENT_COST
                          + TaskSimilarity.HIDDEN_COST
                          + (wanted ? TaskSimilarity.GRADIENT_COST : 0))
                  + (wanted ? 3 * Pilot.COST : 0)
                  + (several ? 3 : 1));
      try (Adapter adapter = lora.create(model, "size", seed)) {
        adapterParameters = adapter.parameters().size();
      }
      profile();
      requireMemory();
      TaskSimilarity similarity = similarity();
      Optional<Pilot> measured = wanted ? pilot() : Optional.empty();
      rates();
      Scorecard scorecard = scorecard(similarity, measured);
      Recommendation made = decide(scorecard, similarity, measured);
      interruptions.end();
      return made;
    }

    private TaskSimilarity similarity() {
      Hyperparameters h = fitMemory(1, 1).orElseGet(this::leastMemory);
      long start = System.nanoTime();
      TaskSimilarity measured =
          TaskSimilarity.measure(
              model, train, lora, h, similarityExamples, seed, withoutGradient, interruptions);
      double examples =
          train.values().stream().mapToInt(t -> Math.min(similarityExamples, t.size())).sum();
      double tokens =
          examples
              * profiles.values().stream().mapToDouble(TaskProfile::meanTokens).average().orElse(1);
      rates.untimed((System.nanoTime() - start) / 1e9 / tokens);
      return measured;
    }

    private void profile() {
      ExampleEncoder encoder = Sample.encoder(model, hyperparameters);
      for (Task t : tasks) {
        interruptions.begin("profile of " + t.name(), 1);
        ExampleEncoder.Result encoded =
            encoder.encode(t, Task.Split.TRAIN, done -> {}, interruptions::cancelled);
        ExampleEncoder.Result held =
            encoder.encode(t, Task.Split.VALIDATION, done -> {}, interruptions::cancelled);
        TaskProfile p =
            TaskProfile.of(model, t, encoded, held, hyperparameters, validationExamples, seed);
        train.put(t.name(), encoded.examples());
        usable.put(t.name(), Sample.usable(t, encoded.examples(), held.examples()));
        profiles.put(t.name(), p);
        if (!Double.isFinite(p.untunedLoss())) {
          warn(
              "The untuned model's loss on task %s is %s: its weights, or the precision, leave no numbers to train with.",
              p.name(), p.untunedLoss());
        }
        if (p.examples() < FEW_EXAMPLES) {
          warn("Task %s has %d training examples: too few to judge by.", p.name(), p.examples());
        }
        if (p.validationExamples() == 0) {
          warn(
              "Task %s has no validation examples: early stopping and a comparison of strategies need them.",
              p.name());
        }
        if (p.skipped() + p.truncated() > 0) {
          warn(
              "Task %s: %d examples are skipped and %d shortened to %d tokens.",
              p.name(), p.skipped(), p.truncated(), hyperparameters.maxLength());
        }
        if (p.type() == Task.Type.CLASSIFICATION && p.labels().size() == 1) {
          warn(
              "Task %s has the single label '%s': there is nothing to tell apart, and any adapter will score 1.",
              p.name(), p.labels().keySet().iterator().next().trim());
        }
        if (p.labelBalance() < SKEWED) {
          warn(
              "Task %s is dominated by few of its labels (balance %.2f): judge it by macro-F1 rather than by accuracy.",
              p.name(), p.labelBalance());
        }
        p.labels()
            .forEach(
                (label, n) -> {
                  if (n == 0) {
                    warn("Task %s has no training example of label '%s'.", p.name(), label.trim());
                  }
                });
      }
    }

    // ---- measuring by training

    private Optional<Pilot> pilot() throws IOException {
      int examples = pilotExamples;
      double meanTokens = profiles.values().stream().mapToDouble(TaskProfile::meanTokens).sum();
      if (budget.limitsTokens()) {
        double affordable = PILOT_SHARE * budget.tokens() / (2 * 3 * meanTokens); // all rounds
        examples = (int) Math.min(examples, affordable);
      }
      int least = 2 * hyperparameters.examplesPerStep();
      if (examples < Math.min(pilotExamples, least)) {
        warn(
            "There was no pilot: a %.0f %% share of the token budget is not enough for %d examples of each task.",
            100 * PILOT_SHARE, least);
        return Optional.empty();
      }
      for (Task t : usable.values()) {
        if (Sample.of(t, examples, validationExamples, seed).validation().isEmpty()) {
          warn(
              "There was no pilot: task %s has no validation examples, and too few to hold any out.",
              t.name());
          return Optional.empty();
        }
      }
      Optional<Hyperparameters> fitted = fitMemory(tasks.size(), tasks.size());
      if (fitted.isEmpty()) {
        warn("There was no pilot: an adapter each, side by side, does not fit memory.");
        return Optional.empty();
      }
      double seconds = pilotSeconds;
      if (budget.limitsSeconds()) {
        seconds = Math.min(seconds, PILOT_SHARE * budget.seconds());
      }
      long deadline = System.nanoTime() + (long) (seconds * 1e9);
      // where only the form of answers was learned, as many examples again, a few times
      Optional<Pilot> measured = Optional.empty();
      int round = Math.max(Math.min(examples, least), examples >> PILOT_DOUBLINGS);
      boolean cut;
      while (true) {
        Optional<Pilot> next = pilot(round, fitted.get(), deadline);
        measured = next.isPresent() ? next : measured;
        cut = next.isEmpty();
        if (cut || next.get().maturity() >= Explanation.MATURE || round >= examples) {
          break;
        }
        round = Math.min(2 * round, examples);
      }
      if (measured.isEmpty()) {
        warn("There was no pilot: it was not done in %.1f s, or failed.", seconds);
      } else if (cut) {
        warn(
            "A pilot of %d examples of each task was not done in %.1f s, or failed; the one before it counts.",
            round, seconds);
      }
      return measured;
    }

    private Optional<Pilot> pilot(int examples, Hyperparameters h, long deadline)
        throws IOException {
      List<Task> samples = new ArrayList<>();
      for (Task t : usable.values()) {
        samples.add(Sample.of(t, examples, validationExamples, seed));
      }
      try {
        Optional<Pilot> measured =
            Pilot.run(
                model,
                samples,
                lora,
                pilotHyperparameters(h),
                new StepRates(model, lora),
                () -> interruptions.cancelled() || System.nanoTime() > deadline,
                interruptions);
        interruptions.check();
        return measured;
      } catch (TrainingException | NotEnoughMemoryException e) {
        warn("The pilot failed: %s.", e.getMessage());
        return Optional.empty();
      }
    }

    /** Smaller steps get further with the same examples. */
    private Hyperparameters pilotHyperparameters(Hyperparameters h) {
      return probing(h).toBuilder()
          .examplesPerStep(Math.max(1, h.examplesPerStep() / PILOT_STEP))
          .build();
    }

    private Hyperparameters probing(Hyperparameters h) {
      return h.toBuilder()
          .epochs(1)
          .patience(0)
          .validateEvery(0)
          .checkpointEvery(0)
          .validationExamples(validationExamples)
          .seed(seed)
          .build();
    }

    /** Runs a few steps in each shape that was not timed by the pilot. */
    private void rates() throws IOException {
      int batch = hyperparameters.examplesPerStep();
      List<Task> samples = new ArrayList<>();
      for (Task t : usable.values()) {
        samples.add(Sample.of(t, PRICE_STEPS * batch, 0, seed));
      }
      ImmutableList<String> names = ImmutableList.copyOf(profiles.keySet());
      Map<String, Double> equal = new LinkedHashMap<>();
      names.forEach(n -> equal.put(n, 1.0));
      ImmutableMap<String, Integer> mixed =
          PlanContext.divide(Math.max(names.size(), (long) PRICE_STEPS * batch), equal);
      Map<StepRates.Shape, TrainingPlan> plans = new LinkedHashMap<>();
      plans.put(
          new StepRates.Shape(1, 0),
          TrainingPlan.of("price", List.of(Stage.of("one", mixed, "one", names))));
      if (names.size() > 1) {
        ImmutableMap.Builder<String, Integer> each = ImmutableMap.builder();
        ImmutableMap.Builder<String, String> routes = ImmutableMap.builder();
        ImmutableMap.Builder<String, ImmutableList<String>> serving = ImmutableMap.builder();
        for (String n : names) {
          each.put(n, PRICE_STEPS * batch);
          routes.put(n, n);
          serving.put(n, ImmutableList.of(n));
        }
        plans.put(
            new StepRates.Shape(names.size(), 0),
            TrainingPlan.of(
                "price",
                List.of(
                    new Stage(
                        "side-by-side",
                        each.buildOrThrow(),
                        routes.buildOrThrow(),
                        ImmutableList.of(),
                        ImmutableList.of(),
                        ImmutableMap.of(),
                        serving.buildOrThrow()))));
        Stage above = Stage.of("above", mixed, "above", names);
        plans.put(
            new StepRates.Shape(1, 1),
            TrainingPlan.of(
                "price",
                List.of(
                    Stage.of("below", ImmutableMap.of(names.get(0), 1), "below", names),
                    new Stage(
                        above.name(),
                        above.examples(),
                        above.routes(),
                        ImmutableList.of("below"),
                        ImmutableList.of(),
                        ImmutableMap.of(),
                        above.serving()))));
      }
      for (Map.Entry<StepRates.Shape, TrainingPlan> e : plans.entrySet()) {
        interruptions.begin("price of a step", 1);
        Optional<Hyperparameters> fitted = fitMemory(e.getKey().lanes(), e.getKey().lanes());
        if (rates.timed(e.getKey()) == 0 && fitted.isPresent()) {
          try {
            rates.run(
                samples,
                e.getValue(),
                probing(fitted.get()),
                interruptions::cancelled,
                result -> result.completed());
          } catch (TrainingException | NotEnoughMemoryException failure) {
            warn("A step that was to be timed failed: %s.", failure.getMessage());
          }
          interruptions.check();
        }
      }
      if (rates.isUntimed()) {
        warn("No training step could be timed: seconds are guessed from those of the gradients.");
      }
    }

    // ---- prices

    /**
     * Returns the hyperparameters with passes small enough to fit memory, checkpointed if need be:
     * neither changes what is learned.
     */
    private Optional<Hyperparameters> fitMemory(int lanes, int adapters) {
      long limit = memoryLimit();
      Hyperparameters h = hyperparameters;
      while (memory(h, lanes, adapters) > limit) {
        if (h.tokensPerPass() / 2 >= Math.max(LEAST_PASS, longest())) {
          h = h.toBuilder().tokensPerPass(h.tokensPerPass() / 2).build();
        } else if (!h.activationCheckpointing()) {
          h = hyperparameters.toBuilder().activationCheckpointing(true).build();
        } else {
          return Optional.empty();
        }
      }
      return Optional.of(h);
    }

    /** Returns the hyperparameters with the least memory: the smallest passes, checkpointed. */
    private Hyperparameters leastMemory() {
      return hyperparameters.toBuilder()
          .tokensPerPass(Math.min(hyperparameters.tokensPerPass(), Math.max(LEAST_PASS, longest())))
          .activationCheckpointing(true)
          .build();
    }

    private void requireMemory() {
      if (fitMemory(1, 1).isEmpty()) {
        estimate(leastMemory(), 1)
            .require(
                "training any adapter, with the smallest passes and checkpointing,",
                machineMemory());
      }
    }

    private long machineMemory() {
      return MemoryEstimate.available() + model.engine().memory().total();
    }

    private long memoryLimit() {
      return Math.min(budget.memoryBytes(), machineMemory());
    }

    private int longest() {
      return profiles.values().stream().mapToInt(TaskProfile::longestTokens).max().orElseThrow();
    }

    private long memory(Hyperparameters h, int lanes, int adapters) {
      long frozen =
          8L * (adapters - lanes) * adapterParameters; // weights and gradients, no moments
      return estimate(h, lanes).total() + frozen;
    }

    private MemoryEstimate estimate(Hyperparameters h, int lanes) {
      // as the trainer reckons: batches are rarely longer than half as much again as the mean
      double mean =
          profiles.values().stream().mapToDouble(TaskProfile::meanTokens).max().orElseThrow();
      int rows = (int) Math.min(h.tokensPerPass(), lanes * h.examplesPerStep() * mean * 1.5);
      return MemoryEstimate.of(
          model.config(),
          model.engine().precision(),
          Math.max(longest(), rows),
          longest(),
          (long) lanes * adapterParameters,
          h.activationCheckpointing() ? Tape.Mode.CHECKPOINTING : Tape.Mode.RECORDING);
    }

    private static int lanes(Stage stage) {
      return Set.copyOf(stage.routes().values()).size();
    }

    private PlanPrice price(TrainingPlan plan, Hyperparameters h) {
      long steps = 0;
      double seconds = 0;
      double tokens = 0;
      int most = 1;
      Set<String> adapters = new java.util.HashSet<>();
      for (Stage s : plan.stages()) {
        Map<String, Long> byLane = new LinkedHashMap<>();
        double stageTokens = 0;
        for (Map.Entry<String, Integer> e : s.examples().entrySet()) {
          byLane.merge(s.routes().get(e.getKey()), (long) e.getValue(), Long::sum);
          stageTokens += e.getValue() * profiles.get(e.getKey()).meanTokens();
        }
        steps +=
            byLane.values().stream()
                .mapToLong(n -> (n + h.examplesPerStep() - 1) / h.examplesPerStep())
                .max()
                .orElse(0);
        tokens += stageTokens;
        seconds += stageTokens * rates.secondsPerToken(StepRates.Shape.of(s));
        most = Math.max(most, lanes(s));
        adapters.addAll(s.routes().values());
      }
      return new PlanPrice(
          plan.examples(),
          Math.round(tokens),
          steps,
          seconds,
          memory(h, most, adapters.size()),
          4L * adapters.size() * adapterParameters);
    }

    /** Returns the fewest steps that an adapter of a plan gets, a last smaller one included. */
    private static long fewestSteps(TrainingPlan plan, Hyperparameters h) {
      Map<String, Long> examples = new LinkedHashMap<>();
      for (Stage s : plan.stages()) {
        s.examples()
            .forEach((task, n) -> examples.merge(s.routes().get(task), (long) n, Long::sum));
      }
      long fewest = examples.values().stream().mapToLong(Long::longValue).min().orElse(0);
      return (fewest + h.examplesPerStep() - 1) / h.examplesPerStep();
    }

    // ---- deciding

    private Scorecard scorecard(TaskSimilarity similarity, Optional<Pilot> measured) {
      int smallest = profiles.values().stream().mapToInt(TaskProfile::examples).min().orElseThrow();
      OptionalDouble gain =
          measured.isPresent()
              ? OptionalDouble.of(measured.get().jointGain())
              : OptionalDouble.empty();
      OptionalDouble agreement = OptionalDouble.empty();
      if (measured.isPresent() && !Double.isNaN(measured.get().agreement().mean())) {
        agreement = OptionalDouble.of(measured.get().agreement().mean());
      }
      if (tasks.size() == 1) {
        return new Scorecard(ImmutableList.of());
      }
      return Scorecard.of(
          new Scorecard.Evidence(
              similarity.combined().mean(),
              smallest,
              gain,
              agreement,
              measured.map(Pilot::maturity).orElse(0.0)));
    }

    private Map<PlanKind, TrainingStrategy> candidates(Optional<Pilot> measured) {
      Map<PlanKind, TrainingStrategy> all = new LinkedHashMap<>();
      all.put(PlanKind.INDEPENDENT, Independent.perTask());
      if (tasks.size() > 1) {
        List<String> order = order(measured);
        all.put(
            PlanKind.MULTI_TASK,
            imbalance() > IMBALANCE
                ? MultiTask.temperature(TEMPERATURE)
                : MultiTask.proportional());
        all.put(PlanKind.SEQUENTIAL_REPLAY, Sequential.inOrder(order).replay(REPLAY));
        all.put(PlanKind.SEQUENTIAL_STACKED, Sequential.inOrder(order).stacked());
        all.put(PlanKind.SEQUENTIAL, Sequential.inOrder(order));
      }
      return all;
    }

    private double imbalance() {
      int most = profiles.values().stream().mapToInt(TaskProfile::examples).max().orElseThrow();
      int least = profiles.values().stream().mapToInt(TaskProfile::examples).min().orElseThrow();
      return (double) most / least;
    }

    /**
     * The order of arrival; else, if the pilot showed it, tasks whose adapters harm others most
     * come first, so that what comes last undoes least.
     */
    private List<String> order(Optional<Pilot> measured) {
      List<String> names = new ArrayList<>(profiles.keySet());
      if (!arriving && measured.isPresent()) {
        double[][] transfer = measured.get().transfer();
        Map<String, Double> good = new LinkedHashMap<>();
        for (int i = 0; i < transfer.length; i++) {
          double sum = 0;
          for (int j = 0; j < transfer.length; j++) {
            sum += i == j ? 0 : transfer[i][j];
          }
          good.put(measured.get().tasks().get(i), sum);
        }
        names.sort(Comparator.comparing(good::get));
      }
      return names;
    }

    /**
     * Weighs a plan, cut to what the budget pays.
     *
     * @param useful whether a plan that is cut to fewer than {@link #LEAST_STEPS} steps of an
     *     adapter is out; else it is cut as far as it goes
     */
    private Assessment assess(
        PlanKind kind, TrainingStrategy strategy, double lean, double forgetting, boolean useful) {
      TrainingPlan full = strategy.plan(PlanContext.of(tasks, hyperparameters));
      int lanes = full.stages().stream().mapToInt(Run::lanes).max().orElse(1);
      int adapters =
          (int)
              full.stages().stream().flatMap(s -> s.routes().values().stream()).distinct().count();
      Optional<Hyperparameters> fitted = fitMemory(lanes, adapters);
      Hyperparameters h = fitted.orElseGet(this::leastMemory);
      PlanPrice price = price(full, h);
      double share = budget.share(price);
      long most = tasks.stream().mapToLong(t -> t.train().size()).max().orElse(1);
      boolean feasible = fitted.isPresent();
      double epochs = h.epochs();
      // below that, one example of each task is left
      while (feasible && budget.share(price) < 1 && epochs * most >= 0.5) {
        // whole examples: what the mean promises may come out a little above the budget
        epochs *= Math.min(0.999, budget.share(price));
        h = h.toBuilder().epochs(epochs).build();
        TrainingPlan cut = strategy.plan(PlanContext.of(tasks, h));
        price = price(cut, h);
        feasible = !useful || fewestSteps(cut, h) >= Math.min(LEAST_STEPS, fewestSteps(full, h));
      }
      feasible = feasible && budget.share(price) == 1;
      return new Assessment(
          kind,
          strategy,
          h,
          feasible ? kind.score(lean, arriving, forgetting, share) : Double.NEGATIVE_INFINITY,
          share,
          price,
          "");
    }

    /**
     * Returns all plans, best first. If none is of use within the limits, those that do what they
     * can within them come first, and then those that exceed them least.
     */
    private List<Assessment> weigh(double lean, Optional<Pilot> measured) {
      double forgetting = measured.map(Pilot::forgetting).orElse(0.0);
      Map<PlanKind, TrainingStrategy> candidates = candidates(measured);
      List<Assessment> all = new ArrayList<>();
      candidates.forEach((kind, s) -> all.add(assess(kind, s, lean, forgetting, true)));
      if (all.stream().noneMatch(Assessment::feasible)) {
        all.clear();
        candidates.forEach((kind, s) -> all.add(assess(kind, s, lean, forgetting, false)));
        Assessment best = all.stream().min(BEST_FIRST).orElseThrow();
        warn(
            "The limits (%s) are too small for any plan to be of use: %s, cut as far as it goes, takes %s; at least %d optimizer steps of each adapter are wanted.",
            budget, best.strategy().name(), best.price(), LEAST_STEPS);
      }
      all.sort(BEST_FIRST);
      return all;
    }

    private Recommendation decide(
        Scorecard scorecard, TaskSimilarity similarity, Optional<Pilot> measured) {
      double lean = scorecard.lean();
      List<Assessment> all = weigh(lean, measured);
      Assessment best = all.get(0);
      List<Assessment> feasible = all.stream().filter(Assessment::feasible).toList();
      double confidence =
          switch (feasible.size()) {
            case 0 -> confidence(0);
            case 1 -> 1;
            default -> confidence(best.score() - feasible.get(1).score());
          };
      if (tasks.size() > 1) {
        confidence = Math.min(confidence, mostConfidence(measured));
      }
      ImmutableList<TrainingStrategy> worthTrying = worthTrying(feasible);
      Explanation words =
          new Explanation(
              tasks.size(), arriving, hyperparameters, budget, memoryLimit(), lean, measured);
      warnings.addAll(words.warnings(similarity, withoutGradient, best));
      List<Assessment> others = new ArrayList<>();
      for (Assessment a : all.subList(1, all.size())) {
        others.add(a.withVerdict(words.against(a, best)));
      }
      return new Recommendation(
          best.withVerdict(words.inFavour(best)),
          confidence,
          ImmutableList.copyOf(
              words.reasons(
                  scorecard, best, feasible.size() == 1, confidence, worthTrying, imbalance())),
          ImmutableList.copyOf(others),
          ImmutableList.copyOf(warnings),
          worthTrying,
          scorecard,
          ImmutableList.copyOf(profiles.values()),
          similarity,
          measured,
          budget);
    }

    /**
     * The plans that the lead does not settle against, as far as the budget pays for all of them.
     */
    private ImmutableList<TrainingStrategy> worthTrying(List<Assessment> feasible) {
      List<TrainingStrategy> tried = new ArrayList<>();
      long tokens = 0;
      double seconds = 0;
      double top = feasible.isEmpty() ? 0 : feasible.get(0).score();
      for (Assessment a : feasible) {
        if (a.share() < 1 || (!tried.isEmpty() && confidence(top - a.score()) >= TRY_BELOW)) {
          break;
        }
        tokens += a.price().tokens();
        seconds += a.price().seconds();
        if (tokens > budget.tokens() || seconds > budget.seconds()) {
          break;
        }
        tried.add(a.strategy());
      }
      return tried.size() > 1 ? ImmutableList.copyOf(tried) : ImmutableList.of();
    }

    private void warn(String format, Object... values) {
      warnings.add(Explanation.say(format, values));
    }
  }

  /** Returns the most confidence that what was tried allows. */
  static double mostConfidence(Optional<Pilot> pilot) {
    return UNTRIED_CONFIDENCE + (1 - UNTRIED_CONFIDENCE) * pilot.map(Pilot::maturity).orElse(0.0);
  }

  /** Returns the confidence that a lead in score gives. */
  static double confidence(double lead) {
    return 1 / (1 + Math.exp(-CONFIDENCE_SLOPE * lead));
  }
}
