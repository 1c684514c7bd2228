package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableList;
import com.google.common.primitives.Ints;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.family.LlamaLike;
import org.tune4j.core.model.family.RopeScaling;

class RopeScalingTest {
  private static final Path FILE = Path.of("some", "config.json");

  /** A Llama with heads of 8 columns and a context of 64, and fields of the test's. */
  private static ModelConfig config(String fields) throws Exception {
    return ModelConfig.parse(
        """
        {"model_type": "llama", "vocab_size": 61, "hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2,
         "num_attention_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3, "eos_token_id": 1,
        """
            + fields.replace('\'', '"')
            + "}",
        FILE);
  }

  private static RopeScaling scaling(String fields) throws Exception {
    return ((LlamaLike.Variant) config(fields).architecture()).rope();
  }

  @Test
  void yarnIsTransformers() throws Exception {
    // recorded from transformers 5.17's _compute_yarn_parameters
    RopeScaling four =
        scaling(
            "'hidden_size': 128, 'rope_theta': 1e7, 'max_position_embeddings': 262144,"
                + " 'rope_scaling': {'type': 'yarn', 'factor': 4.0}");
    assertThat(four.attentionFactor()).isCloseTo(1.138629436111989, within(1e-12));
    float[] frequencies = four.frequencies(64);
    double[] recorded = {
      1.000000000e+00, 6.042963862e-01, 3.651741445e-01, 2.206733972e-01,
      1.333521456e-01, 8.058421314e-02, 4.869675264e-02, 2.942727320e-02,
      1.778279431e-02, 1.074607857e-02, 6.493816618e-03, 3.924189601e-03,
      2.371373819e-03, 1.433012658e-03, 8.659643354e-04, 4.742398160e-04,
      2.569350763e-04, 1.373497507e-04, 7.217386883e-05, 3.707224823e-05,
      1.844922372e-05, 8.759770026e-06, 3.849816039e-06, 2.326430149e-06,
      1.405853368e-06, 8.495520660e-07, 5.133812238e-07, 3.102344408e-07,
      1.874735602e-07, 1.132895946e-07, 6.846049416e-08, 4.137042708e-08
    };
    for (int i = 0; i < 32; i++) {
      assertThat((double) frequencies[i]).isCloseTo(recorded[i], within(3e-7 * recorded[i]));
    }
    RopeTable table = four.table(3, 64);
    assertThat(table.cos()[0]).isEqualTo(1.1386294f);
    assertThat(table.sin()[2 * 32 + 1])
        .isCloseTo((float) (1.138629436 * Math.sin(2 * recorded[1])), within(1e-6f));
  }

  @Test
  void yarnsOptionalFields() throws Exception {
    String yarn = "'rope_scaling': {'rope_type': 'yarn', 'original_max_position_embeddings': 16, ";
    RopeScaling plain = scaling(yarn + "'factor': 4}");
    assertThat(plain.ramp()).isEqualTo(new RopeScaling.Ramp(32, 1, true));
    assertThat(plain.originalPositions()).isEqualTo(16);
    // mscale counts with mscale_all_dim only, and an attention factor before both
    double get = (0.1 * 0.7 * Math.log(4) + 1) / (0.1 * 0.9 * Math.log(4) + 1);
    assertThat(
            scaling(yarn + "'factor': 4, 'mscale': 0.7, 'mscale_all_dim': 0.9}").attentionFactor())
        .isCloseTo(get, within(1e-12));
    assertThat(scaling(yarn + "'factor': 4, 'mscale': 0.7}")).isEqualTo(plain);
    assertThat(scaling(yarn + "'factor': 4, 'mscale': 0.7, 'mscale_all_dim': 0}")).isEqualTo(plain);
    assertThat(
            scaling(
                    yarn
                        + "'factor': 4, 'mscale': 0.7, 'mscale_all_dim': 0.9, 'attention_factor': 2}")
                .attentionFactor())
        .isEqualTo(2);
    // null is the ratio of contexts, an absent factor an error
    assertThat(scaling(yarn + "'factor': null}").factor()).isEqualTo(4);
    // Python's or: 0 and null are the defaults
    assertThat(scaling(yarn + "'factor': 4, 'beta_fast': 0, 'beta_slow': null}")).isEqualTo(plain);
    assertThat(
            scaling(yarn + "'factor': 4, 'beta_fast': 8, 'beta_slow': 2, 'truncate': false}")
                .ramp())
        .isEqualTo(new RopeScaling.Ramp(8, 2, false));
    assertThat(scaling(yarn + "'factor': 4, 'truncate': null}").ramp().truncate()).isFalse();
    float[] rounded = scaling(yarn + "'factor': 4, 'beta_fast': 2}").frequencies(64);
    float[] exact =
        scaling(yarn + "'factor': 4, 'beta_fast': 2, 'truncate': false}").frequencies(64);
    assertThat(rounded).isNotEqualTo(exact);
    // beside the scaling, the original context counts before that inside
    assertThat(
            scaling("'original_max_position_embeddings': 32, " + yarn + "'factor': 4}")
                .originalPositions())
        .isEqualTo(32);
    assertThat(scaling("'rope_scaling': {'type': 'yarn', 'factor': 2}").originalPositions())
        .isEqualTo(64);
  }

