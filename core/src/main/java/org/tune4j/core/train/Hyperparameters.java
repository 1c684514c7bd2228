package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import org.nd4j.linalg.learning.config.IUpdater;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;

/**
 * How training goes. The defaults suit rank-8 adapters on small instruction-like data: AdamW at
 * 1e-3 with 5 % warm-up and cosine decay, 16 examples a step, one epoch, clipping at 1, a
 * checkpoint every 100 steps.
 */
public final class Hyperparameters {
  private final Builder b;

  private Hyperparameters(Builder b) {
    checkArgument(
        b.learningRate > 0 && Double.isFinite(b.learningRate),
        "learning rate is %s; it must be positive",
        b.learningRate);
    checkArgument(
        b.beta1 >= 0 && b.beta1 < 1 && b.beta2 >= 0 && b.beta2 < 1,
        "betas are %s and %s; they must be in [0, 1)",
        b.beta1,
        b.beta2);
    checkArgument(b.epsilon > 0, "epsilon is %s; it must be positive", b.epsilon);
    checkArgument(
        b.epochs > 0 && Double.isFinite(b.epochs), "epochs is %s; it must be positive", b.epochs);
    checkArgument(
        b.examplesPerStep > 0, "examples per step is %s; it must be at least 1", b.examplesPerStep);
    checkArgument(
        b.tokensPerPass >= 32, "tokens per pass is %s; it must be at least 32", b.tokensPerPass);
    checkArgument(
        b.maxGradientNorm > 0,
        "maximum gradient norm is %s; it must be positive",
        b.maxGradientNorm);
    checkArgument(b.weightDecay >= 0, "weight decay is %s; it must not be negative", b.weightDecay);
    checkArgument(b.maxLength >= 2, "maximum length is %s; it must be at least 2", b.maxLength);
    checkArgument(
        b.validateEvery >= 0, "validateEvery is %s; it must not be negative", b.validateEvery);
    checkArgument(
        b.validationExamples > 0,
        "validation examples is %s; it must be at least 1",
        b.validationExamples);
    checkArgument(
        b.checkpointEvery >= 0,
        "checkpointEvery is %s; it must not be negative",
        b.checkpointEvery);
    checkArgument(b.patience >= 0, "patience is %s; it must not be negative", b.patience);
    checkArgument(
        b.patience == 0 || b.validateEvery > 0,
        "patience is %s, but validateEvery is 0: early stopping needs validation",
        b.patience);
    this.b = b;
  }

  /** Returns the defaults. */
  public static Hyperparameters defaults() {
    return builder().build();
  }

  /** Returns a builder. */
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

    /** Sets the examples of an optimizer step, for each adapter in training. */
    public Builder examplesPerStep(int value) {
      examplesPerStep = value;
      return this;
    }

    /**
     * Sets the most tokens run at once: a step with more is run in several passes whose gradients
     * add up.
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
     * Sets the learning-rate schedule, one of those that {@link LearningRateSchedule} makes.
     *
     * @throws IllegalArgumentException if it is another: give it a name
     */
    public Builder schedule(LearningRateSchedule value) {
      checkArgument(
          value instanceof LearningRateSchedule.Named,
          "a schedule of your own needs a name: schedule(name, schedule)");
      schedule = value;
      return this;
    }

    /** Sets a learning-rate schedule of your own; resuming a run asks for the same name. */
    public Builder schedule(String name, LearningRateSchedule value) {
      schedule = new LearningRateSchedule.Named(name, value);
      return this;
    }

    /**
     * Replaces AdamW by an ND4J updater and takes over its learning rate, if it has one, to which
     * the schedule applies. Weight decay stays decoupled.
     *
     * @throws IllegalArgumentException if it has a schedule of its own
     */
    public Builder updater(IUpdater value) {
      if (value.hasLearningRate()) {
        double rate = value.getLearningRate(0, 0);
        for (int step = 1; step <= 100_000; step *= 10) {
          checkArgument(
              value.getLearningRate(step, step) == rate,
              "%s has a schedule of its own; pass that to schedule(LearningRateSchedule.of(…)) instead",
              value);
        }
        learningRate = rate;
      }
      return optimizer(new Nd4jUpdater.Factory(value.clone()));
    }

    /** Replaces AdamW by an optimizer of your own; resuming a run asks for one of the same name. */
    public Builder optimizer(Optimizer.Factory value) {
      optimizer = value;
      return this;
    }

    /** Sets the most tokens of an example. */
    public Builder maxLength(int value) {
      maxLength = value;
      return this;
    }

    /** Sets what happens to longer ones. */
    public Builder lengthPolicy(LengthPolicy value) {
      lengthPolicy = value;
      return this;
    }

    /**
     * Sets which of the assistant's turns of a conversation are learned, where the data does not
     * say so turn by turn.
     */
    public Builder learnedTurns(LearnedTurns value) {
      learnedTurns = value;
      return this;
    }

