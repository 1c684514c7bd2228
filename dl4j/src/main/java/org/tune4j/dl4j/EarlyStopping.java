package org.tune4j.dl4j;

import com.google.common.collect.ImmutableList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.deeplearning4j.earlystopping.termination.EpochTerminationCondition;
import org.deeplearning4j.earlystopping.termination.IterationTerminationCondition;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;

/**
 * DL4J's termination conditions, as what ends a stage of training early. It is both the listener
 * that hears the losses and what the trainer asks:
 *
 * <pre>{@code
 * EarlyStopping stop = EarlyStopping.when(new ScoreImprovementEpochTerminationCondition(3));
 * FineTuner.of(model)….listener(stop).endStage(stop)
 * }</pre>
 *
 * <p>An epoch is a validation ({@code validateEvery} of the hyperparameters), its score the mean of
 * the tasks' validation losses; an iteration is a step, its score the mean of its tasks' losses.
 * Conditions begin anew with each stage, and when a run is resumed. A stage that trains several
 * adapters side by side ends for all of them; an adapter of its own ends by {@code patience}. Each
 * keeps the weights of its best validation. A condition on the number of epochs is better said by
 * the hyperparameters.
 */
public final class EarlyStopping implements TrainingListener, BooleanSupplier {
  private final ImmutableList<EpochTerminationCondition> epochs;
  private final ImmutableList<IterationTerminationCondition> iterations;
  private int validations;
  private Optional<String> ended = Optional.empty();

  private EarlyStopping(
      List<EpochTerminationCondition> epochs, List<IterationTerminationCondition> iterations) {
    this.epochs = ImmutableList.copyOf(epochs);
    this.iterations = ImmutableList.copyOf(iterations);
  }

  /** Returns what ends a stage when any of these conditions says so. */
  public static EarlyStopping when(EpochTerminationCondition... conditions) {
    return new EarlyStopping(Arrays.asList(conditions), List.of());
  }

  /** Returns this with conditions that are asked after each step, too. */
  public EarlyStopping orAtStep(IterationTerminationCondition... conditions) {
    return new EarlyStopping(epochs, Arrays.asList(conditions));
  }

  @Override
  public void onStageStart(Stage stage, int index, int steps) {
    epochs.forEach(EpochTerminationCondition::initialize);
    iterations.forEach(IterationTerminationCondition::initialize);
    validations = 0;
    ended = Optional.empty();
  }

  @Override
  public void onStep(StepRecord step) {
    double score = mean(step.lossByTask());
    for (IterationTerminationCondition c : iterations) {
      if (c.terminate(score)) {
        ended = Optional.of(c.toString());
      }
    }
  }

  @Override
  public void onValidation(Stage stage, int step, Map<String, Double> lossByTask) {
    double score = mean(lossByTask);
    for (EpochTerminationCondition c : epochs) {
      if (c.terminate(validations, score, true)) {
        ended = Optional.of(c.toString());
      }
    }
    validations++;
  }

  private static double mean(Map<String, Double> losses) {
    return losses.values().stream().mapToDouble(d -> d).average().orElse(Double.NaN);
  }

  /** Returns whether a condition has said that the stage is to end. */
  @Override
  public boolean getAsBoolean() {
    return ended.isPresent();
  }

  /** Returns the condition that ended the stage, as DL4J describes it. */
  public Optional<String> reason() {
    return ended;
  }
}
