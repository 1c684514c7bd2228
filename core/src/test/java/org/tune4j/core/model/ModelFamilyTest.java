package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.Safetensors;

/** What a family says of its models without loading them is what its network loads. */
class ModelFamilyTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "gpt2",
        "llama",
        "qwen2",
        "qwen3",
        "mistral",
        "smollm3",
        "granite",
        "phi3",
        "llama biased",
        "qwen3 biased",
        "smollm3 biased"
      })
  void saysWhatItsNetworkLoads(String model, @TempDir Path folder) throws Exception {
    String name = model.replace(" biased", "");
    String biases = name.equals(model) ? "{" : "{\"attention_bias\": true, \"mlp_bias\": true, ";
    ModelConfig config =
        ModelConfig.parse(
            TinyModels.json(name).strip().replaceFirst("^\\{", biases), Path.of("config.json"));
    assertThat(config.family().modelType()).isEqualTo(name);
    Path saved = folder.resolve("saved");
    try (Engine engine = TinyModels.engine();
        LanguageModel random = LanguageModel.random(config, engine, 1)) {
      random.save(saved, ElementType.F32);
    }
    Architecture architecture = config.architecture();
    try (Safetensors file = Safetensors.open(saved.resolve("model.safetensors"))) {
      long weights = 0;
      for (String tensor : file.names()) {
        weights += file.entry(tensor).size();
        assertThat(tensor.startsWith(architecture.prefix()) || tensor.startsWith("lm_head."))
            .as(tensor)
            .isTrue();
      }
      assertThat(config.parameters()).isEqualTo(weights);
      assertThat(file.entry(architecture.embedding()).shape())
          .isEqualTo(List.of((long) config.vocabularySize(), (long) config.hiddenSize()));
      Architecture.StoredMatrix last = architecture.lastMatrix(config);
      assertThat(file.entry(last.name()).shape())
          .isEqualTo(List.of((long) last.rows(), (long) last.cols()));
    }
    assertThat(ModelConfig.read(saved.resolve(ModelConfig.FILE)).architecture())
        .isEqualTo(architecture);
  }

  @Test
  void anUnknownFamilyIsRefusedWithThoseThatAreKnown() {
    assertThatThrownBy(() -> ModelConfig.parse("{\"model_type\": \"bloom\"}", Path.of("c.json")))
        .hasMessageContaining("bloom")
        .hasMessageContaining("one of gpt2, llama, qwen2, qwen3, mistral, smollm3, granite, phi3");
  }
}