  @Test
  void dynamicScalingGrowsTheBaseBeyondTheContext() throws Exception {
    RopeScaling dynamic = scaling("'rope_scaling': {'type': 'dynamic', 'factor': 2.0}");
    float[] plain = RopeScaling.plain(10000).frequencies(8);
    assertThat(dynamic.frequencies(8, 64)).isEqualTo(plain);
    double base = 10000 * Math.pow(2.0 * 100 / 64 - 1, 8 / 6.0);
    float[] grown = dynamic.frequencies(8, 100);
    for (int i = 0; i < 4; i++) {
      double expected = Math.pow(base, -2 * i / 8.0);
      assertThat((double) grown[i]).isCloseTo(expected, within(1e-6 * expected));
    }
  }

  @Test
  void longropeHasAListForEitherSideOfTheOriginalContext() throws Exception {
    String longrope =
        "'rope_scaling': {'rope_type': 'longrope', 'short_factor': [1, 1.5, 2, 3], 'long_factor': [2, 4, 8, 16], 'original_max_position_embeddings': 16";
    RopeScaling scaling = scaling(longrope + "}");
    assertThat(scaling.attentionFactor())
        .isCloseTo(Math.sqrt(1 + Math.log(4) / Math.log(16)), within(1e-12));
    float[] plain = RopeScaling.plain(10000).frequencies(8);
    assertThat(scaling.frequencies(8, 16)[3]).isCloseTo(plain[3] / 3, within(1e-9f));
    assertThat(scaling.frequencies(8, 17)[3]).isCloseTo(plain[3] / 16, within(1e-9f));
    assertThat(scaling(longrope + ", 'factor': 1.0}").attentionFactor()).isEqualTo(1);
    assertThat(scaling(longrope + ", 'attention_factor': 1.25}").attentionFactor()).isEqualTo(1.25);
  }

  @Test
  void llama3sOriginalContextIsTheModelsWhereItIsAbsent() throws Exception {
    String llama3 =
        "'rope_scaling': {'rope_type': 'llama3', 'factor': 8, 'low_freq_factor': 1, 'high_freq_factor': 4";
    assertThat(scaling(llama3 + "}").originalPositions()).isEqualTo(64);
    assertThat(scaling(llama3 + ", 'original_max_position_embeddings': 16}").originalPositions())
        .isEqualTo(16);
    assertThat(
            scaling(
                    "'original_max_position_embeddings': 8, "
                        + llama3
                        + ", 'original_max_position_embeddings': 16}")
                .originalPositions())
        .isEqualTo(8);
    // a warning in transformers, too
    assertThat(scaling(llama3.replace("4", "1") + "}").highFrequencyFactor()).isEqualTo(1);
  }

