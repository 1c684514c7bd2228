package org.tune4j.core.train;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.ToIntFunction;
import org.tune4j.core.data.Shuffles;

/**
 * Which examples a lane is trained on, and in which order: of each task in shuffled rounds, each
 * once before any again, and the tasks mixed at random. It follows from the seed, the stage's index
 * and the lane's own tasks, so that a lane draws what it would draw alone, and a resumed run what
 * the first one drew.
 */
final class DataOrder {
  private final List<String> tasks;
  private final int[] task; // of each draw, its index in tasks
  private final int[] example; // of each draw, its index in the task's examples

  private DataOrder(List<String> tasks, int[] task, int[] example) {
    this.tasks = tasks;
    this.task = task;
    this.example = example;
  }

  /**
   * Draws.
   *
   * @param draws how many examples of each task
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

  /** Returns how many examples are drawn. */
  int size() {
    return task.length;
  }

  /** Returns the task of a draw. */
  String task(int draw) {
    return tasks.get(task[draw]);
  }

  /** Returns which of its task's examples is drawn. */
  int example(int draw) {
    return example[draw];
  }
}
