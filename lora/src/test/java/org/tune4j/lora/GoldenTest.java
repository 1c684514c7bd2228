package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.engine.EngineProvider;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;

/** The recorded cases of transformers + PEFT, on every engine that runs here. */
class GoldenTest {
  static final Path GOLDEN = Path.of("../core/src/test/resources/golden");
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
    return Engines.providers().stream()
        .filter(p -> p.unavailable(Precision.F32).isEmpty())
        .map(EngineProvider::name)
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
    check(ParityCheck.run(GOLDEN.resolve(name), engine));
  }

  /** Every way of multiplying that this machine has, whichever it would choose by itself. */
  static Stream<Arguments> roundedCases() {
    return CASES.stream()
        .flatMap(
            c ->
                Stream.of(
                    Arguments.of(c, Precision.BF16, "native", "exact"),
                    Arguments.of(c, Precision.BF16, "widened", "exact"),
                    Arguments.of(c, Precision.INT8, "native", "rounded"),
                    Arguments.of(c, Precision.INT8, "widened", "exact")));
  }

  @ParameterizedTest
  @MethodSource("roundedCases")
  void agreesWithPeftWithinRoundings(String name, Precision precision, String bf16, String int8) {
    EngineProvider onednn =
        Engines.providers().stream()
            .filter(p -> p.name().equals("onednn"))
            .findFirst()
            .orElseThrow();
    assumeThat(onednn.unavailable(precision)).isEmpty();
    System.setProperty("tune4j.onednn.bf16", bf16);
    System.setProperty("tune4j.onednn.int8", int8);
    try {
      check(ParityCheck.run(GOLDEN.resolve(name), "onednn", precision));
    } finally {
      System.clearProperty("tune4j.onednn.bf16");
      System.clearProperty("tune4j.onednn.int8");
    }
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
