package org.tune4j.core.train;

import java.util.Map;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.progress.ProgressListener;

/**
 * Is told what training brings forth, on the training thread, between steps: evaluation of the
 * model is allowed. How far it is, is {@linkplain #onProgress progress}: of the encoding, before
 * training begins, and of each stage's steps. A run that is cancelled or fails while examples are
 * encoded goes from {@link #onProgress} to {@link #onEnd}.
 */
public interface TrainingListener extends ProgressListener {
  @Override
  default void onProgress(Progress progress) {}

  /** Training begins. */
  default void onStart(TrainingPlan plan, Map<String, EncodingReport> encoded) {}

  /** A stage begins. */
  default void onStageStart(Stage stage, int index, int steps) {}

  /** A step is done; unless overridden, it is told as {@linkplain #onProgress progress}. */
  default void onStep(StepRecord step) {
    onProgress(
        new Progress("training " + step.stage(), step.step(), step.steps(), Progress.Unit.STEPS));
  }

  /** Validation losses were measured: nats per learned token, by task. */
  default void onValidation(Stage stage, int step, Map<String, Double> lossByTask) {}

  /** A stage is done and its adapters are saved. */
  default void onStageEnd(StageResult result) {}

  /** All is done, cancelled, or failed (then {@code onEnd} is the last call all the same). */
  default void onEnd() {}
}
