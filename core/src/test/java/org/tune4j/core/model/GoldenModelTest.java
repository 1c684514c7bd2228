package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.google.common.primitives.Ints;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.tune4j.core.engine.EngineProvider;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;

/** Base models against what transformers computed, on every engine that runs here. */
class GoldenModelTest {
  static final Path GOLDEN = Path.of("src/test/resources/golden");

  private static Stream<Arguments> cases(Precision precision) {
    List<String> engines =
        Engines.providers().stream()
            .filter(p -> p.unavailable(precision).isEmpty())
            .map(EngineProvider::name)
            .toList();
    return Stream.of(
            "gpt2",
            "llama",
            "qwen2",
            "qwen3",
            "mistral",
            "smollm3",
            "granite",
            "phi3",
            "llama-rope-both-scaling-and-params",
            "llama-rope-dynamic-v4",
            "llama-rope-yarn-v5",
            "llama-tied-head-present-different")
        .flatMap(c -> engines.stream().map(e -> Arguments.of(c, e)));
  }

  static Stream<Arguments> cases() {
    return cases(Precision.F32);
  }

  static Stream<Arguments> bf16Cases() {
    return cases(Precision.BF16);
  }

  private static LanguageModel load(GoldenCase golden, String engine, Precision precision)
      throws Exception {
    return LanguageModel.load(
        golden.model(), LoadOptions.builder().engine(engine).precision(precision).build());
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithTransformers(String name, String engine) throws Exception {
    GoldenCase golden = new GoldenCase(GOLDEN.resolve(name));
    try (LanguageModel model = load(golden, engine, Precision.F32)) {
      Batch batch = golden.batch();
      assertThat(
              GoldenCase.relativeError(
                  floats(model.logits(batch, Routing.BASE)), golden.rows("base.logits")))
          .as("logits")
          .isLessThan(1e-5);
      assertThat(
              GoldenCase.relativeError(
                  floats(model.hiddenStates(batch, Routing.BASE)), golden.rows("base.last_hidden")))
          .as("last hidden states")
          .isLessThan(1e-5);
      assertThat(model.loss(batch, Routing.BASE).mean()).isCloseTo(golden.baseLoss(), within(1e-4));

      int[] expected = golden.greedy();
      int[] prompt = golden.greedyPrompt();
      Generation generated =
          model
              .generateFromTokens(
                  List.of(prompt),
                  GenerationConfig.greedy(expected.length - prompt.length),
                  List.of())
              .get(0);
      assertThat(Ints.concat(prompt, Ints.toArray(generated.tokens()))).isEqualTo(expected);
    }
  }

  @ParameterizedTest(allowZeroInvocations = true) // not every engine has bf16
  @MethodSource("bf16Cases")
  void staysCloseInBf16(String name, String engine) throws Exception {
    GoldenCase golden = new GoldenCase(GOLDEN.resolve(name));
    try (LanguageModel model = load(golden, engine, Precision.BF16)) {
      // 8 bits of mantissa over two layers of deliberately large weights
      assertThat(
              GoldenCase.relativeError(
                  floats(model.logits(golden.batch(), Routing.BASE)), golden.rows("base.logits")))
          .isLessThan(3e-2);
      assertThat(model.loss(golden.batch(), Routing.BASE).mean())
          .isCloseTo(golden.baseLoss(), within(0.05));
    }
  }

  static float[] floats(INDArray array) {
    return Arrays.copyOf(array.dup('c').data().asFloat(), (int) array.length());
  }
}
