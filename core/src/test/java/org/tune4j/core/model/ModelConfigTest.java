package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.family.Gpt2;
import org.tune4j.core.model.family.LlamaLike;
import org.tune4j.core.model.family.RopeScaling;

class ModelConfigTest {
  private static final Path FILE = Path.of("some", "config.json");

  private static ModelConfig parse(String json) throws Exception {
    return ModelConfig.parse(json, FILE);
  }

  private static Gpt2.Variant gpt2(ModelConfig config) {
    return (Gpt2.Variant) config.architecture();
  }

  @Test
  void bothVersionsOfTransformersSayTheSame() throws Exception {
    String common =
        """
        {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
         "vocab_size": 100, "max_position_embeddings": 512, "tie_word_embeddings": true,
        """;
    ModelConfig four =
        parse(
            common
                + """
                "torch_dtype": "bfloat16", "rope_theta": 500000.0,
                "rope_scaling": {"type": "llama3", "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192}}
                """);
    ModelConfig five =
        parse(
            common
                + """
                "dtype": "bfloat16", "rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 32.0,
                "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192}}
                """);
    assertThat(llamaLike(four).rope()).isEqualTo(llamaLike(five).rope());
    assertThat(llamaLike(four).rope().type()).isEqualTo(RopeScaling.Type.LLAMA3);
    assertThat(llamaLike(four).rope().theta()).isEqualTo(500000);
    assertThat(four.dtype()).isEqualTo("bfloat16").isEqualTo(five.dtype());
    assertThat(four).usingRecursiveComparison().ignoringFields("json").isEqualTo(five);
    assertThat(four.toJson("float32"))
        .contains("\"torch_dtype\" : \"float32\"")
        .doesNotContain("\"dtype\"");
    assertThat(five.toJson("float32")).contains("\"dtype\" : \"float32\"").contains("500000");
  }

  @Test
  void absentKeysHaveTheArchitecturesDefaults() throws Exception {
    ModelConfig gpt2 = parse("{\"model_type\": \"gpt2\"}");
    assertThat(gpt2.hiddenSize()).isEqualTo(768);
    assertThat(gpt2.intermediateSize()).isEqualTo(3072);
    assertThat(gpt2(gpt2).tanh()).isTrue();
    assertThat(gpt2.tiedHead()).isTrue();
    assertThat(gpt2.parameters()).isEqualTo(124_439_808L); // as documented for GPT-2 small

    ModelConfig llama = parse("{\"model_type\": \"llama\"}");
    assertThat(llama.headDim()).isEqualTo(128);
    assertThat(llama.kvHeads()).isEqualTo(32);
    assertThat(llama.tiedHead()).isFalse();
    assertThat(llamaLike(llama).qkvBias()).isFalse();
    assertThat(llama.parameters()).isEqualTo(6_738_415_616L); // Llama 7B
    assertThat(llama.smallestWindow()).isZero();

    ModelConfig mistral = parse("{\"model_type\": \"mistral\"}");
    assertThat(mistral.kvHeads()).isEqualTo(8);
    assertThat(mistral.windows()).hasSize(32).containsOnly(4096);
    assertThat(mistral.parameters()).isEqualTo(7_241_732_096L); // Mistral 7B
    assertThat(parse("{\"model_type\": \"mistral\", \"sliding_window\": null}").windows())
        .containsOnly(0);

    ModelConfig qwen2 = parse("{\"model_type\": \"qwen2\"}");
    assertThat(llamaLike(qwen2).qkvBias()).isTrue();
    assertThat(llamaLike(qwen2).outputBias()).isFalse();
    assertThat(qwen2.windows()).containsOnly(0);

    ModelConfig qwen3 =
        parse(
            "{\"model_type\": \"qwen3\", \"hidden_size\": 1024, \"num_attention_heads\": 16, \"num_key_value_heads\": 8}");
    assertThat(qwen3.headDim()).isEqualTo(128);
    assertThat(llamaLike(qwen3).qkNorm()).isTrue();
    assertThat(llamaLike(qwen3).qkvBias()).isFalse();
  }

  @Test
  void windowsFollowLayerTypesOrTheFirstWindowedLayer() throws Exception {
    String qwen =
        "{\"model_type\": \"qwen2\", \"num_hidden_layers\": 4, \"use_sliding_window\": true, \"sliding_window\": 16";
    assertThat(parse(qwen + ", \"max_window_layers\": 3}").windows()).containsExactly(0, 0, 0, 16);
    assertThat(
            parse(
                    qwen
                        + ", \"layer_types\": [\"sliding_attention\", \"full_attention\", \"full_attention\", \"sliding_attention\"]}")
                .windows())
        .containsExactly(16, 0, 0, 16);
    assertThat(parse(qwen.replace("true", "false") + ", \"max_window_layers\": 0}").windows())
        .containsOnly(0);
  }

