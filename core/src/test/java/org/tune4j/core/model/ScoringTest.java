package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import com.google.common.primitives.Ints;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.engine.Engine;

/** Continuations scored over one run of the prompt against each sequence run on its own. */
class ScoringTest {
  static Stream<String> names() {
    return TinyModels.NAMES.stream();
  }

  private static int[] tokens(Random random, int n) {
    return random.ints(n, 0, 61).toArray();
  }

  @ParameterizedTest
  @MethodSource("names")
  void equalsScoringEachAlone(String name) {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model(name, engine);
        TinyModels.LowRank adapter = new TinyModels.LowRank(model, 9)) {
      Random random = new Random(2);
      List<int[]> prompts = new ArrayList<>();
      List<int[][]> continuations = new ArrayList<>();
      for (int p = 0; p < 7; p++) {
        prompts.add(tokens(random, p == 0 ? 1 : 1 + random.nextInt(9)));
        int[][] choices = new int[p == 1 ? 1 : 1 + random.nextInt(5)][];
        for (int c = 0; c < choices.length; c++) {
          choices[c] = tokens(random, p == 2 ? 1 : 1 + random.nextInt(4));
        }
        continuations.add(choices);
      }
      for (int budget : new int[] {1, 25, 1000}) {
        List<float[]> scores =
            model.scoreContinuations(prompts, continuations, List.of(adapter), budget);
        for (int p = 0; p < prompts.size(); p++) {
          assertThat(scores.get(p)).hasSameSizeAs(continuations.get(p));
          for (int c = 0; c < continuations.get(p).length; c++) {
            float alone = alone(model, adapter, prompts.get(p), continuations.get(p)[c]);
            assertThat(scores.get(p)[c]).isCloseTo(alone, Offset.offset(2e-4f));
          }
        }
      }
    }
  }

  /** Continuations that part before what is asked of them begins. */
  @ParameterizedTest
  @MethodSource("names")
  void firstTokensMayBeLeftUnscored(String name) {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model(name, engine);
        TinyModels.LowRank adapter = new TinyModels.LowRank(model, 9)) {
      Random random = new Random(4);
      int[] prompt = tokens(random, 5);
      int[][] choices = {tokens(random, 3), tokens(random, 4), tokens(random, 2)};
      int[] unscored = {0, 2, 1};
      float[] scores =
          model
              .scoreContinuations(
                  List.of(prompt),
                  List.<int[][]>of(choices),
                  List.of(unscored),
                  List.of(adapter),
                  1000)
              .get(0);
      for (int c = 0; c < choices.length; c++) {
        int[] trunk = Ints.concat(prompt, Arrays.copyOf(choices[c], unscored[c]));
        int[] rest = Arrays.copyOfRange(choices[c], unscored[c], choices[c].length);
        assertThat(scores[c]).isCloseTo(alone(model, adapter, trunk, rest), Offset.offset(2e-4f));
      }
      assertThatThrownBy(
              () ->
                  model.scoreContinuations(
                      List.of(prompt),
                      List.<int[][]>of(choices),
                      List.of(new int[] {3, 0, 0}),
                      List.of(adapter),
                      1000))
          .hasMessageContaining("3 of the 3 tokens of continuation 0 of prompt 0 unscored");
    }
  }

  private static float alone(
      LanguageModel model, Adapter adapter, int[] prompt, int[] continuation) {
    Batch batch = Batch.of(Ints.concat(prompt, continuation));
    LossResult loss = model.loss(batch, Routing.all(batch.rows(), List.of(adapter)));
    float sum = 0;
    for (int i = prompt.length - 1; i < loss.losses().length; i++) {
      sum -= loss.losses()[i];
    }
    return sum;
  }

  @Test
  void refusesWhatCannotBeScored() {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("llama", engine)) {
      int[][] choice = {{1}};
      assertThatThrownBy(() -> score(model, new int[0], choice))
          .hasMessageContaining("prompt 0 is empty");
      assertThatThrownBy(() -> score(model, new int[] {1}, new int[][] {{1}, {}}))
          .hasMessageContaining("continuation 1 of prompt 0 is empty");
      assertThatThrownBy(() -> score(model, new int[64], choice))
          .hasMessageContaining("65 tokens")
          .hasMessageContaining("context is 64");
      assertThatThrownBy(() -> score(model, new int[] {61}, choice))
          .hasMessageContaining("token 61 is outside the model's vocabulary of 61");
    }
  }

  private static List<float[]> score(LanguageModel model, int[] prompt, int[][] choices) {
    return model.scoreContinuations(
        List.of(prompt), ImmutableList.<int[][]>of(choices), List.of(), 64);
  }
}
