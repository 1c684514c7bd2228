package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.family.LlamaLike;

/** Whatever a configuration says, it is read, or refused with file and field. */
class HostileConfigTest {
  private static final Path FILE = Path.of("some", "config.json");
  private static final ObjectMapper JSON =
      JsonMapper.builder().disable(JsonWriteFeature.WRITE_NAN_AS_STRINGS).build();

  private record Change(String field, String value) {}

  @Provide
  Arbitrary<List<Change>> changes() {
    Arbitrary<String> fields =
        Arbitraries.of(
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "max_position_embeddings",
            "rms_norm_eps",
            "initializer_range",
            "hidden_act",
            "attention_bias",
            "mlp_bias",
            "tie_word_embeddings",
            "eos_token_id",
            "dtype",
            "torch_dtype",
            "rope_theta",
            "rope_scaling",
            "rope_parameters",
            "partial_rotary_factor",
            "original_max_position_embeddings",
            "sliding_window",
            "use_sliding_window",
            "max_window_layers",
            "layer_types",
            "model_type",
            "n_embd",
            "n_head",
            "n_inner",
            "activation_function",
            "layer_norm_epsilon");
    Arbitrary<String> types =
        Arbitraries.of("default", "linear", "dynamic", "yarn", "longrope", "llama3", "odd");
    Arbitrary<String> numbers =
        Arbitraries.of(
            "0",
            "1",
            "-1",
            "2",
            "3",
            "0.5",
            "1e300",
            "1e-300",
            "2147483647",
            "2147483648",
            "9223372036854775808",
            "NaN",
            "Infinity",
            "null",
            "\"4\"",
            "[]",
            "{}");
    Arbitrary<String> rope =
        types.flatMap(
            t ->
                numbers
                    .list()
                    .ofSize(6)
                    .map(
                        n ->
                            """
                            {"rope_type": "%s", "factor": %s, "rope_theta": %s, "original_max_position_embeddings": %s,
                             "low_freq_factor": %s, "high_freq_factor": %s, "beta_fast": %s, "long_factor": [2, 3], "short_factor": [1, 1]}
                            """
                                .formatted(
                                    t, n.get(0), n.get(1), n.get(2), n.get(3), n.get(4),
                                    n.get(5))));
    Arbitrary<String> words =
        Arbitraries.of(
            "true",
            "false",
            "\"silu\"",
            "\"gpt2\"",
            "\"llama\"",
            "\"qwen3\"",
            "\"mistral\"",
            "[\"full_attention\", \"sliding_attention\"]",
            "[1, 2]",
            "[[[[1]]]]");
    return fields
        .flatMap(f -> Arbitraries.oneOf(numbers, words, rope, rope).map(v -> new Change(f, v)))
        .list()
        .ofMinSize(1)
        .ofMaxSize(4);
  }

  @Property(tries = 4000)
  void isReadOrRefusedByName(@ForAll("changes") List<Change> changes) throws IOException {
    ObjectNode root = (ObjectNode) JSON.readTree(TinyModels.json("llama"));
    for (Change c : changes) {
      root.set(c.field, JsonFile.parse(c.value, FILE));
    }
    try {
      ModelConfig config = ModelConfig.parse(JSON.writeValueAsString(root), FILE);
      assertThat(config.parameters()).isPositive();
      assertThat(config.maxPositions()).isPositive();
      if (config.architecture() instanceof LlamaLike.Variant v && config.headDim() <= 1024) {
        for (int length : new int[] {1, config.maxPositions()}) {
          assertThat(v.rope().frequencies(config.headDim(), length)).hasSize(config.headDim() / 2);
        }
      }
    } catch (MalformedFileException e) {
      assertThat(e).hasMessageStartingWith(FILE.toString()).hasMessageContaining("expected");
    }
  }
}
