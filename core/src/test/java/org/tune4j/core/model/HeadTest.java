package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.SafetensorsWriter;
import org.tune4j.core.io.WeightFiles;

/** Output heads that are the embedding, are not, or should be: as transformers 5.18 ties them. */
class HeadTest {
  private static final Batch BATCH = Batch.of(new int[] {5, 8, 7, 29, 11, 4, 10});
  private static final String HEAD = "lm_head.weight";

  @TempDir Path temporary;
  private Path directory;

  @BeforeEach
  void nameTheModel() {
    directory = temporary.resolve("model");
  }

  /** The tensors of a saved model: values and shapes. */
  private record Tensors(Map<String, float[]> values, Map<String, long[]> shapes) {
    void rename(String from, String to) {
      values.put(to, values.remove(from));
      shapes.put(to, shapes.remove(from));
    }

    void copy(String from, String to) {
      values.put(to, values.get(from).clone());
      shapes.put(to, shapes.get(from));
    }
  }

  private static String embedding(String family) {
    return family.equals("gpt2") ? "transformer.wte.weight" : "model.embed_tokens.weight";
  }

  /**
   * Saves a random model with a tied head, and changes its tensors and what it says of the head.
   */
  private void model(String family, boolean tied, ElementType headType, Consumer<Tensors> change)
      throws IOException {
    String json = TinyModels.json(family).replace("\"tie_word_embeddings\": true, ", "");
    json = json.replaceFirst("\\{", "{\"tie_word_embeddings\": true, ");
    try (Engine engine = TinyModels.engine();
        LanguageModel model =
            LanguageModel.random(ModelConfig.parse(json, Path.of("config.json")), engine, 5)) {
      model.save(directory, ElementType.F32);
    }
    Tensors tensors = new Tensors(new TreeMap<>(), new TreeMap<>());
    try (WeightFiles files = WeightFiles.open(directory)) {
      for (String name : files.names()) {
        tensors.values.put(name, files.file(name).floats(name));
        tensors.shapes.put(
            name,
            files.file(name).entry(name).shape().stream().mapToLong(Long::longValue).toArray());
      }
    }
    assertThat(tensors.values).doesNotContainKey(HEAD);
    change.accept(tensors);
    SafetensorsWriter writer = new SafetensorsWriter();
    tensors.values.forEach(
        (name, v) ->
            writer.add(
                name,
                name.equals(HEAD) ? headType : ElementType.F32,
                (first, into, n) -> System.arraycopy(v, (int) first, into, 0, n),
                tensors.shapes.get(name)));
    writer.write(directory.resolve("model.safetensors"));
    ObjectMapper mapper = new ObjectMapper();
    Path file = directory.resolve("config.json");
    ObjectNode config = (ObjectNode) mapper.readTree(Files.readAllBytes(file));
    mapper.writeValue(file.toFile(), config.put("tie_word_embeddings", tied));
  }

  private static float[] logits(LanguageModel model) {
    return GoldenModelTest.floats(model.logits(BATCH, Routing.BASE));
  }

  private static float[] logits(Path directory) throws IOException {
    try (LanguageModel model = LanguageModel.load(directory)) {
      return logits(model);
    }
  }

  /** Returns what was logged while a model was loaded. */
  private static String log(Path directory) throws IOException {
    PrintStream before = System.err;
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    System.setErr(new PrintStream(out, true, StandardCharsets.UTF_8));
    try {
      LanguageModel.load(directory).close();
    } finally {
      System.setErr(before);
    }
    return out.toString(StandardCharsets.UTF_8);
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama", "gpt2", "qwen3"})
  void anotherHeadIsUsedAndSavedThoughTheConfigurationTiesThem(String family) throws Exception {
    model(
        family,
        true,
        ElementType.F32,
        t -> {
          t.copy(embedding(family), HEAD);
          float[] head = t.values.get(HEAD);
          for (int i = 0; i < head.length; i++) {
            head[i] *= 2;
          }
        });
    float[] doubled = logits(directory);
    assertThat(log(directory))
        .contains("WARN", "differs from " + embedding(family), directory.toString());
    Path saved = temporary.resolve("saved");
    try (LanguageModel model = LanguageModel.load(directory)) {
      assertThat(model.config().tiedHead()).isFalse();
      model.save(saved, ElementType.F32);
    }
    assertThat(Files.readString(saved.resolve("config.json")))
        .contains("\"tie_word_embeddings\" : false");
    assertThat(log(saved)).isEmpty();
    assertThat(logits(saved)).isEqualTo(doubled);
    // the logits are those of the head, and not of the embedding
    model(family, true, ElementType.F32, t -> {});
    float[] tied = logits(directory);
    for (int i = 0; i < tied.length; i++) {
      tied[i] *= 2;
    }
    assertThat(GoldenCase.relativeError(doubled, tied)).isLessThan(1e-6);
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama", "gpt2"})
  void anEqualHeadIsTiedAndHeldOnce(String family) throws Exception {
    model(family, true, ElementType.F32, t -> {});
    long weights;
    float[] expected;
    try (LanguageModel model = LanguageModel.load(directory)) {
      weights = model.engine().memory().weights();
      expected = logits(model);
    }
    model(
        family,
        true,
        ElementType.F32,
        t -> {
          t.values.get(embedding(family))[3] = 0;
          t.copy(embedding(family), HEAD);
          t.values.get(HEAD)[3] = -0f; // equal, in other bits
        });
    assertThat(log(directory)).isEmpty();
    try (LanguageModel model = LanguageModel.load(directory)) {
      assertThat(model.config().tiedHead()).isTrue();
      assertThat(model.engine().memory().weights()).isEqualTo(weights);
      assertThat(logits(model)).hasSameSizeAs(expected);
    }
  }

  @Test
  void aHeadOfAnotherTypeIsComparedByItsValues() throws Exception {
    Consumer<Tensors> rounded =
        t -> {
          float[] values = t.values.get(embedding("llama"));
          for (int i = 0; i < values.length; i++) {
            values[i] = Math.round(values[i] * 16) / 16f; // exact in bfloat16
          }
          t.copy(embedding("llama"), HEAD);
        };
    model("llama", true, ElementType.BF16, rounded);
    try (LanguageModel model = LanguageModel.load(directory)) {
      assertThat(model.config().tiedHead()).isTrue();
    }
  }

  @Test
  void aHeadAloneServesAsEmbedding() throws Exception {
    model("llama", true, ElementType.F32, t -> {});
    float[] expected = logits(directory);
    model("llama", true, ElementType.F32, t -> t.rename(embedding("llama"), HEAD));
    assertThat(logits(directory)).isEqualTo(expected);
  }

  @Test
  void aHeadThatShouldBeThereIsMissed() throws Exception {
    // 'weight' is what a careless look for the name without its prefix finds
    model("llama", false, ElementType.F32, t -> t.copy(embedding("llama"), "weight"));
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(HEAD)
        .hasMessageContaining(directory.toString());
  }

  @Test
  void aHeadOfAnotherShapeIsRefused() throws Exception {
    model(
        "llama",
        true,
        ElementType.F32,
        t -> {
          t.values.put(HEAD, new float[16]);
          t.shapes.put(HEAD, new long[] {1, 16});
        });
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(HEAD)
        .hasMessageContaining("[1, 16]")
        .hasMessageContaining("[61, 16]");
  }
}