  @Test
  void smolLm3LeavesEveryFourthLayerUnrotatedAndWindowsThoseAlone() throws Exception {
    String json = "{\"model_type\": \"smollm3\", \"num_hidden_layers\": 8";
    ModelConfig plain = parse(json + "}");
    assertThat(llamaLike(plain).unrotated()).containsExactly(3, 7);
    assertThat(plain.windows()).containsOnly(0);
    assertThat(plain.tiedHead()).isTrue();
    ModelConfig windowed =
        parse(
            json
                + ", \"use_sliding_window\": true, \"sliding_window\": 9, \"no_rope_layer_interval\": 3}");
    assertThat(windowed.windows()).containsExactly(0, 0, 9, 0, 0, 9, 0, 0);
  }

  @Test
  void phi3SaysLongropeInThreeWays() throws Exception {
    String json =
        """
        {"model_type": "phi3", "hidden_size": 16, "num_attention_heads": 2, "max_position_embeddings": 131072,
         "rope_scaling": {"type": "%s", "short_factor": [1, 2, 3, 4], "long_factor": [2, 3, 4, 5]}}
        """;
    RopeScaling scaling = llamaLike(parse(json.formatted("longrope"))).rope();
    assertThat(scaling.type()).isEqualTo(RopeScaling.Type.LONGROPE);
    assertThat(scaling.originalPositions()).isEqualTo(4096);
    for (String type : List.of("su", "yarn")) {
      assertThat(llamaLike(parse(json.formatted(type))).rope()).isEqualTo(scaling);
    }
  }

  @Test
  void graniteMultipliesByOneUnlessItSays() throws Exception {
    assertThat(llamaLike(parse("{\"model_type\": \"granite\"}")).multipliers())
        .isEqualTo(new LlamaLike.Multipliers(1, 1, 1, 1));
    assertThat(
            llamaLike(parse("{\"model_type\": \"granite\", \"logits_scaling\": 8}")).multipliers())
        .isEqualTo(new LlamaLike.Multipliers(1, 1, 1, 0.125f));
  }

  private static LlamaLike.Variant llamaLike(ModelConfig config) {
    return (LlamaLike.Variant) config.architecture();
  }

  @Test
  void nullIsFalseOrTheDefaultWhereTransformersHasIt() throws Exception {
    ModelConfig config =
        parse(
            """
            {"model_type": "llama", "attention_bias": null, "mlp_bias": null, "tie_word_embeddings": null, "head_dim": null,
             "num_key_value_heads": null, "rope_scaling": null, "eos_token_id": null, "quantization_config": null, "layer_types": null}
            """);
    assertThat(config)
        .usingRecursiveComparison()
        .ignoringFields("json", "endTokens")
        .isEqualTo(parse("{\"model_type\": \"llama\"}"));
    assertThat(config.endTokens()).isEmpty();
  }

  @Test
  void gpt2UnderGeneralNames() throws Exception {
    ModelConfig config =
        parse(
            """
            {"model_type": "gpt2", "hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 3, "max_position_embeddings": 64,
             "n_head": 4, "activation_function": "gelu_fast"}
            """);
    assertThat(config.hiddenSize()).isEqualTo(32);
    assertThat(config.heads()).isEqualTo(2); // the general name counts last
    assertThat(config.layers()).isEqualTo(3);
    assertThat(config.maxPositions()).isEqualTo(64);
    assertThat(config.intermediateSize()).isEqualTo(128);
    assertThat(gpt2(config).tanh()).isTrue();
  }

