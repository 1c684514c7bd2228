package org.tune4j.core.train;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Optional;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;

/**
 * The result of a run.
 *
 * @param plan the executed plan
 * @param completed whether it was completed rather than cancelled
 * @param stages results of the completed stages
 * @param log every step, in order, in a file of the output directory
 * @param adapters all adapters by name, frozen
 * @param encoded result of encoding each task's training split
 * @param examples number of examples trained on
 * @param tokens number of tokens trained on
 * @param seconds of training, without validation and saving
 * @param peakBytes peak off-heap memory: the model's weights, trained parameters with their state,
 *     and the arena of the largest step, without unused reserves of the engine
 * @param figures reported by gradient hooks, also if the run was cancelled
 * @param merged the run's own model with earlier adapters merged, to which the adapters of the last
 *     stage belong; empty if the plan merges none
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
   * Returns every step, in order, by reading all of {@link #log}.
   *
   * @throws java.io.UncheckedIOException if the file was removed or altered
   */
  public ImmutableList<StepRecord> steps() {
    return log.list();
  }

  /** Frees the adapters and the run's own model; files and the given model stay. */
  @Override
  public void close() {
    adapters.values().forEach(Adapter::close);
    merged.ifPresent(AdaptableModel::close);
  }
}
