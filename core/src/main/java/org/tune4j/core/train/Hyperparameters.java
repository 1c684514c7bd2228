package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import org.nd4j.linalg.learning.config.IUpdater;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;

/**
 * The hyperparameters of training. The defaults suit rank-8 adapters on small instruction-like
 * data: AdamW at 1e-3 with 5 % warm-up and cosine decay, 16 examples per step, one epoch, clipping
 * at 1, a checkpoint every 100 steps.
 *
 * @param learningRate base learning rate
 * @param beta1 AdamW's first beta
 * @param beta2 AdamW's second beta
 * @param epsilon AdamW's epsilon
 * @param weightDecay decoupled weight decay
 * @param epochs how often each training example is seen; may be a fraction
 * @param examplesPerStep examples per optimizer step, for each adapter in training
 * @param tokensPerPass most tokens run at once
 * @param maxGradientNorm norm that each adapter's gradient is clipped to; infinity for none
 * @param schedule learning-rate schedule; must have a name
 * @param optimizer creates the optimizers
 * @param maxLength most tokens of an example
 * @param lengthPolicy what happens to longer ones
 * @param learnedTurns which of the assistant's turns are learned if the data does not say
 * @param validateEvery steps between validations; 0: never
 * @param validationExamples most validation examples used of each task
 * @param patience validations without improvement after which an adapter stops; 0: never
 * @param checkpointEvery steps between checkpoints; 0: only when cancelled and after stages
 * @param seed seed of initial values, data order and dropout
 * @param activationCheckpointing whether activations are recomputed in the backward pass rather
 *     than kept
 */
