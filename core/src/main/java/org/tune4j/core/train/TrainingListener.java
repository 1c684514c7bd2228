package org.tune4j.core.train;

import java.util.Map;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.progress.ProgressListener;

/**
 * Receives events of training, on the training thread, between steps; it may evaluate the model.
 * {@linkplain #onProgress Progress} is reported for encoding, before training starts, and for each
 * stage's steps. If a run is cancelled or fails during encoding, {@link #onEnd} follows {@link
 * #onProgress} directly.
 */
public interface TrainingListener extends ProgressListener {
  @Override
  default void onProgress(Progress progress) {}

  /** Training starts. */
  default void onStart(TrainingPlan plan, Map<String, EncodingReport> encoded) {}

  /** A stage starts. */
  default void onStageStart(Stage stage, int index, int steps) {}

  /** A step is done; by default reported as {@linkplain #onProgress progress}. */
  default void onStep(StepRecord step) {
    onProgress(
        new Progress("training " + step.stage(), step.step(), step.steps(), Progress.Unit.STEPS));
  }

  /** Validation losses were measured: nats per learned token, by task. */
  default void onValidation(Stage stage, int step, Map<String, Double> lossByTask) {}

  /** A stage is done and its adapters are saved. */
  default void onStageEnd(StageResult result) {}

  /** The run has completed, was cancelled, or failed; always the last call. */
  default void onEnd() {}
}
