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
import org.tune4j.core.engine.EngineProvider;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.golden.GoldenCase;

/** Base models against what transformers computed, on every engine that runs here. */
class GoldenModelTest {
  static final Path GOLDEN = Path.of("src/test/resources/golden");

  static Stream<Arguments> cases() {
    List<String> engines =
        Engines.providers().stream()
            .filter(p -> p.unavailable(Precision.F32).isEmpty())
            .map(EngineProvider::name)
            .toList();
    return Stream.of("gpt2", "llama", "qwen2", "qwen3", "mistral")
        .flatMap(c -> engines.stream().map(e -> Arguments.of(c, e)));
  }

  private static LanguageModel load(GoldenCase golden, String engine) throws Exception {
    return LanguageModel.load(golden.model(), LoadOptions.builder().engine(engine).build());
  }

  @ParameterizedTest
  @MethodSource("cases")
  void agreesWithTransformers(String name, String engine) throws Exception {
    GoldenCase golden = GoldenCase.open(GOLDEN.resolve(name));
    try (LanguageModel model = load(golden, engine)) {
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

      int[] expected = golden.greedy("base.greedy");
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

  static float[] floats(org.nd4j.linalg.api.ndarray.INDArray array) {
    return Arrays.copyOf(array.dup('c').data().asFloat(), (int) array.length());
  }
}
