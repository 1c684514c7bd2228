package org.tune4j.eval;

import static com.google.common.base.Preconditions.checkArgument;

import com.google.common.collect.ImmutableList;
import java.util.List;
import java.util.Locale;
import java.util.function.IntPredicate;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import org.tune4j.core.train.Stage;

/**
 * The score of every task after every stage of training, with the metrics of continual learning.
 *
 * <p>{@code R[i][j]} is the score of task {@code j} after stage {@code i}, {@code b[j]} its score
 * before any training, {@code T} the last stage, and {@code l(j)} the stage in which task {@code j}
 * is first trained; in the literature each task has its own stage, so that {@code l(j) = j}. If all
 * tasks are trained in one stage, both kinds of transfer and forgetting are 0.
 *
 * @param stages names of the stages, in order
 * @param tasks names of the tasks
 * @param learnedIn for each task the index of the stage that first trains it
 * @param untuned {@code b}: for each task its score before training
 * @param scores {@code R}: for each stage, the score of each task; higher is better
 */
public record StageMatrix(
    ImmutableList<String> stages,
    ImmutableList<String> tasks,
    ImmutableList<Integer> learnedIn,
    ImmutableList<Double> untuned,
    ImmutableList<ImmutableList<Double>> scores) {
  /** Checks that sizes agree. */
  public StageMatrix {
    checkArgument(!stages.isEmpty() && !tasks.isEmpty(), "a stage matrix needs stages and tasks");
    checkArgument(
        learnedIn.size() == tasks.size() && untuned.size() == tasks.size(),
        "%s tasks, learned in %s stages, %s untuned scores",
        tasks.size(),
        learnedIn.size(),
        untuned.size());
    for (int stage : learnedIn) {
      checkArgument(
          stage >= 0 && stage < stages.size(),
          "a task is learned in stage %s of %s",
          stage,
          stages.size());
    }
    checkArgument(
        scores.size() == stages.size() && scores.stream().allMatch(r -> r.size() == tasks.size()),
        "scores are not of %s stages x %s tasks",
        stages.size(),
        tasks.size());
  }

  /**
   * Returns for each task the index of the first stage that trains it.
   *
   * @throws IllegalArgumentException if no stage trains a task
   */
  public static ImmutableList<Integer> learnedIn(List<Stage> stages, List<String> tasks) {
    ImmutableList.Builder<Integer> all = ImmutableList.builder();
    for (String task : tasks) {
      int first =
          IntStream.range(0, stages.size())
              .filter(i -> stages.get(i).examples().containsKey(task))
              .findFirst()
              .orElse(-1);
      checkArgument(first >= 0, "no stage trains task '%s'", task);
      all.add(first);
    }
    return all.build();
  }

  /** Returns {@code R[stage][task]}. */
  public double score(int stage, int task) {
    return scores.get(stage).get(task);
  }

  /** Returns the scores of all tasks after the last stage. */
  public ImmutableList<Double> last() {
    return scores.get(stages.size() - 1);
  }

  /**
   * Returns the average score after the last stage (ACC of Lopez-Paz &amp; Ranzato 2017, section
   * 2): mean over all tasks of {@code R[T][j]}.
   */
  public double averageAccuracy() {
    return mean(j -> true, j -> last().get(j));
  }

  /**
   * Returns backward transfer (Lopez-Paz &amp; Ranzato 2017, section 2): mean over the tasks first
   * trained before the last stage of {@code R[T][j] - R[l(j)][j]}. Negative if later training
   * harmed them; 0 if there are none.
   */
  public double backwardTransfer() {
    return mean(this::learnedEarlier, j -> last().get(j) - score(learnedIn.get(j), j));
  }

  /**
   * Returns forward transfer (Lopez-Paz &amp; Ranzato 2017, section 2): mean over the tasks first
   * trained after the first stage of {@code R[l(j) - 1][j] - b[j]}, where {@code b} is the untuned
   * model. Positive if the training of other tasks helped them; 0 if there are none.
   */
  public double forwardTransfer() {
    return mean(j -> learnedIn.get(j) > 0, j -> score(learnedIn.get(j) - 1, j) - untuned.get(j));
  }

  /**
   * Returns forgetting (Chaudhry et al. 2018, section 3): mean over the tasks first trained before
   * the last stage of {@code max over i < T of R[i][j], less R[T][j]}. Negative if tasks are better
   * in the end than ever before; 0 if there are none.
   */
  public double forgetting() {
    return mean(
        this::learnedEarlier,
        j ->
            IntStream.range(0, stages.size() - 1).mapToDouble(i -> score(i, j)).max().orElseThrow()
                - last().get(j));
  }

  private boolean learnedEarlier(int task) {
    return learnedIn.get(task) < stages.size() - 1;
  }

  private double mean(IntPredicate which, IntToDoubleFunction value) {
    return IntStream.range(0, tasks.size()).filter(which).mapToDouble(value).average().orElse(0);
  }

  /** Returns the matrix as a table with one line per stage, and the aggregates below it. */
  @Override
  public String toString() {
    TextTable table = new TextTable("after");
    tasks.forEach(table::right);
    table.row("(untuned)");
    untuned.forEach(s -> table.cell("%.3f", s));
    for (int i = 0; i < stages.size(); i++) {
      table.row(stages.get(i));
      scores.get(i).forEach(s -> table.cell("%.3f", s));
    }
    return table
        + String.format(
            Locale.ROOT,
            "average %.3f, backward transfer %+.3f, forward transfer %+.3f, forgetting %.3f%n",
            averageAccuracy(),
            backwardTransfer(),
            forwardTransfer(),
            forgetting());
  }
}
