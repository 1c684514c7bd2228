package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkState;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.io.FileNames;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StageResult;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.core.train.TrainingPlan;

/**
 * Evaluates every task on its validation split after every stage of training, with the adapters
 * that serve it at that point, for a {@link StageMatrix}.
 *
 * <pre>{@code
 * StageMatrixListener stages = StageMatrixListener.of(Evaluator.of(model), tasks);
 * FineTuner.of(model).tasks(tasks).strategy(Sequential.inOrder()).listener(stages).run();
 * System.out.println(stages.matrix());
 * }</pre>
 *
 * <p>Use a listener for one run only. If the run may be resumed, set {@link #keepIn}: completed
 * stages are not trained again and so cannot be evaluated again.
 */
public final class StageMatrixListener implements TrainingListener {
  private final Evaluator evaluator;
  private final ImmutableList<Task> tasks;
  private Optional<ImmutableMap<String, Evaluation>> untuned = Optional.empty();
  private Optional<Path> directory = Optional.empty();
  private TrainingPlan plan;
  private final List<ImmutableMap<String, Evaluation>> stages = new ArrayList<>();

  /** The file of a stage. */
  record Kept(String settings, ImmutableMap<String, Evaluation> evaluations) {}

  private StageMatrixListener(Evaluator evaluator, List<Task> tasks) {
    this.evaluator = evaluator;
    this.tasks = ImmutableList.copyOf(tasks);
  }

  /**
   * Returns a listener for one run.
   *
   * @param tasks the tasks to evaluate, all of which the run must train
   */
  public static StageMatrixListener of(Evaluator evaluator, List<Task> tasks) {
    return new StageMatrixListener(evaluator, tasks);
  }

  /**
   * Sets the untuned model's evaluations, by task; otherwise it is evaluated when training starts.
   */
  public StageMatrixListener untuned(Map<String, Evaluation> value) {
    untuned = Optional.of(ImmutableMap.copyOf(value));
    return this;
  }

  /** Saves the evaluations in a directory, one file per stage, for a resumed run. */
  public StageMatrixListener keepIn(Path value) {
    directory = Optional.of(value);
    return this;
  }

  @Override
  public void onStart(TrainingPlan plan, Map<String, EncodingReport> encoded) {
    this.plan = plan;
    stages.clear();
    if (untuned.isEmpty()) {
      untuned =
          Optional.of(evaluator.evaluateAll(tasks, Split.VALIDATION, t -> ImmutableList.of()));
    }
  }

  @Override
  public void onStageStart(Stage stage, int index, int steps) {
    loadUpTo(index);
  }

  /** Loads the evaluations of stages before {@code count} that an earlier run saved. */
  void loadUpTo(int count) {
    while (stages.size() < count) {
      stages.add(load(stages.size()));
    }
  }

  @Override
  public void onStageEnd(StageResult result) {
    ImmutableMap<String, Evaluation> evaluations =
        evaluator.evaluateAll(
            tasks, Split.VALIDATION, t -> result.serving().getOrDefault(t, ImmutableList.of()));
    if (directory.isPresent()) {
      try {
        Json.write(file(result.index()), new Kept(evaluator.toString(), evaluations));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    stages.add(evaluations);
  }

  private Path file(int index) {
    return directory
        .orElseThrow()
        .resolve((index + 1) + "-" + FileNames.of(plan.stages().get(index).name()) + ".json");
  }

  private ImmutableMap<String, Evaluation> load(int index) {
    checkState(
        directory.isPresent() && Files.exists(file(index)),
        "stage '%s' ended in an earlier run, and its evaluations were not kept",
        plan.stages().get(index).name());
    try {
      Kept saved = Json.read(file(index), Kept.class);
      checkState(
          saved.settings().equals(evaluator.toString()),
          "%s was evaluated with other settings: %s; now they are %s",
          file(index),
          saved.settings(),
          evaluator);
      return saved.evaluations();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns the untuned model's evaluations, by task. */
  public ImmutableMap<String, Evaluation> untuned() {
    return untuned.orElseThrow(() -> new IllegalStateException("training has not started"));
  }

  /** Returns the evaluations after each completed stage, by task. */
  public ImmutableList<ImmutableMap<String, Evaluation>> evaluations() {
    return ImmutableList.copyOf(stages);
  }

  /**
   * Returns the matrix of the completed stages.
   *
   * @throws IllegalStateException if not all tasks were trained in them yet
   */
  public StageMatrix matrix() {
    List<Stage> ended = plan == null ? List.of() : plan.stages().subList(0, stages.size());
    List<String> names = tasks.stream().map(Task::name).toList();
    for (String task : names) {
      checkState(
          ended.stream().anyMatch(s -> s.examples().containsKey(task)),
          "no stage that trains task '%s' has ended",
          task);
    }
    ImmutableList.Builder<ImmutableList<Double>> scores = ImmutableList.builder();
    stages.forEach(evaluations -> scores.add(row(evaluations)));
    return new StageMatrix(
        ended.stream().map(Stage::name).collect(ImmutableList.toImmutableList()),
        ImmutableList.copyOf(names),
        StageMatrix.learnedIn(ended, names),
        row(untuned()),
        scores.build());
  }

  private ImmutableList<Double> row(Map<String, Evaluation> evaluations) {
    return tasks.stream()
        .map(t -> evaluations.get(t.name()).score())
        .collect(ImmutableList.toImmutableList());
  }
}
