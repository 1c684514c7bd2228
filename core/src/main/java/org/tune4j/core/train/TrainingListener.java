package org.tune4j.core.train;

import java.util.Map;
import org.tune4j.core.data.EncodingReport;

/**
 * Is told how training goes, on the training thread, between steps: evaluation of the model is
 * allowed. A run that is cancelled or fails while examples are encoded goes from {@link
 * #onEncoding} to {@link #onEnd}.
 */
public interface TrainingListener {
  /**
   * Examples are being encoded, before training begins: {@code done} of {@code total} of a task's
   * training and validation examples, told every few hundred or seconds.
   */
  default void onEncoding(String task, int done, int total) {}

  /** Training begins. */
  default void onStart(TrainingPlan plan, Map<String, EncodingReport> encoded) {}

  /** A stage begins. */
  default void onStageStart(Stage stage, int index, int steps) {}

  /** A step is done. */
  default void onStep(StepRecord step) {}

  /** Validation losses were measured: nats per learned token, by task. */
  default void onValidation(Stage stage, int step, Map<String, Double> lossByTask) {}

  /** A stage is done and its adapters are saved. */
  default void onStageEnd(StageResult result) {}

  /** All is done, cancelled, or failed (then {@code onEnd} is the last call all the same). */
  default void onEnd() {}
}