  @Test
  void scalingOfVersion4CountsBeforeParametersOfVersion5() throws Exception {
    String five = "'rope_parameters': {'rope_type': 'linear', 'factor': 3, 'rope_theta': 77}";
    assertThat(scaling(five)).isEqualTo(new RopeScaling(77, RopeScaling.Type.LINEAR, 3, 0, 0, 0));
    assertThat(scaling(five + ", 'rope_theta': 88").theta()).isEqualTo(77);
    String four = ", 'rope_scaling': {'type': 'dynamic', 'factor': 2}";
    assertThat(scaling(five + four).type()).isEqualTo(RopeScaling.Type.DYNAMIC);
    assertThat(scaling(five + four).theta()).isEqualTo(10000); // not of the other dictionary
    assertThat(scaling(five + four + ", 'rope_theta': 88").theta()).isEqualTo(88);
    // nothing in it: as if absent
    assertThat(scaling(five + ", 'rope_scaling': {}")).isEqualTo(scaling(five));
    assertThat(scaling(five + ", 'rope_scaling': null")).isEqualTo(scaling(five));
    assertThat(scaling("'rope_parameters': null, 'rope_theta': 5")).isEqualTo(RopeScaling.plain(5));
    // rope_type before the older name
    assertThat(scaling("'rope_scaling': {'type': 'mrope', 'rope_type': 'default'}"))
        .isEqualTo(RopeScaling.plain(10000));
  }

