package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.assertj.core.data.Offset;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;

/** What the strategies that come with the library draw, and what they refuse. */
class StrategiesTest {
  private static PlanContext context(int... sizes) {
    List<Task> tasks = new ArrayList<>();
    for (int i = 0; i < sizes.length; i++) {
      tasks.add(
          Task.builder("t" + i)
              .train(Collections.nCopies(sizes[i], org.tune4j.core.data.Example.of("w1", "w2")))
              .build());
    }
    return PlanContext.of(tasks, Hyperparameters.defaults());
  }

  private static Map<String, Integer> drawn(TrainingStrategy strategy, PlanContext context) {
    return strategy.plan(context).stages().get(0).examples();
  }

  @Property(tries = 50)
  void mixtures(
      @ForAll @IntRange(min = 1, max = 1000) int first,
      @ForAll @IntRange(min = 1, max = 1000) int second,
      @ForAll @IntRange(min = 1, max = 1000) int third,
      @ForAll @DoubleRange(min = 1, max = 20) double temperature) {
    PlanContext context = context(first, second, third);
    assertThat(drawn(MultiTask.proportional(), context)).isEqualTo(context.examples());
    assertThat(drawn(MultiTask.temperature(1), context)).isEqualTo(context.examples());
    Map<String, Integer> uniform = drawn(MultiTask.uniform(), context);
    assertThat(Collections.max(uniform.values()) - Collections.min(uniform.values()))
        .isLessThanOrEqualTo(1);
    // a temperature draws between proportional and uniform, and keeps the order of sizes
    Map<String, Integer> tempered = drawn(MultiTask.temperature(temperature), context);
    String largest =
        Collections.max(context.names(), (x, y) -> Integer.compare(n(context, x), n(context, y)));
    assertThat(tempered.get(largest))
        .isBetween(uniform.get(largest) - 1, context.examples().get(largest) + 1);
    for (String t : context.names()) {
      assertThat(tempered.get(largest)).isGreaterThanOrEqualTo(tempered.get(t) - 1);
    }
  }

  private static int n(PlanContext context, String task) {
    return context.examples().get(task);
  }

  @Property(tries = 50)
  void weightsAreSharesOfTheTotal(
      @ForAll @IntRange(min = 100, max = 1000) int size,
      @ForAll @DoubleRange(min = 0.1, max = 10) double weight) {
    PlanContext context = context(size, 2 * size, 50);
    Map<String, Integer> drawn =
        drawn(MultiTask.weights(Map.of("t0", weight, "t1", 1.0, "t2", 2.0)), context);
    double total = 3.0 * size + 50;
    assertThat((double) drawn.get("t0"))
        .isCloseTo(total * weight / (weight + 3), Offset.offset(1.0));
    assertThat((double) drawn.get("t2")).isCloseTo(total * 2 / (weight + 3), Offset.offset(1.0));
  }

  @Property(tries = 50)
  void replayIsAShareOfEachLaterStage(
      @ForAll @IntRange(min = 20, max = 500) int size,
      @ForAll @DoubleRange(min = 0.05, max = 0.9) double share) {
    PlanContext context = context(size, 2 * size, size + 7);
    TrainingPlan plan = Sequential.inOrder().replay(share).plan(context);
    assertThat(plan.stages().get(0).examples()).isEqualTo(Map.of("t0", size));
    for (int k = 1; k < 3; k++) {
      Stage stage = plan.stages().get(k);
      int own = stage.examples().get("t" + k);
      assertThat(own).isEqualTo(n(context, "t" + k));
      int replayed = stage.examples().values().stream().mapToInt(Integer::intValue).sum() - own;
      assertThat(replayed / (double) (replayed + own)).isCloseTo(share, Offset.offset(1.0 / own));
      List<Integer> parts =
          stage.examples().entrySet().stream()
              .filter(e -> !e.getKey().equals(stage.name()))
              .map(Map.Entry::getValue)
              .toList();
      assertThat(parts).hasSize(k);
      assertThat(Collections.max(parts) - Collections.min(parts)).isLessThanOrEqualTo(1);
    }
  }

  @Provide
  Arbitrary<Map<String, Double>> weights() {
    return Combinators.combine(
            Arbitraries.doubles().between(0.01, 1e6), Arbitraries.integers().between(0, 6))
        .as((w, exponent) -> w * Math.pow(10, -exponent))
        .list()
        .ofMinSize(1)
        .ofMaxSize(8)
        .map(
            list -> {
              Map<String, Double> all = new LinkedHashMap<>();
              list.forEach(w -> all.put("t" + all.size(), w));
              return all;
            });
  }

