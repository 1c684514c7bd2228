package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.model.Adapter;

/**
 * A run that ended.
 *
 * @param plan what was done
 * @param completed whether it ran to its end rather than being cancelled
 * @param stages those that ended
 * @param steps every step, in order
 * @param adapters all adapters by name, frozen; the caller closes them
 * @param encoded what encoding did to each task's training split
 * @param seconds of training, without validation and saving
 * @param peakBytes most memory held outside the heap
 */
public record TrainingResult(
    TrainingPlan plan,
    boolean completed,
    ImmutableList<StageResult> stages,
    ImmutableList<StepRecord> steps,
    ImmutableMap<String, Adapter> adapters,
    ImmutableMap<String, EncodingReport> encoded,
    double seconds,
    long peakBytes) {
  /** Returns the tokens trained on. */
  public long tokens() {
    return steps.stream().mapToLong(StepRecord::tokens).sum();
  }

  /** Returns the examples trained on. */
  public long examples() {
    return steps.stream().mapToLong(StepRecord::examples).sum();
  }
}