    /**
     * Sets after how many steps the validation loss is measured, and the best adapter kept; 0:
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

    /** Sets after how many validations without improvement an adapter stops training; 0: never. */
    public Builder patience(int value) {
      patience = value;
      return this;
    }

    /**
     * Sets after how many steps a checkpoint is written; 0: only when cancelled and after stages.
     */
    public Builder checkpointEvery(int value) {
      checkpointEvery = value;
      return this;
    }

    /** Sets the seed of initial values, data order and dropout. */
    public Builder seed(long value) {
      seed = value;
      return this;
    }

    /** Sets whether activations are computed again in the backward pass rather than kept. */
    public Builder activationCheckpointing(boolean value) {
      activationCheckpointing = value;
      return this;
    }

    /**
     * Returns the hyperparameters.
     *
     * @throws IllegalArgumentException if a value is not allowed; the message names it
     */
    public Hyperparameters build() {
      return new Hyperparameters(copy());
    }

    private Builder copy() {
      Builder c = new Builder();
      c.learningRate = learningRate;
      c.beta1 = beta1;
      c.beta2 = beta2;
      c.epsilon = epsilon;
      c.weightDecay = weightDecay;
      c.epochs = epochs;
      c.examplesPerStep = examplesPerStep;
      c.tokensPerPass = tokensPerPass;
      c.maxGradientNorm = maxGradientNorm;
      c.schedule = schedule;
      c.optimizer = optimizer;
      c.maxLength = maxLength;
      c.lengthPolicy = lengthPolicy;
      c.learnedTurns = learnedTurns;
      c.validateEvery = validateEvery;
      c.validationExamples = validationExamples;
      c.patience = patience;
      c.checkpointEvery = checkpointEvery;
      c.seed = seed;
      c.activationCheckpointing = activationCheckpointing;
      return c;
    }
  }

  /** Returns a builder with these values. */
  public Builder toBuilder() {
    return b.copy();
  }

  /** Returns the base learning rate. */
  public double learningRate() {
    return b.learningRate;
  }

  /** Returns AdamW's first beta. */
  public double beta1() {
    return b.beta1;
  }

  /** Returns AdamW's second beta. */
  public double beta2() {
    return b.beta2;
  }

  /** Returns AdamW's epsilon. */
  public double epsilon() {
    return b.epsilon;
  }

  /** Returns the weight decay. */
  public double weightDecay() {
    return b.weightDecay;
  }

  /** Returns the epochs. */
  public double epochs() {
    return b.epochs;
  }

  /** Returns the examples of a step. */
  public int examplesPerStep() {
    return b.examplesPerStep;
  }

  /** Returns the tokens of a pass. */
  public int tokensPerPass() {
    return b.tokensPerPass;
  }

  /** Returns the norm to clip to. */
  public double maxGradientNorm() {
    return b.maxGradientNorm;
  }

  /** Returns the schedule. */
  public LearningRateSchedule schedule() {
    return b.schedule;
  }

  /** Returns what makes the optimizers. */
  public Optimizer.Factory optimizer() {
    return b.optimizer;
  }

  /** Returns the most tokens of an example. */
  public int maxLength() {
    return b.maxLength;
  }

  /** Returns the length policy. */
  public LengthPolicy lengthPolicy() {
    return b.lengthPolicy;
  }

  /** Returns which turns of a conversation are learned. */
  public LearnedTurns learnedTurns() {
    return b.learnedTurns;
  }

  /** Returns the steps between validations. */
  public int validateEvery() {
    return b.validateEvery;
  }

  /** Returns the most validation examples of a task. */
  public int validationExamples() {
    return b.validationExamples;
  }

  /** Returns the patience. */
  public int patience() {
    return b.patience;
  }

  /** Returns the steps between checkpoints. */
  public int checkpointEvery() {
    return b.checkpointEvery;
  }

  /** Returns the seed. */
  public long seed() {
    return b.seed;
  }

  /** Returns whether activations are computed again. */
  public boolean activationCheckpointing() {
    return b.activationCheckpointing;
  }

  /** Returns what determines a run, as text: a resumed run must have the same. */
  String fingerprint() {
    return "lr=%s betas=%s,%s eps=%s decay=%s epochs=%s examples=%s tokens=%s clip=%s schedule=%s optimizer=%s length=%s/%s turns=%s validate=%s/%s patience=%s seed=%s"
        .formatted(
            b.learningRate,
            b.beta1,
            b.beta2,
            b.epsilon,
            b.weightDecay,
            b.epochs,
            b.examplesPerStep,
            b.tokensPerPass,
            b.maxGradientNorm,
            b.schedule,
            b.optimizer,
            b.maxLength,
            b.lengthPolicy,
            b.learnedTurns,
            b.validateEvery,
            b.validationExamples,
            b.patience,
            b.seed);
  }

  /** Returns the values that determine a run. */
  @Override
  public String toString() {
    return fingerprint();
  }
}