  @Test
  void gpt2Variants() throws Exception {
    ModelConfig config =
        parse(
            """
            {"model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_inner": 50, "activation_function": "gelu",
             "scale_attn_by_inverse_layer_idx": true, "eos_token_id": [3, 4], "tie_word_embeddings": false}
            """);
    assertThat(config.intermediateSize()).isEqualTo(50);
    assertThat(gpt2(config).tanh()).isFalse();
    assertThat(gpt2(config).scaleByLayer()).isTrue();
    assertThat(config.endTokens()).containsExactly(3, 4);
    assertThat(config.tiedHead()).isFalse();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "{'model_type': 'bert'} | field 'model_type' | 'bert' | gpt2, llama, qwen2, qwen3, mistral",
        "{} | field 'model_type' | nothing | gpt2",
        "[] | config.json | no JSON object | fields",
        "{'model_type': | line 1 | no valid JSON | JSON",
        "{'model_type': 'llama', 'hidden_act': 'relu'} | field 'hidden_act' | 'relu' | silu",
        "{'model_type': 'gpt2', 'activation_function': 'relu'} | field 'activation_function' | 'relu' | gelu_new",
        "{'model_type': 'gpt2', 'n_head': 5} | field 'n_head' | '5' | a divisor of n_embd = 768",
        "{'model_type': 'gpt2', 'add_cross_attention': true} | field 'add_cross_attention' | 'true' | false",
        "{'model_type': 'llama', 'num_key_value_heads': 5} | field 'num_key_value_heads' | '5' | divisor",
        "{'model_type': 'llama', 'num_attention_heads': 5} | field 'num_attention_heads' | '5' | divisor",
        "{'model_type': 'llama', 'head_dim': 5} | field 'head_dim' | '5' | even",
        "{'model_type': 'llama', 'hidden_size': 'x'} | field 'hidden_size' | x | an integer",
        "{'model_type': 'llama', 'vocab_size': 0} | field 'vocab_size' | '0' | an integer from 1",
        "{'model_type': 'llama', 'rms_norm_eps': 'y'} | field 'rms_norm_eps' | y | positive number",
        "{'model_type': 'llama', 'tie_word_embeddings': 1} | field 'tie_word_embeddings' | '1' | true or false",
        "{'model_type': 'llama', 'rope_scaling': {'type': 'su', 'factor': 2}} | field 'rope_scaling.type' | 'su' | llama3",
        "{'model_type': 'llama', 'rope_parameters': {'rope_type': 'proportional'}} | field 'rope_parameters.rope_type' | 'proportional' | linear",
        "{'model_type': 'llama', 'rope_parameters': {'rope_type': 'linear'}} | field 'rope_parameters.factor' | nothing | positive",
        "{'model_type': 'llama', 'partial_rotary_factor': 0.5} | field 'partial_rotary_factor' | '0.5' | 1.0",
        "{'model_type': 'llama', 'quantization_config': {'bits': 4}} | field 'quantization_config' | bits | unquantised",
        "{'model_type': 'qwen3', 'num_hidden_layers': 2, 'layer_types': ['full_attention']} | field 'layer_types' | 1 entries | 2",
        "{'model_type': 'qwen3', 'num_hidden_layers': 1, 'layer_types': ['odd']} | layer_types[0] | 'odd' | sliding_attention",
        "{'model_type': 'llama', 'is_causal': null} | field 'is_causal' | null | value",
        "{'model_type': 'llama', 'compression_config': {'bits': 4}} | field 'compression_config' | bits | unquantised",
        "{'model_type': 'gpt2', 'tie_word_embeddings': null} | field 'tie_word_embeddings' | null | value",
        "{'model_type': 'gpt2', 'hidden_size': 10} | field 'n_head' | '12' | a divisor of n_embd = 10",
        "{'model_type': 'mistral', 'sliding_window': null, 'num_hidden_layers': 1, 'layer_types': ['sliding_attention']} | layer_types[0] | sliding_attention | no sliding_window",
        "{'model_type': 'qwen2', 'num_hidden_layers': 1, 'layer_types': ['sliding_attention']} | layer_types[0] | sliding_attention | no sliding_window",
        "{'model_type': 'granite', 'residual_multiplier': 0.5, 'mlp_bias': true} | field 'mlp_bias' | 'true' | false, as residual_multiplier is 0.5",
        "{'model_type': 'granite', 'logits_scaling': 0} | field 'logits_scaling' | '0' | positive",
        "{'model_type': 'smollm3', 'num_hidden_layers': 3, 'no_rope_layers': [1, 0]} | field 'no_rope_layers' | 2 entries | 3, one for each layer",
        "{'model_type': 'phi3', 'partial_rotary_factor': 0.75} | field 'partial_rotary_factor' | '0.75' | 1.0",
        "{'model_type': 'phi3', 'rope_scaling': {'type': 'linear', 'factor': 2}} | field 'rope_scaling.type' | 'linear' | default or longrope",
        "{'model_type': 'llama', 'eos_token_id': 'end'} | field 'eos_token_id' | end | token ids"
      })
  void refusalsNameFileFieldAndWhatIsSupported(
      String json, String place, String found, String expected) {
    assertThatThrownBy(() -> parse(json.replace('\'', '"')))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(FILE.toString())
        .hasMessageContaining(place)
        .hasMessageContaining(found)
        .hasMessageContaining(expected);
  }

  @Test
  void llama3StretchesLowFrequenciesOnly() {
    RopeScaling scaling = new RopeScaling(500000, RopeScaling.Type.LLAMA3, 8, 1, 4, 8192);
    float[] plain = RopeScaling.plain(500000).frequencies(128);
    float[] scaled = scaling.frequencies(128);
    for (int i = 0; i < 64; i++) {
      double wavelength = 2 * Math.PI * Math.pow(500000, 2 * i / 128.0);
      double expected;
      if (wavelength < 8192 / 4.0) {
        expected = plain[i];
      } else if (wavelength > 8192) {
        expected = plain[i] / 8;
      } else {
        double s = (8192 / wavelength - 1) / 3;
        expected = plain[i] * (s + (1 - s) / 8);
      }
      assertThat((double) scaled[i]).isCloseTo(expected, within(1e-6 * expected));
    }
    assertThat(scaled[0]).isEqualTo(1f);
    assertThat(scaled[63]).isEqualTo(plain[63] / 8);
  }

  @Test
  void linearScalingDividesPositions() {
    RopeTable plain = RopeScaling.plain(10000).table(40, 8);
    RopeTable linear = new RopeScaling(10000, RopeScaling.Type.LINEAR, 4, 0, 0, 0).table(40, 8);
    for (int i = 0; i < 4; i++) {
      assertThat(linear.cos()[36 * 4 + i]).isCloseTo(plain.cos()[9 * 4 + i], within(1e-5f));
      assertThat(linear.sin()[36 * 4 + i]).isCloseTo(plain.sin()[9 * 4 + i], within(1e-5f));
    }
  }
}
