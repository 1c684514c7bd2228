package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterCombination;
import org.tune4j.core.model.AdapterFactory;

class TrainingPlanTest {
  /** A stage in which task "t" trains an adapter that then serves it. */
  private static Stage.Builder stage(String name, String adapter) {
    return Stage.named(name).train("t", adapter, 3).serve("t", adapter);
  }

  private static Stage plain(String name, String adapter) {
    return stage(name, adapter).build();
  }

  private static void refused(List<Stage> stages, String... message) {
    assertThatThrownBy(() -> TrainingPlan.of("mine", stages))
        .isInstanceOf(IllegalArgumentException.class)
        .message()
        .contains(message);
  }

  @Test
  void adaptersMustExistBeforeTheyAreUsed() {
    refused(List.of(), "'mine' planned no stage");
    refused(List.of(plain("s", "x"), plain("s", "x")), "two stages named 's'");
    refused(List.of(stage("s", "x").on("y").build()), "'s' builds on adapter 'y'");
    refused(List.of(stage("s", "x").merge("y").build()), "'s' merges adapter 'y'");
    refused(List.of(stage("s", "x").startFrom("x", "y").build()), "'s' starts from adapter 'y'");
    refused(List.of(stage("s", "x").serve("t", "x", "y").build()), "serves task 't' by [x, y]");
    refused(
        List.of(plain("1", "x"), plain("2", "y"), stage("3", "x").startFrom("x", "y").build()),
        "'x' starts from, but it was trained before");
  }

  /** Used once more after merging, it would count twice; resuming relies on its not changing. */
  @Test
  void mergedAdaptersAreDoneWith() {
    Stage merge = stage("2", "y").merge("x").build();
    refused(
        List.of(plain("1", "x"), stage("2", "y").merge("x").serve("t", "x", "y").build()),
        "'2' uses adapter 'x', which is merged");
    refused(List.of(plain("1", "x"), merge, plain("3", "x")), "'3' uses adapter 'x'");
    refused(
        List.of(plain("1", "x"), merge, stage("3", "z").on("x").build()), "'3' uses adapter 'x'");
    refused(
        List.of(plain("1", "x"), merge, stage("3", "z").merge("x").build()),
        "'3' merges adapter 'x', which is merged already");
    assertThat(TrainingPlan.of("mine", List.of(plain("1", "x"), merge)).describe())
        .isEqualTo("mine\n  1. 1: 3 of t -> x\n  2. 2: 3 of t -> y, after merging x\n");
  }

  private record Sum() implements AdapterCombination {
    @Override
    public void require(AdapterFactory factory) {}

    @Override
    public Adapter combine(String name, List<? extends Adapter> adapters, double... weights) {
      throw new UnsupportedOperationException();
    }

    @Override
    public String toString() {
      return "sum";
    }
  }

  @Test
  void combinedAdaptersAreMadeOfWhatThereIs() {
    Stage sum = stage("2", "y").combine("s", new Sum(), Map.of("x", 2.0)).serve("t", "s").build();
    refused(List.of(sum), "'2' combines adapter 'x', which no earlier stage trained");
    refused(List.of(plain("0", "s"), plain("1", "x"), sum), "'s', which already exists");
    refused(
        List.of(
            plain("1", "x"),
            stage("2", "y").merge("x").combine("s", new Sum(), Map.of("x", 2.0)).build()),
        "'2' uses adapter 'x', which is merged");
    assertThat(
            TrainingPlan.of("mine", plain("1", "x"), sum, stage("3", "z").on("s").build())
                .describe())
        .isEqualTo(
            """
            mine
              1. 1: 3 of t -> x
              2. 2: 3 of t -> y, then s = sum of {x=2.0}
              3. 3: 3 of t -> z, on top of frozen s
            """);
    assertThatThrownBy(() -> stage("1", "x").combine("x", new Sum(), Map.of("y", 1.0)).build())
        .hasMessageContaining("both trains and combines adapter 'x'");
    assertThatThrownBy(() -> stage("1", "x").combine("s", new Sum(), Map.of()))
        .hasMessageContaining("'s' is combined from nothing");
    assertThatThrownBy(() -> stage("1", "x").combine("s", new Sum(), Map.of("x", Double.NaN)))
        .hasMessageContaining("'s' is combined from NaN times 'x'");
  }

