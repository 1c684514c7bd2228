package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.engine.EnginePaths;
import org.tune4j.core.engine.Precision;
import org.tune4j.testing.EnginePath;
import org.tune4j.testing.ParityCheck;

/** The recorded cases of transformers + PEFT, on every engine that runs here. */
class GoldenTest {
  static final List<String> CASES =
      List.of("gpt2", "llama", "qwen2", "qwen3", "mistral", "smollm3", "granite", "phi3");

  /** What configurations say in ways of their own; the base model's part is what they are for. */
  private static final List<String> CONFIGURED =
      List.of(
          "llama-rope-both-scaling-and-params",
          "llama-rope-dynamic-v4",
          "llama-rope-yarn-v5",
          "llama-tied-head-present-different");

  /** What adapters are in ways of their own. */
  private static final List<String> ADAPTED =
      List.of("modules-to-save-lm-head", "target-embed-tokens", "init-pissa", "bias-all-no-biases");

  static List<String> engines() {
    return Stream.of(EnginePaths.nd4j(), EnginePaths.oneDnn(Precision.F32))
        .flatMap(List::stream)
        .map(EnginePath::engine)
        .toList();
  }

  static Stream<Arguments> cases() {
    return Stream.of(CASES, CONFIGURED, ADAPTED)
        .flatMap(List::stream)
        .flatMap(c -> engines().stream().map(e -> Arguments.of(c, e)));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithPeft(String name, String engine) {
    check(ParityCheck.run(CaseFiles.GOLDEN.resolve(name), engine));
  }

  /** Every way of multiplying that this machine has, whichever it would choose by itself. */
  static Stream<Arguments> roundedCases() {
    return Stream.of(Precision.BF16, Precision.INT8)
        .flatMap(p -> EnginePaths.oneDnn(p).stream())
        .flatMap(path -> CASES.stream().map(c -> Arguments.of(c, path)));
  }

  @ParameterizedTest(allowZeroInvocations = true) // not every processor has bfloat16
  @MethodSource("roundedCases")
  void agreesWithPeftWithinRoundings(String name, EnginePath path) {
    check(
        path.with(
            () ->
                ParityCheck.run(CaseFiles.GOLDEN.resolve(name), path.engine(), path.precision())));
  }

  private static void check(ParityCheck.Report report) {
    assertThat(report.problems()).isEmpty();
    assertThat(report.passed()).isTrue();
    assertThat(report.errors())
        .containsOnlyKeys(
            "base logits",
            "base hidden states",
            "loss",
            "greedy tokens",
            "adapter logits",
            "gradients",
            "gradient norms",
            "training curve",
            "trained logits",
            "trained tensors");
  }
}
