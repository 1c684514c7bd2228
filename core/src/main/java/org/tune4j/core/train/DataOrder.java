package org.tune4j.core.train;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.ToIntFunction;
import org.tune4j.core.data.Shuffles;

/**
 * The examples that a lane is trained on, in order: those of each task in shuffled rounds, so that
 * each is drawn once before any is drawn again, and the tasks mixed at random. It depends only on
 * the seed, the stage's index and the lane's own tasks, so that a lane draws the same examples
 * alone or beside others, and in a resumed run.
 */
final class DataOrder {
  private final List<String> tasks;
  private final int[] task; // index in tasks of each draw
  private final int[] example; // index in the task's examples of each draw

  private DataOrder(List<String> tasks, int[] task, int[] example) {
    this.tasks = tasks;
    this.task = task;
    this.example = example;
  }

  /**
   * Draws examples.
   *
   * @param draws how many examples to draw of each task
   * @param sizes how many examples a task has
   * @param stage index of the stage
   */
  static DataOrder of(
      Map<String, Integer> draws, ToIntFunction<String> sizes, long seed, int stage) {
    List<String> tasks = List.copyOf(draws.keySet());
    int[][] picks = new int[tasks.size()][];
    int[] mixed = new int[Math.toIntExact(draws.values().stream().mapToLong(n -> n).sum())];
    long mixing = seed;
    int at = 0;
    for (int t = 0; t < picks.length; t++) {
      String name = tasks.get(t);
      int count = draws.get(name);
      Random random = new Random((seed * 31 + name.hashCode()) * 31 + stage);
      picks[t] = drawnInRounds(sizes.applyAsInt(name), count, random);
      Arrays.fill(mixed, at, at + count, t);
      at += count;
      mixing = mixing * 31 + name.hashCode();
    }
    Shuffles.shuffle(mixed, new Random(mixing * 31 + stage));
    int[] next = new int[picks.length];
    int[] example = new int[mixed.length];
    for (int i = 0; i < mixed.length; i++) {
      example[i] = picks[mixed[i]][next[mixed[i]]++];
    }
    return new DataOrder(tasks, mixed, example);
  }

  private static int[] drawnInRounds(int size, int count, Random random) {
    int[] drawn = new int[count];
    for (int from = 0; from < count; from += size) {
      int[] round = Shuffles.numbers(size, random);
      System.arraycopy(round, 0, drawn, from, Math.min(size, count - from));
    }
    return drawn;
  }

  /** Returns the number of draws. */
  int size() {
    return task.length;
  }

  /** Returns the task of a draw. */
  String task(int draw) {
    return tasks.get(task[draw]);
  }

  /** Returns the index of the drawn example in its task. */
  int example(int draw) {
    return example[draw];
  }
}
