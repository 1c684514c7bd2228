package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Optional;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;

/**
 * A run that ended.
 *
 * @param plan what was done
 * @param completed whether it ran to its end rather than being cancelled
 * @param stages those that ended
 * @param log every step, in order, in a file of the output directory
 * @param adapters all adapters by name, frozen
 * @param encoded what encoding did to each task's training split
 * @param examples trained on
 * @param tokens trained on
 * @param seconds of training, without validation and saving
 * @param peakBytes most memory used outside the heap at once: the model's weights, what is trained,
 *     and the arena of the largest step; not what the engine has in reserve from before
 * @param figures what gradient hooks found out, also of a run that was cancelled
 * @param merged the run's own model with earlier adapters merged, to which those of the last stage
 *     belong; empty if the plan merged none
 */
public record TrainingResult(
    TrainingPlan plan,
    boolean completed,
    ImmutableList<StageResult> stages,
    StepRecords log,
    ImmutableMap<String, Adapter> adapters,
    ImmutableMap<String, EncodingReport> encoded,
    long examples,
    long tokens,
    double seconds,
    long peakBytes,
    ImmutableList<HookFigures> figures,
    Optional<AdaptableModel> merged)
    implements AutoCloseable {
  /**
   * Returns every step, in order: reads {@link #log}, which can also be read step by step.
   *
   * @throws java.io.UncheckedIOException if the file was removed or altered
   */
  public ImmutableList<StepRecord> steps() {
    return log.list();
  }

  /** Frees the adapters and the run's own model; files, and the model given, stay. */
  @Override
  public void close() {
    adapters.values().forEach(Adapter::close);
    merged.ifPresent(AdaptableModel::close);
  }
}
