package org.tune4j.strategies;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.train.GradientHook;
import org.tune4j.core.train.StageResult;
import org.tune4j.core.train.Trainer;
import org.tune4j.core.train.TrainingResult;

/**
 * The result of fine-tuning. Closing it frees the adapters, and with {@link Sequential#merging} the
 * model that they belong to; files and the base model stay.
 *
 * @param model the given base model
 * @param training results of all stages and steps
 * @param output the directory with the adapters in PEFT's format
 */
public record FineTuningResult(AdaptableModel model, TrainingResult training, Path output)
    implements AutoCloseable {
  /**
   * Returns the final adapters for a task, applied in order; empty if the base model serves it
   * alone because nothing that was trained gained. Use them with {@link #model()}; with {@link
   * Sequential#merging} they run on the merged weights that they belong to.
   *
   * @throws IllegalArgumentException if nothing was trained for a task of that name
   */
  public ImmutableList<Adapter> adaptersFor(String task) {
    ImmutableMap<String, ImmutableList<Adapter>> serving = last().serving();
    ImmutableList<Adapter> adapters = serving.get(task);
    if (adapters == null) {
      throw new IllegalArgumentException(
          "no task is named '%s'; there are %s".formatted(task, serving.keySet()));
    }
    return adapters;
  }

  /**
   * Returns the directories in which the adapters of {@link #adaptersFor} are saved after completed
   * training, in the same order. With {@link Sequential#merging} their base is the model in {@link
   * #baseDirectory}.
   */
  public ImmutableList<Path> directoriesFor(String task) {
    return adaptersFor(task).stream()
        .map(a -> Trainer.adapterDirectory(output, a.name()))
        .collect(ImmutableList.toImmutableList());
  }

  /**
   * Returns the directory of the base model for {@link #directoriesFor}: with {@link
   * Sequential#merging} the one with the earlier adapters merged, otherwise the given base; empty
   * if that has no files.
   */
  public Optional<Path> baseDirectory() {
    return training.merged().map(AdaptableModel::source).orElseGet(model::source);
  }

  /**
   * Returns the directory in which the adapter that a task trained was saved after the task's first
   * stage, before later stages changed it.
   */
  public Path savedAfterOwnStage(String task) {
    for (StageResult s : training.stages()) {
      String adapter = s.stage().routes().get(task);
      if (adapter != null) {
        return s.saved().get(adapter);
      }
    }
    throw new IllegalArgumentException("no stage trained a task named '" + task + "'");
  }

  private StageResult last() {
    if (training.stages().isEmpty()) {
      throw new IllegalStateException(
          "training was cancelled before its first stage ended; resume it");
    }
    return training.stages().get(training.stages().size() - 1);
  }

  /** Returns whether training was completed rather than cancelled. */
  public boolean completed() {
    return training.completed();
  }

  /**
   * Returns statistics on conflicting gradients, for every pair of tasks that were in a step
   * together; empty without {@link MultiTask#gradientSurgery}.
   */
  public ImmutableList<TaskConflict> conflicts() {
    Map<List<String>, Map<String, Double>> pairs = new LinkedHashMap<>();
    for (GradientHook.Figure f : figures(GradientSurgery.NAME)) {
      pairs.computeIfAbsent(f.tasks(), t -> new LinkedHashMap<>()).put(f.name(), f.value());
    }
    return pairs.entrySet().stream()
        .map(
            pair ->
                new TaskConflict(
                    pair.getKey().get(0),
                    pair.getKey().get(1),
                    pair.getValue().get(GradientSurgery.STEPS).longValue(),
                    pair.getValue().get(GradientSurgery.CONFLICTS),
                    pair.getValue().get(GradientSurgery.COSINE)))
        .collect(ImmutableList.toImmutableList());
  }

  /**
   * Returns the final weight of each task's loss, by name; empty without {@link
   * MultiTask#uncertaintyWeighting}.
   */
  public ImmutableMap<String, Double> taskWeights() {
    return figures(UncertaintyWeighting.NAME).stream()
        .collect(ImmutableMap.toImmutableMap(f -> f.tasks().get(0), GradientHook.Figure::value));
  }

  private List<GradientHook.Figure> figures(String hook) {
    return training.figures().stream()
        .filter(f -> f.hook().equals(hook))
        .flatMap(f -> f.figures().stream())
        .toList();
  }

  /** Returns the size of all adapters' parameters in F32, as saved, in bytes. */
  public long adapterBytes() {
    return training.adapters().values().stream().mapToLong(a -> 4L * a.parameters().size()).sum();
  }

  @Override
  public void close() {
    training.close();
  }
}