  @Test
  void contextsAreAsLongAsTheScalingMakesThem() throws Exception {
    assertThat(config("'rope_scaling': {'type': 'linear', 'factor': 2.5}").maxPositions())
        .isEqualTo(160);
    assertThat(config("'rope_scaling': {'type': 'dynamic', 'factor': 2}").maxPositions())
        .isEqualTo(128);
    assertThat(config("'rope_scaling': {'type': 'yarn', 'factor': 4}").maxPositions())
        .isEqualTo(256);
    assertThat(
            config(
                    "'rope_scaling': {'type': 'yarn', 'factor': 4, 'original_max_position_embeddings': 16}")
                .maxPositions())
        .isEqualTo(64);
    assertThat(config("'rope_scaling': {'type': 'linear', 'factor': 1e300}").maxPositions())
        .isEqualTo(Integer.MAX_VALUE);
    assertThat(config("'rope_theta': 5").maxPositions()).isEqualTo(64);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "{'type': 'linear'} | rope_scaling.factor | nothing",
        "{'type': 'linear', 'factor': 0} | rope_scaling.factor | '0'",
        "{'type': 'linear', 'factor': '2'} | rope_scaling.factor | '\"2\"'",
        "{'type': 'dynamic'} | rope_scaling.factor | nothing",
        "{'type': 'yarn'} | rope_scaling.factor | nothing",
        "{'type': 'yarn', 'factor': 2, 'beta_fast': -1} | rope_scaling.beta_fast | -1",
        "{'type': 'yarn', 'factor': 2, 'truncate': 1} | rope_scaling.truncate | 1",
        "{'type': 'yarn', 'factor': 2, 'original_max_position_embeddings': 0} | rope_scaling.original_max_position_embeddings | 0",
        "{'type': 'yarn', 'factor': 2, 'rope_theta': 1} | rope_theta | 1",
        "{'type': 'llama3', 'factor': 2, 'high_freq_factor': 4} | rope_scaling.low_freq_factor | nothing",
        "{'type': 'longrope', 'long_factor': [1, 1, 1, 1]} | rope_scaling.short_factor | nothing",
        "{'type': 'longrope', 'short_factor': [1], 'long_factor': [1, 1, 1, 1]} | rope_scaling.short_factor | [1]",
        "{'type': 'longrope', 'short_factor': [1, 1, 1, 1], 'long_factor': [1, 0, 1, 1]} | rope_scaling.long_factor | 0",
        "{'rope_type': null, 'type': 'linear'} | rope_scaling.rope_type | null",
        "{'rope_theta': null} | rope_scaling.rope_theta | null",
        "{'rope_theta': -3} | rope_scaling.rope_theta | -3",
        "{'partial_rotary_factor': 0.5} | rope_scaling.partial_rotary_factor | 0.5",
        "{'full_attention': {'rope_type': 'default'}} | rope_scaling.full_attention | default",
        "'linear' | rope_scaling | linear",
        "[2] | rope_scaling | [2]"
      })
  void whatIsMissingOrOddIsNamed(String scaling, String field, String found) {
    assertThatThrownBy(() -> config("'rope_scaling': " + scaling))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(FILE.toString())
        .hasMessageContaining("field '" + field + "'")
        .hasMessageContaining(found);
  }

  private static int[] tokens(int count) {
    return new Random(3).ints(count, 2, 61).toArray();
  }

  private static float[] logits(LanguageModel model, int[] tokens) {
    return GoldenModelTest.floats(model.logits(Batch.of(tokens), Routing.BASE));
  }

  @Test
  void dynamicModelsRunAsWithTheGrownBase() throws Exception {
    int[] tokens = tokens(100);
    double base = 10000 * Math.pow(2.0 * 100 / 64 - 1, 8 / 6.0);
    try (Engine engine = TinyModels.engine();
        LanguageModel dynamic =
            LanguageModel.random(
                config("'rope_scaling': {'type': 'dynamic', 'factor': 2.0}"), engine, 1);
        LanguageModel grown =
            LanguageModel.random(
                config("'max_position_embeddings': 128, 'rope_theta': " + base), engine, 1);
        LanguageModel plain = LanguageModel.random(config("'rope_theta': 10000.0"), engine, 1)) {
      float[] first = logits(dynamic, tokens);
      assertThat(GoldenCase.relativeError(first, logits(grown, tokens))).isLessThan(1e-5);
      int[] within = Arrays.copyOf(tokens, 64);
      // no earlier step counts
      assertThat(logits(dynamic, within)).isEqualTo(logits(plain, within));
      assertThat(logits(dynamic, tokens)).isEqualTo(first);
      // of a batch, the longest sequence counts, as in transformers
      Batch pair =
          new Batch(
              Ints.concat(Arrays.copyOf(tokens, 10), tokens),
              IntStream.concat(IntStream.range(0, 10), IntStream.range(0, 100)).toArray(),
              new int[] {0, 10, 110},
              new int[110],
              new int[2],
              null);
      float[] both = GoldenModelTest.floats(dynamic.logits(pair, Routing.BASE));
      assertThat(
              GoldenCase.relativeError(
                  Arrays.copyOf(both, 10 * 61), logits(grown, Arrays.copyOf(tokens, 10))))
          .isLessThan(1e-5);
    }
  }

  @Test
  void aPromptRunInChunksIsOneSequence() throws Exception {
    int[] prompt = tokens(1500);
    List<String> scalings =
        ImmutableList.of(
            "'max_position_embeddings': 1200, 'rope_scaling': {'type': 'dynamic', 'factor': 4.0}",
            "'max_position_embeddings': 1600, 'rope_scaling': {'type': 'longrope', 'factor': 4.0, 'short_factor': [1, 1, 1, 1], 'long_factor': [2, 4, 8, 16], 'original_max_position_embeddings': 1200}");
    for (String scaling : scalings) {
      try (Engine engine = TinyModels.engine();
          LanguageModel model = LanguageModel.random(config(scaling), engine, 1)) {
        float[] all = logits(model, prompt);
        float[] last = Arrays.copyOfRange(all, all.length - 61, all.length);
        int likeliest = 0;
        for (int i = 1; i < 61; i++) {
          likeliest = last[i] > last[likeliest] ? i : likeliest;
        }
        Generation generation =
            model.generateFromTokens(List.of(prompt), GenerationConfig.greedy(1), List.of()).get(0);
        assertThat(generation.tokens()).containsExactly(likeliest);
      }
    }
  }
}
