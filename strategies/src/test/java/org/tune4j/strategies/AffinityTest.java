package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.Collections2;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;

/** Groups and orders that measured affinities choose. */
class AffinityTest {
  private static List<String> names(int n) {
    return IntStream.range(0, n).mapToObj(i -> "t" + i).toList();
  }

  private static double[][] random(int n, Random random) {
    double[][] gains = new double[n][n];
    for (double[] row : gains) {
      for (int j = 0; j < n; j++) {
        row[j] = random.nextGaussian();
      }
    }
    return gains;
  }

  private static double sum(List<? extends List<String>> groups, SubsetScore score) {
    double sum = 0;
    for (List<String> g : groups) {
      ImmutableSet<String> together = ImmutableSet.copyOf(g);
      sum += g.stream().mapToDouble(t -> score.of(t, together)).sum();
    }
    return sum;
  }

  /** Returns all divisions, by putting each next task into every group, or one of its own. */
  private static List<List<List<String>>> divisions(List<String> tasks) {
    List<List<List<String>>> all = List.of(List.of());
    for (String t : tasks) {
      List<List<List<String>>> next = new ArrayList<>();
      for (List<List<String>> groups : all) {
        for (int k = 0; k <= groups.size(); k++) {
          List<List<String>> more = new ArrayList<>(groups);
          List<String> with = new ArrayList<>(k < groups.size() ? more.remove(k) : List.of());
          with.add(t);
          more.add(k < groups.size() ? k : more.size(), with);
          next.add(more);
        }
      }
      all = next;
    }
    return all;
  }

  // ---- groups

  @Property(tries = 60)
  void noDivisionScoresMore(
      @ForAll @IntRange(min = 1, max = 6) int n,
      @ForAll @IntRange(min = 1, max = 7) int most,
      @ForAll long seed) {
    List<String> tasks = names(n);
    Affinity affinity = Affinity.of(tasks, random(n, new Random(seed)));
    // not additive, too
    SubsetScore crowded = (t, s) -> affinity.of(t, s) - 0.1 * s.size() * s.size();
    for (SubsetScore score : List.of(affinity, crowded)) {
      Grouped found = Grouped.byScore(tasks, score, most);
      assertThat(found.groups()).hasSizeLessThanOrEqualTo(most);
      assertThat(found.groups().stream().flatMap(List::stream))
          .containsExactlyInAnyOrderElementsOf(tasks);
      double best =
          divisions(tasks).stream()
              .filter(d -> d.size() <= most)
              .mapToDouble(d -> sum(d, score))
              .max()
              .orElseThrow();
      assertThat(sum(found.groups(), score)).isCloseTo(best, within(1e-9));
    }
  }

