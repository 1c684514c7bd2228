package org.tune4j.examples;

import java.util.Locale;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.LearningRateSchedule;
import picocli.CommandLine.Option;

final class TrainingOptions {
  /** The shape of the learning rate after its warm-up. */
  enum Schedule {
    COSINE,
    LINEAR,
    CONSTANT
  }

  @Option(
      names = "--learning-rate",
      paramLabel = "X",
      defaultValue = "1e-3",
      description = "Base learning rate of AdamW.")
  private double learningRate;

  @Option(
      names = "--schedule",
      paramLabel = "NAME",
      defaultValue = "COSINE",
      description = "Learning rate after its linear warm-up: ${COMPLETION-CANDIDATES}.")
  private Schedule schedule;

  @Option(
      names = "--warmup",
      paramLabel = "SHARE",
      defaultValue = "0.05",
      description = "Share of a stage's steps in the warm-up of the learning rate.")
  private double warmup;

  @Option(
      names = "--weight-decay",
      paramLabel = "X",
      defaultValue = "0",
      description = "Decoupled weight decay of AdamW.")
  private double weightDecay;

  @Option(
      names = "--clip",
      paramLabel = "X",
      defaultValue = "1",
      description = "Maximum gradient norm of each adapter, enforced by clipping.")
  private double clip;

  @Option(
      names = "--epochs",
      paramLabel = "X",
      defaultValue = "1",
      description = "Passes over the training examples; may be a fraction.")
  private double epochs;

  @Option(
      names = "--batch",
      paramLabel = "N",
      defaultValue = "16",
      description = "Examples per optimizer step, for each adapter in training.")
  private int batch;

  @Option(
      names = "--tokens-per-pass",
      paramLabel = "N",
      defaultValue = "4096",
      description =
          "Maximum tokens per pass; a larger step runs in several passes. Limits memory use.")
  private int tokensPerPass;

  @Option(
      names = "--recompute",
      description = "Recompute activations in the backward pass: less memory, more time.")
  private boolean recompute;

  @Option(
      names = "--max-length",
      paramLabel = "N",
      defaultValue = "512",
      description = "Maximum number of tokens of an example.")
  private int maxLength;

  @Option(
      names = "--too-long",
      paramLabel = "NAME",
      defaultValue = "TRUNCATE_PROMPT",
      description = "What happens to longer examples: ${COMPLETION-CANDIDATES}.")
  private LengthPolicy tooLong;

  @Option(
      names = "--learn-turns",
      paramLabel = "NAME",
      defaultValue = "ALL",
      description =
          "Which assistant turns of a conversation are learned, unless the data specifies it: ${COMPLETION-CANDIDATES}.")
  private LearnedTurns learnedTurns;

  @Option(
      names = "--validate-every",
      paramLabel = "STEPS",
      defaultValue = "0",
      description =
          "Measure the validation loss at this interval and keep the best adapter; 0: never.")
  private int validateEvery;

  @Option(
      names = "--patience",
      paramLabel = "N",
      defaultValue = "0",
      description = "Stop training an adapter after N validations without improvement; 0: never.")
  private int patience;

  @Option(
      names = "--checkpoint-every",
      paramLabel = "STEPS",
      defaultValue = "100",
      description =
          "Write a checkpoint at this interval; 0: only between stages and when interrupted.")
  private int checkpointEvery;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "0",
      description = "Seed of the initial values, data order and dropout.")
  private long seed;

  Hyperparameters hyperparameters() {
    LearningRateSchedule shape =
        switch (schedule) {
          case COSINE -> LearningRateSchedule.cosine(warmup);
          case LINEAR -> LearningRateSchedule.linear(warmup);
          case CONSTANT -> LearningRateSchedule.constant(warmup);
        };
    return Hyperparameters.builder()
        .learningRate(learningRate)
        .schedule(schedule.name().toLowerCase(Locale.ROOT) + " " + warmup, shape)
        .weightDecay(weightDecay)
        .maxGradientNorm(clip)
        .epochs(epochs)
        .examplesPerStep(batch)
        .tokensPerPass(tokensPerPass)
        .activationCheckpointing(recompute)
        .maxLength(maxLength)
        .lengthPolicy(tooLong)
        .learnedTurns(learnedTurns)
        .validateEvery(validateEvery)
        .patience(patience)
        .checkpointEvery(checkpointEvery)
        .seed(seed)
        .build();
  }
}