public record Hyperparameters(
    double learningRate,
    double beta1,
    double beta2,
    double epsilon,
    double weightDecay,
    double epochs,
    int examplesPerStep,
    int tokensPerPass,
    double maxGradientNorm,
    LearningRateSchedule schedule,
    Optimizer.Factory optimizer,
    int maxLength,
    LengthPolicy lengthPolicy,
    LearnedTurns learnedTurns,
    int validateEvery,
    int validationExamples,
    int patience,
    int checkpointEvery,
    long seed,
    boolean activationCheckpointing) {
  /**
   * Checks the values.
   *
   * @throws IllegalArgumentException if one is not allowed; the message names it
   */
  public Hyperparameters {
    checkArgument(
        learningRate > 0 && Double.isFinite(learningRate),
        "learning rate is %s; it must be positive",
        learningRate);
    checkArgument(
        beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1,
        "betas are %s and %s; they must be in [0, 1)",
        beta1,
        beta2);
    checkArgument(epsilon > 0, "epsilon is %s; it must be positive", epsilon);
    checkArgument(
        epochs > 0 && Double.isFinite(epochs), "epochs is %s; it must be positive", epochs);
    checkArgument(
        examplesPerStep > 0, "examples per step is %s; it must be at least 1", examplesPerStep);
    checkArgument(
        tokensPerPass >= 32, "tokens per pass is %s; it must be at least 32", tokensPerPass);
    checkArgument(
        maxGradientNorm > 0, "maximum gradient norm is %s; it must be positive", maxGradientNorm);
    checkArgument(weightDecay >= 0, "weight decay is %s; it must not be negative", weightDecay);
    checkArgument(maxLength >= 2, "maximum length is %s; it must be at least 2", maxLength);
    checkArgument(
        validateEvery >= 0, "validateEvery is %s; it must not be negative", validateEvery);
    checkArgument(
        validationExamples > 0,
        "validation examples is %s; it must be at least 1",
        validationExamples);
    checkArgument(
        checkpointEvery >= 0, "checkpointEvery is %s; it must not be negative", checkpointEvery);
    checkArgument(patience >= 0, "patience is %s; it must not be negative", patience);
    checkArgument(
        patience == 0 || validateEvery > 0,
        "patience is %s, but validateEvery is 0: early stopping needs validation",
        patience);
    checkArgument(
        schedule instanceof LearningRateSchedule.Named,
        "a custom schedule needs a name: use schedule(name, schedule)");
  }

  /** Returns the defaults, those of {@link #builder()}. */
  public static Hyperparameters defaults() {
    return builder().build();
  }

  /** Returns a builder with the defaults. */
  public static Builder builder() {
    return new Builder();
  }

  /** Builds {@link Hyperparameters}. */
  public static final class Builder {
    private double learningRate = 1e-3;
    private double beta1 = 0.9;
    private double beta2 = 0.999;
    private double epsilon = 1e-8;
    private double weightDecay;
    private double epochs = 1;
    private int examplesPerStep = 16;
    private int tokensPerPass = 4096;
    private double maxGradientNorm = 1;
    private LearningRateSchedule schedule = LearningRateSchedule.cosine(0.05);
    private Optimizer.Factory optimizer = AdamW.FACTORY;
    private int maxLength = 512;
    private LengthPolicy lengthPolicy = LengthPolicy.TRUNCATE_PROMPT;
    private LearnedTurns learnedTurns = LearnedTurns.ALL;
    private int validateEvery;
    private int validationExamples = 200;
    private int patience;
    private int checkpointEvery = 100;
    private long seed;
    private boolean activationCheckpointing;

    private Builder() {}

    private Builder(Hyperparameters h) {
      learningRate = h.learningRate;
      beta1 = h.beta1;
      beta2 = h.beta2;
      epsilon = h.epsilon;
      weightDecay = h.weightDecay;
      epochs = h.epochs;
      examplesPerStep = h.examplesPerStep;
      tokensPerPass = h.tokensPerPass;
      maxGradientNorm = h.maxGradientNorm;
      schedule = h.schedule;
      optimizer = h.optimizer;
      maxLength = h.maxLength;
      lengthPolicy = h.lengthPolicy;
      learnedTurns = h.learnedTurns;
      validateEvery = h.validateEvery;
      validationExamples = h.validationExamples;
      patience = h.patience;
      checkpointEvery = h.checkpointEvery;
      seed = h.seed;
      activationCheckpointing = h.activationCheckpointing;
    }

    /** Sets the base learning rate. */
    public Builder learningRate(double value) {
      learningRate = value;
      return this;
    }

    /** Sets AdamW's betas. */
    public Builder betas(double first, double second) {
      beta1 = first;
      beta2 = second;
      return this;
    }

    /** Sets AdamW's epsilon. */
    public Builder epsilon(double value) {
      epsilon = value;
      return this;
    }

    /** Sets AdamW's decoupled weight decay. */
    public Builder weightDecay(double value) {
      weightDecay = value;
      return this;
    }

    /** Sets how often each training example is seen; may be a fraction. */
    public Builder epochs(double value) {
      epochs = value;
      return this;
    }

    /** Sets the examples per optimizer step, for each adapter in training. */
    public Builder examplesPerStep(int value) {
      examplesPerStep = value;
      return this;
    }

    /**
     * Sets the most tokens run at once; larger steps are run in several passes whose gradients are
     * accumulated.
     */
    public Builder tokensPerPass(int value) {
      tokensPerPass = value;
      return this;
    }

    /** Sets the norm that each adapter's gradient is clipped to; infinity for none. */
    public Builder maxGradientNorm(double value) {
      maxGradientNorm = value;
      return this;
    }

    /**
     * Sets a schedule created by a method of {@link LearningRateSchedule}; others are refused, as
     * they have no name.
     */
    public Builder schedule(LearningRateSchedule value) {
      schedule = value;
      return this;
    }

    /** Sets a custom learning-rate schedule; resuming a run requires the same name. */
    public Builder schedule(String name, LearningRateSchedule value) {
      schedule = new LearningRateSchedule.Named(name, value);
      return this;
    }

    /**
     * Replaces AdamW by an ND4J updater. If the updater has a learning rate, it becomes the base
     * learning rate, to which the schedule applies. Weight decay stays decoupled.
     *
     * @throws IllegalArgumentException if the updater has a schedule
     */
    public Builder updater(IUpdater value) {
      if (value.hasLearningRate()) {
        double rate = value.getLearningRate(0, 0);
        for (int step = 1; step <= 100_000; step *= 10) {
          checkArgument(
              value.getLearningRate(step, step) == rate,
              "%s has a schedule; pass it to schedule(LearningRateSchedule.of(…)) instead",
              value);
        }
        learningRate = rate;
      }
      return optimizer(new Nd4jUpdater.Factory(value.clone()));
    }

    /**
     * Replaces AdamW by a custom optimizer; resuming a run requires one of the same description.
     */
    public Builder optimizer(Optimizer.Factory value) {
      optimizer = value;
      return this;
    }

    /** Sets the most tokens of an example. */
    public Builder maxLength(int value) {
      maxLength = value;
      return this;
    }

    /** Sets what happens to longer examples. */
    public Builder lengthPolicy(LengthPolicy value) {
      lengthPolicy = value;
      return this;
    }

    /**
     * Sets which of the assistant's turns of a conversation are learned if the data does not say.
     */
    public Builder learnedTurns(LearnedTurns value) {
      learnedTurns = value;
      return this;
    }

    /**
     * Sets the number of steps between validations, after which the best weights are kept; 0:
     * never.
     */
    public Builder validateEvery(int value) {
      validateEvery = value;
      return this;
    }

    /** Sets the most validation examples used of each task. */
    public Builder validationExamples(int value) {
      validationExamples = value;
      return this;
    }

    /**
     * Sets the number of validations without improvement after which an adapter stops training; 0:
     * never.
     */
    public Builder patience(int value) {
      patience = value;
      return this;
    }

    /** Sets the number of steps between checkpoints; 0: only when cancelled and after stages. */
    public Builder checkpointEvery(int value) {
      checkpointEvery = value;
      return this;
    }

    /** Sets the seed of initial values, data order and dropout. */
    public Builder seed(long value) {
      seed = value;
      return this;
    }

    /** Sets whether activations are recomputed in the backward pass rather than kept. */
    public Builder activationCheckpointing(boolean value) {
      activationCheckpointing = value;
      return this;
    }

    /**
     * Builds the hyperparameters.
     *
     * @throws IllegalArgumentException if a value is not allowed; the message names it
     */
    public Hyperparameters build() {
      return new Hyperparameters(
          learningRate,
          beta1,
          beta2,
          epsilon,
          weightDecay,
          epochs,
          examplesPerStep,
          tokensPerPass,
          maxGradientNorm,
          schedule,
          optimizer,
          maxLength,
          lengthPolicy,
          learnedTurns,
          validateEvery,
          validationExamples,
          patience,
          checkpointEvery,
          seed,
          activationCheckpointing);
    }
  }

  /** Returns a builder with these values. */
  public Builder toBuilder() {
    return new Builder(this);
  }

  /**
   * Returns the values that determine the result of a run, as text: a resumed run must have the
   * same. The timing of checkpoints and activation checkpointing do not affect it.
   */
  String fingerprint() {
    return toBuilder().checkpointEvery(0).activationCheckpointing(false).build().toString();
  }
}