  @Property(tries = 60)
  void blocksAreFound(
      @ForAll @IntRange(min = 2, max = 20) int n,
      @ForAll @IntRange(min = 1, max = 5) int blocks,
      @ForAll long seed) {
    Random random = new Random(seed);
    List<String> tasks = new ArrayList<>(names(n));
    List<List<String>> expected = new ArrayList<>();
    int[] block = new int[n];
    for (int b = 0; b < blocks; b++) {
      expected.add(new ArrayList<>());
    }
    for (int i = 0; i < n; i++) {
      block[i] = random.nextInt(blocks);
      expected.get(block[i]).add(tasks.get(i));
    }
    expected.removeIf(List::isEmpty);
    double[][] gains = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        double size = 0.1 + random.nextDouble();
        gains[i][j] = block[i] == block[j] ? size : -size;
      }
    }
    // more than twelve are joined pair by pair, which finds blocks too
    assertThat(Grouped.byAffinity(Affinity.of(tasks, gains), n).groups())
        .containsExactlyInAnyOrderElementsOf(expected.stream().map(ImmutableList::copyOf).toList());
  }

  @Property(tries = 60)
  void nothingIsSplitThatGains(@ForAll @IntRange(min = 1, max = 20) int n, @ForAll long seed) {
    Random random = new Random(seed);
    double[][] gains = new double[n][n];
    for (double[] row : gains) {
      for (int j = 0; j < n; j++) {
        row[j] = random.nextInt(3) * random.nextDouble(); // 0 too: fewer adapters are cheaper
      }
    }
    assertThat(Grouped.byAffinity(Affinity.of(names(n), gains), n).groups())
        .containsExactly(ImmutableList.copyOf(names(n)));
  }

  @Example
  void groupsThatCannotBeAreRefused() {
    SubsetScore none = (t, s) -> 0;
    assertThatThrownBy(() -> Grouped.byScore(List.of("a", "a"), none, 1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("grouped: the tasks [a, a] are not unique");
    assertThatThrownBy(() -> Grouped.byScore(List.of(), none, 1)).hasMessageContaining("no tasks");
    assertThatThrownBy(() -> Grouped.byScore(List.of("a"), none, 0))
        .hasMessageContaining("0 groups at most");
    assertThatThrownBy(() -> Affinity.of(List.of("a", "b"), new double[1][2]))
        .hasMessage("1 rows of gains for 2 tasks");
    assertThatThrownBy(() -> Affinity.of(List.of("a", "b"), new double[][] {{1}, {1, 2}}))
        .hasMessage("the gains from task 'a' are 1, for 2 tasks");
    assertThatThrownBy(
            () -> Affinity.of(List.of("a", "b"), new double[][] {{Double.NaN, 1}, {Double.NaN, 0}}))
        .hasMessage("the gain from task 'b' for 'a' is NaN");
    assertThatThrownBy(() -> Affinity.of(List.of("a"), new double[1][1]).gain("a", "x"))
        .hasMessageContaining("no affinity of task 'x', only of [a]");
  }

  // ---- orders

  private static List<String> planned(Sequential strategy, List<String> tasks) {
    List<Task> all =
        tasks.stream()
            .map(
                t ->
                    Task.builder(t)
                        .train(List.of(org.tune4j.core.data.Example.of("w1", "w2")))
                        .build())
            .toList();
    return strategy.plan(PlanContext.of(all, Hyperparameters.defaults())).stages().stream()
        .map(Stage::name)
        .toList();
  }

  private static double worth(List<String> order, Affinity a, boolean earlierHelps) {
    double sum = 0;
    for (int i = 0; i < order.size(); i++) {
      for (int j = i + 1; j < order.size(); j++) {
        sum +=
            earlierHelps ? a.gain(order.get(i), order.get(j)) : a.gain(order.get(j), order.get(i));
      }
    }
    return sum;
  }

  @Property(tries = 40)
  void noOrderIsWorthMore(@ForAll @IntRange(min = 1, max = 6) int n, @ForAll long seed) {
    List<String> tasks = names(n);
    Affinity a = Affinity.of(tasks, random(n, new Random(seed)));
    Sequential best = Sequential.bestOrder(a);
    for (boolean earlierHelps : new boolean[] {false, true}) {
      double most =
          Collections2.permutations(tasks).stream()
              .mapToDouble(o -> worth(o, a, earlierHelps))
              .max()
              .orElseThrow();
      Sequential strategy = earlierHelps ? best.stacked() : best.replay(0.1);
      List<String> found = planned(strategy, tasks);
      assertThat(found).containsExactlyInAnyOrderElementsOf(tasks);
      assertThat(worth(found, a, earlierHelps)).isCloseTo(most, within(1e-9));
    }
    // of these, too, all are served by what the last stage leaves
    assertThat(planned(best.merging(), tasks)).isEqualTo(planned(best, tasks));
    assertThat(planned(best.orthogonal(0.5), tasks)).isEqualTo(planned(best, tasks));
  }

  /**
   * What harms all others comes first where one adapter continues, whatever the number of tasks.
   */
  @Property(tries = 30)
  void whatHarmsComesFirst(@ForAll @IntRange(min = 2, max = 24) int n, @ForAll long seed) {
    List<String> tasks = names(n);
    List<String> harm = new ArrayList<>(tasks); // the most harmful first
    Collections.shuffle(harm, new Random(seed));
    double[][] gains = new double[n][n];
    for (int i = 0; i < n; i++) {
      java.util.Arrays.fill(gains[i], -(n - harm.indexOf(tasks.get(i))));
    }
    Affinity a = Affinity.of(tasks, gains);
    assertThat(planned(Sequential.bestOrder(a), tasks)).isEqualTo(harm);
    List<String> reversed = new ArrayList<>(harm);
    Collections.reverse(reversed);
    assertThat(planned(Sequential.bestOrder(a).stacked(), tasks)).isEqualTo(reversed);
  }

  @Example
  void withoutDifferencesTheOrderIsTheTasks() {
    for (int n : new int[] {5, 20}) {
      Affinity a = Affinity.of(names(n), new double[n][n]);
      assertThat(planned(Sequential.bestOrder(a), names(n))).isEqualTo(names(n));
    }
    Affinity two = Affinity.of(List.of("a", "b"), new double[2][2]);
    assertThatThrownBy(() -> planned(Sequential.bestOrder(two), List.of("a", "c")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("sequential: the affinities are of [a, b], the tasks are [a, c]");
    assertThat(Sequential.bestOrder(two).stacked().name()).isEqualTo("sequential-stacked");
  }
}