  /** What may be gone can be served by, as then it is left out; nothing can be built on it. */
  @Test
  void optionalAdaptersAreOnlyServed() {
    Stage first = plain("1", "x");
    Stage own = stage("2", "o").on("x").keepIfItGains("o").size("o", 0.5).build();
    TrainingPlan plan =
        TrainingPlan.of("mine", first, own, stage("3", "z").serve("t", "x", "o").build());
    assertThat(plan.describe())
        .contains("on top of frozen x, o of size 0.5, kept if they gain: o\n");
    for (Stage.Builder third :
        List.of(
            stage("3", "o"),
            stage("3", "z").on("o"),
            stage("3", "z").merge("o"),
            stage("3", "z").startFrom("z", "o"))) {
      refused(List.of(first, own, third.build()), "'3' uses adapter 'o', which may not");
    }
    refused(
        List.of(first, own, stage("3", "z").combine("s", new Sum(), Map.of("o", 1.0)).build()),
        "'3' combines adapter 'o'");
    refused(
        List.of(first, stage("2", "x").keepIfItGains("x").build()),
        "'2' makes adapter 'x' optional, but it was trained before");
    refused(
        List.of(first, stage("2", "x").size("x", 2).build()),
        "'2' sets the size of adapter 'x', but it was trained before");
    assertThatThrownBy(() -> stage("1", "x").keepIfItGains("y").build())
        .hasMessageContaining("makes adapter 'y' optional, but does not train it");
    assertThatThrownBy(() -> stage("1", "x").size("x", 0).build())
        .hasMessageContaining("'x' the size 0.0");
    assertThatThrownBy(() -> stage("1", "x").size("y", 1).build())
        .hasMessageContaining("sets the size of adapter 'y', but does not create it");
    assertThatThrownBy(
            () ->
                stage("1", "x")
                    .keepIfItGains("x")
                    .combine("s", new Sum(), Map.of("x", 1.0))
                    .build())
        .hasMessageContaining("combines adapter 'x', which may not be kept");
  }

  @Test
  void stagesMustAgreeWithThemselves() {
    assertThatThrownBy(() -> plain(" ", "x")).hasMessageContaining("needs a name");
    assertThatThrownBy(() -> Stage.named("s").build()).hasMessageContaining("'s' draws nothing");
    assertThatThrownBy(() -> Stage.named("s").train("t", "x", 0).build())
        .hasMessageContaining("'s' draws 0 examples of 't'");
    assertThatThrownBy(() -> stage("s", "x").on("x").build())
        .hasMessageContaining("both trains and freezes adapter 'x'");
    assertThatThrownBy(() -> stage("s", "x").merge("x").build())
        .hasMessageContaining("both trains and merges adapter 'x'");
    assertThatThrownBy(() -> stage("s", "x").startFrom("y", "x").build())
        .hasMessageContaining("'y' starts from, but does not train it");
    assertThatThrownBy(() -> stage("s", "x").train("t", "y", 1))
        .hasMessageContaining("'s' draws from 't' twice");
  }

  @Test
  void stepsAreThoseOfTheLongestLane() {
    Hyperparameters h = Hyperparameters.builder().examplesPerStep(4).build();
    Stage lanes = Stage.named("1").train("a", "x", 5).train("b", "y", 9).train("c", "x", 6).build();
    assertThat(lanes.adapters()).containsExactly("x", "y");
    assertThat(lanes.tasks("x")).containsExactly("a", "c");
    assertThat(lanes.examples("x")).isEqualTo(11);
    assertThat(lanes.steps("x", h)).isEqualTo(3);
    assertThat(lanes.steps("z", h)).isZero();
    TrainingPlan plan =
        TrainingPlan.of("mine", lanes, Stage.named("2").train("a", "z", 13).build());
    assertThat(plan.steps(h)).isEqualTo(3 + 4);
    assertThat(plan.adapters()).containsExactly("x", "y", "z");
  }
}
