package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class TrainingPlanTest {
  /** A stage in which task "t" trains an adapter that then serves it. */
  private static Stage stage(
      String name,
      String adapter,
      List<String> below,
      List<String> merged,
      Map<String, String> startFrom,
      String... serving) {
    return new Stage(
        name,
        ImmutableMap.of("t", 3),
        ImmutableMap.of("t", adapter),
        ImmutableList.copyOf(below),
        ImmutableList.copyOf(merged),
        ImmutableMap.copyOf(startFrom),
        ImmutableMap.of("t", ImmutableList.copyOf(serving)));
  }

  private static Stage plain(String name, String adapter) {
    return Stage.of(name, Map.of("t", 3), adapter, List.of("t"));
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
    refused(
        List.of(stage("s", "x", List.of("y"), List.of(), Map.of(), "x")),
        "'s' builds on adapter 'y'");
    refused(
        List.of(stage("s", "x", List.of(), List.of("y"), Map.of(), "x")), "'s' merges adapter 'y'");
    refused(
        List.of(stage("s", "x", List.of(), List.of(), Map.of("x", "y"), "x")),
        "'s' starts from adapter 'y'");
    refused(
        List.of(stage("s", "x", List.of(), List.of(), Map.of(), "x", "y")),
        "serves task 't' by [x, y]");
    refused(
        List.of(
            plain("1", "x"),
            plain("2", "y"),
            stage("3", "x", List.of(), List.of(), Map.of("x", "y"), "x")),
        "'x' starts from, but it was trained before");
  }

  /** Used once more after merging, it would count twice; resuming relies on its not changing. */
  @Test
  void mergedAdaptersAreDoneWith() {
    Stage merge = stage("2", "y", List.of(), List.of("x"), Map.of(), "y");
    refused(
        List.of(plain("1", "x"), stage("2", "y", List.of(), List.of("x"), Map.of(), "x", "y")),
        "'2' uses adapter 'x', which is merged");
    refused(List.of(plain("1", "x"), merge, plain("3", "x")), "'3' uses adapter 'x'");
    refused(
        List.of(plain("1", "x"), merge, stage("3", "z", List.of("x"), List.of(), Map.of(), "z")),
        "'3' uses adapter 'x'");
    refused(
        List.of(plain("1", "x"), merge, stage("3", "z", List.of(), List.of("x"), Map.of(), "z")),
        "'3' merges adapter 'x', which is merged already");
    assertThat(TrainingPlan.of("mine", List.of(plain("1", "x"), merge)).describe())
        .isEqualTo("mine\n  1. 1: 3 of t -> x\n  2. 2: 3 of t -> y, after merging x\n");
  }

  @Test
  void stagesMustAgreeWithThemselves() {
    assertThatThrownBy(() -> plain(" ", "x")).hasMessageContaining("needs a name");
    assertThatThrownBy(() -> Stage.of("s", Map.of(), "x", List.of()))
        .hasMessageContaining("'s' draws nothing");
    assertThatThrownBy(() -> Stage.of("s", Map.of("t", 0), "x", List.of("t")))
        .hasMessageContaining("'s' draws 0 examples of 't'");
    assertThatThrownBy(() -> stage("s", "x", List.of("x"), List.of(), Map.of()))
        .hasMessageContaining("both trains and freezes adapter 'x'");
    assertThatThrownBy(() -> stage("s", "x", List.of(), List.of("x"), Map.of()))
        .hasMessageContaining("both trains and merges adapter 'x'");
    assertThatThrownBy(() -> stage("s", "x", List.of(), List.of(), Map.of("y", "x")))
        .hasMessageContaining("'y' starts from, but does not train it");
    assertThatThrownBy(
            () ->
                new Stage(
                    "s",
                    ImmutableMap.of("t", 1),
                    ImmutableMap.of("u", "x"),
                    ImmutableList.of(),
                    ImmutableList.of(),
                    ImmutableMap.of(),
                    ImmutableMap.of()))
        .hasMessageContaining("draws from [t], but routes [u]");
  }
}
