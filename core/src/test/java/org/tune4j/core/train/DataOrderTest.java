package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.tune4j.core.data.Shuffles;

class DataOrderTest {
  private static DataOrder order(Map<String, Integer> draws, int size, long seed, int stage) {
    return DataOrder.of(draws, task -> size, seed, stage);
  }

  private static List<Integer> of(DataOrder order, String task) {
    return IntStream.range(0, order.size())
        .filter(i -> order.task(i).equals(task))
        .mapToObj(order::example)
        .toList();
  }

  @Property(tries = 100)
  void drawsEachExampleOnceBeforeAnyAgain(
      @ForAll @IntRange(min = 1, max = 40) int size,
      @ForAll @IntRange(min = 1, max = 200) int count,
      @ForAll long seed,
      @ForAll @IntRange(max = 9) int stage) {
    DataOrder order = order(ImmutableMap.of("a", count, "b", 7), size, seed, stage);
    assertThat(order.size()).isEqualTo(count + 7);
    List<Integer> drawn = of(order, "a");
    assertThat(drawn).hasSize(count);
    for (int from = 0; from < count; from += size) {
      List<Integer> round = drawn.subList(from, Math.min(count, from + size));
      assertThat(round).doesNotHaveDuplicates().allMatch(i -> i >= 0 && i < size);
    }
  }

  /** Written with collections, as it is defined: what runs drew before must be drawn again. */
  @Property(tries = 100)
  void isTheOrderOfShuffledLists(
      @ForAll @IntRange(min = 1, max = 30) int size,
      @ForAll @IntRange(min = 1, max = 100) int count,
      @ForAll long seed,
      @ForAll @IntRange(max = 9) int stage) {
    Map<String, Integer> draws = new LinkedHashMap<>();
    draws.put("one", count);
    draws.put("other", size);
    long mixing = seed;
    List<String> tasks = new ArrayList<>();
    Map<String, List<Integer>> sequences = new LinkedHashMap<>();
    for (Map.Entry<String, Integer> e : draws.entrySet()) {
      Random random = new Random((seed * 31 + e.getKey().hashCode()) * 31 + stage);
      List<Integer> sequence = new ArrayList<>();
      while (sequence.size() < e.getValue()) {
        List<Integer> round = new ArrayList<>(IntStream.range(0, size).boxed().toList());
        Collections.shuffle(round, random);
        sequence.addAll(round);
      }
      sequences.put(e.getKey(), sequence);
      tasks.addAll(Collections.nCopies(e.getValue(), e.getKey()));
      mixing = mixing * 31 + e.getKey().hashCode();
    }
    Collections.shuffle(tasks, new Random(mixing * 31 + stage));
    DataOrder order = order(draws, size, seed, stage);
    assertThat(IntStream.range(0, order.size()).mapToObj(order::task)).isEqualTo(tasks);
    sequences.forEach(
        (task, sequence) ->
            assertThat(of(order, task)).isEqualTo(sequence.subList(0, draws.get(task))));
  }

  @Example
  void differsByStageAndSeedOnly() {
    Map<String, Integer> draws = ImmutableMap.of("a", 50, "b", 50);
    List<Integer> first = of(order(draws, 50, 1, 0), "a");
    assertThat(of(order(draws, 50, 1, 0), "a")).isEqualTo(first);
    assertThat(of(order(draws, 50, 2, 0), "a")).isNotEqualTo(first);
    assertThat(of(order(draws, 50, 1, 1), "a")).isNotEqualTo(first);
    assertThat(of(order(ImmutableMap.of("a", 50), 50, 1, 0), "a"))
        .as("whatever else the lane learns")
        .isEqualTo(first);
  }

  @Example
  void shufflesNumbers() {
    int[] shuffled = Shuffles.numbers(100, new Random(3));
    assertThat(shuffled).isNotEqualTo(IntStream.range(0, 100).toArray());
    assertThat(Arrays.stream(shuffled).sorted())
        .containsExactlyElementsOf(IntStream.range(0, 100).boxed().toList());
  }
}