  @Property(tries = 500)
  void divisionAddsUp(
      @ForAll("weights") Map<String, Double> weights,
      @ForAll @IntRange(min = 8, max = 100_000) int total) {
    ImmutableMap<String, Integer> parts = PlanContext.divide(total, weights);
    assertThat(parts.keySet()).containsExactlyElementsOf(weights.keySet());
    assertThat(parts.values().stream().mapToLong(Integer::longValue).sum()).isEqualTo(total);
    assertThat(parts.values()).allMatch(p -> p >= 1);
    double sum = weights.values().stream().mapToDouble(Double::doubleValue).sum();
    boolean noneRaised = weights.values().stream().allMatch(w -> total * (w / sum) >= 1);
    weights.forEach(
        (t, w) -> {
          double share = total * (w / sum);
          if (noneRaised) {
            assertThat(parts.get(t).doubleValue()).isBetween(share - 1, share + 1);
          } else {
            assertThat(parts.get(t).doubleValue()).isLessThan(Math.max(share, 1) + 1);
          }
        });
  }

  @Property(tries = 50)
  void groupsDivideWhatTheirNeighboursDraw(@ForAll @IntRange(min = 1, max = 500) int size) {
    PlanContext context = context(size, 2 * size, 7);
    Stage two = Grouped.of(List.of(List.of("t2", "t0"))).plan(context).stages().get(0);
    assertThat(two.draws("t2+t0")).isEqualTo(Map.of("t2", 7, "t0", size));
    assertThat(two.draws("t1")).isEqualTo(Map.of("t1", 2 * size));
    assertThat(two.serving())
        .isEqualTo(Map.of("t0", List.of("t2+t0"), "t1", List.of("t1"), "t2", List.of("t2+t0")));
    Stage each = Independent.perTask().plan(context).stages().get(0);
    Stage ones = Grouped.of(List.of()).plan(context).stages().get(0);
    assertThat(ones.routes()).isEqualTo(each.routes());
    assertThat(ones.examples()).isEqualTo(each.examples());
    assertThat(drawn(Grouped.of(List.of(context.names())), context))
        .isEqualTo(drawn(MultiTask.proportional(), context));
  }

  @Example
  void divisionRefusesWhatCannotBe() {
    assertThatThrownBy(() -> PlanContext.divide(2, Map.of("a", 1.0, "b", 1.0, "c", 1.0)))
        .hasMessageContaining("2 examples")
        .hasMessageContaining("c");
    assertThatThrownBy(() -> PlanContext.divide(9, Map.of("a", -1.0, "b", 2.0)))
        .hasMessageContaining("-1.0");
    assertThatThrownBy(() -> PlanContext.divide(9, Map.of("a", Double.NaN)))
        .hasMessageContaining("NaN");
    assertThatThrownBy(() -> PlanContext.divide(9, Map.of())).hasMessageContaining("{}");
  }

  @Example
  void badOptionsAreNamed() {
    PlanContext context = context(4, 4);
    assertThatThrownBy(() -> MultiTask.weights(Map.of("t0", 1.0)).plan(context))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("[t0]")
        .hasMessageContaining("[t0, t1]");
    assertThatThrownBy(() -> MultiTask.weights(Map.of("t0", 0.0)))
        .hasMessageContaining("'t0' is 0.0");
    assertThatThrownBy(() -> MultiTask.weights(Map.of("t0", Double.POSITIVE_INFINITY)))
        .hasMessageContaining("Infinity");
    assertThatThrownBy(() -> MultiTask.temperature(-1)).hasMessageContaining("-1.0");
    assertThatThrownBy(() -> Sequential.inOrder(List.of("t0", "t9")).plan(context))
        .hasMessageContaining("[t0, t9]")
        .hasMessageContaining("[t0, t1]");
    assertThatThrownBy(() -> Sequential.inOrder(List.of("t0", "t0")))
        .hasMessageContaining("[t0, t0]");
    assertThatThrownBy(() -> Sequential.inOrder().replay(1)).hasMessageContaining("1.0");
    assertThatThrownBy(() -> PlanContext.of(List.of(), Hyperparameters.defaults()))
        .hasMessageContaining("no tasks");
    List<Task> twice = List.of(context.tasks().get(0), context.tasks().get(0));
    assertThatThrownBy(() -> PlanContext.of(twice, Hyperparameters.defaults()))
        .hasMessageContaining("two tasks are named 't0'");
    assertThatThrownBy(
            () ->
                PlanContext.of(context.tasks(), Hyperparameters.builder().epochs(1e10).build())
                    .examples())
        .hasMessageContaining("'t0'")
        .hasMessageContaining("too many");
  }

  @Example
  void groupsThatDoNotFitAreNamed() {
    assertThatThrownBy(() -> Grouped.of(List.of(List.of("a"), List.of("b", "a"))))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("grouped: task 'a' is named twice in [[a], [b, a]]");
    assertThatThrownBy(() -> Grouped.of(List.of(List.of())))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("is empty");
    assertThatThrownBy(() -> Grouped.of(List.of(List.of("t0", "t9"))).plan(context(1, 2)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("grouped: no task is named 't9'; there are [t0, t1]");
  }

  @Example
  void namesSayWhatIsDone() {
    assertThat(MultiTask.weights(Map.of("b", 2.0, "a", 1.0)))
        .hasToString("multi-task (weights {a=1.0, b=2.0})");
    assertThat(Sequential.inOrder().stacked().replay(0.1).name())
        .isEqualTo("sequential-stacked-replay");
    assertThat(Independent.perTask()).hasToString("independent");
  }
}
