package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.LearnedTurns;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;
import org.tune4j.core.io.WeightFiles;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.text.Tokenizer;

/** Model directories in all their forms, good and bad. */
class LoadTest {
  private static final Path GOLDEN = GoldenModelTest.GOLDEN;
  private static final Batch BATCH = Batch.of(new int[] {5, 80, 7, 290, 11, 4, 100});

  @TempDir Path temporary;

  private static float[] logits(Path directory) throws IOException {
    try (LanguageModel model = LanguageModel.load(directory)) {
      return GoldenModelTest.floats(model.logits(BATCH, Routing.BASE));
    }
  }

  /** The tensors of a golden model, to be changed and written again. */
  private static Map<String, float[]> values(String golden, Map<String, long[]> shapes)
      throws IOException {
    WeightFiles files = WeightFiles.open(GOLDEN.resolve(golden).resolve("model"));
    Map<String, float[]> values = new TreeMap<>();
    for (String name : files.names()) {
      values.put(name, files.file(name).floats(name));
      shapes.put(
          name, files.file(name).entry(name).shape().stream().mapToLong(Long::longValue).toArray());
    }
    return values;
  }

  private Path directoryOf(String golden) throws IOException {
    Path directory = Files.createDirectories(temporary.resolve(golden));
    Files.copy(
        GOLDEN.resolve(golden).resolve("model/config.json"), directory.resolve("config.json"));
    return directory;
  }

  private static void write(
      Path file, Map<String, float[]> values, Map<String, long[]> shapes, ElementType type)
      throws IOException {
    SafetensorsWriter writer = new SafetensorsWriter();
    values.forEach(
        (name, v) ->
            writer.add(
                name,
                type,
                (first, into, n) -> System.arraycopy(v, (int) first, into, 0, n),
                shapes.get(name)));
    writer.write(file);
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "F16", "BF16"})
  void loadsEveryStoredType(ElementType type) throws Exception {
    Map<String, long[]> shapes = new TreeMap<>();
    Map<String, float[]> values = values("llama", shapes);
    Path directory = directoryOf("llama");
    write(directory.resolve("model.safetensors"), values, shapes, type);
    float[] expected = logits(GOLDEN.resolve("llama/model"));
    double limit = type == ElementType.F32 ? 1e-9 : type == ElementType.F16 ? 3e-3 : 3e-2;
    assertThat(GoldenCase.relativeError(logits(directory), expected)).isLessThan(limit);
  }

  @Test
  void shardsEqualASingleFile() throws Exception {
    Map<String, long[]> shapes = new TreeMap<>();
    Map<String, float[]> values = values("mistral", shapes); // stored in six shards
    Path directory = directoryOf("mistral");
    write(directory.resolve("model.safetensors"), values, shapes, ElementType.F32);
    assertThat(logits(directory)).isEqualTo(logits(GOLDEN.resolve("mistral/model")));
  }

  @ParameterizedTest
  @ValueSource(strings = {"gpt2", "qwen3"})
  void prefixMayBeAbsentAndOtherTensorsPresent(String golden) throws Exception {
    Map<String, long[]> shapes = new TreeMap<>();
    Map<String, float[]> values = values(golden, shapes);
    Map<String, float[]> bare = new TreeMap<>();
    Map<String, long[]> bareShapes = new TreeMap<>();
    values.forEach(
        (name, v) -> {
          String stripped = name.replaceFirst("^(transformer|model)\\.", "");
          bare.put(stripped, v);
          bareShapes.put(stripped, shapes.get(name));
        });
    bare.put("h.0.attn.bias", new float[4]);
    bareShapes.put("h.0.attn.bias", new long[] {1, 1, 2, 2});
    Path directory = directoryOf(golden);
    write(directory.resolve("model.safetensors"), bare, bareShapes, ElementType.F32);
    assertThat(logits(directory)).isEqualTo(logits(GOLDEN.resolve(golden).resolve("model")));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"gpt2", "llama", "qwen2", "qwen3", "mistral", "smollm3", "granite", "phi3"})
  void savedModelsLoadAsTheyWere(String golden) throws Exception {
    Path source = GOLDEN.resolve(golden).resolve("model");
    Path copy = temporary.resolve("copy");
    try (LanguageModel model = LanguageModel.load(source)) {
      model.save(copy, ElementType.F32);
      model.save(copy, ElementType.F32); // replaces
    }
    assertThat(logits(copy)).isEqualTo(logits(source));
    WeightFiles before = WeightFiles.open(source);
    WeightFiles after = WeightFiles.open(copy);
    assertThat(after.names()).containsExactlyInAnyOrderElementsOf(before.names());
    for (String name : before.names()) {
      Safetensors a = after.file(name);
      assertThat(a.entry(name).shape()).isEqualTo(before.file(name).entry(name).shape());
      assertThat(a.floats(name)).as(name).isEqualTo(before.file(name).floats(name));
    }
    assertThat(copy.resolve("generation_config.json")).exists();
  }

  @Test
  void mergedWeightsAreSavedAndRestored() throws Exception {
    Path copy = temporary.resolve("copy");
    Path source = GOLDEN.resolve("gpt2/model");
    try (LanguageModel model = LanguageModel.load(source)) {
      ProjectionGroup group = model.groups().get(2); // after the embeddings
      float[] before = GoldenModelTest.floats(model.logits(BATCH, Routing.BASE));
      float[] doubled = new float[group.out() * group.in()];
      group.members().get(0).source().read(0, group.out(), doubled);
      for (int i = 0; i < doubled.length; i++) {
        doubled[i] *= 2;
      }
      group.merge(List.of(MatrixSource.of(group.out(), group.in(), doubled)));
      float[] merged = GoldenModelTest.floats(model.logits(BATCH, Routing.BASE));
      assertThat(merged).isNotEqualTo(before);
      model.save(copy, ElementType.F32);
      assertThat(logits(copy)).isEqualTo(merged);
      group.restore();
      assertThat(GoldenModelTest.floats(model.logits(BATCH, Routing.BASE))).isEqualTo(before);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, -1}) // wte, wpe, the head, which is tied to wte
  void aTiedModelIsUntiedWhereOneOfTheTwoIsMerged(int place) throws Exception {
    Path copy = temporary.resolve("copy");
    try (LanguageModel model = LanguageModel.load(GOLDEN.resolve("gpt2/model"))) {
      List<ProjectionGroup> groups = model.groups();
      ProjectionGroup group = groups.get(place < 0 ? groups.size() - 1 : place);
      MatrixSource own = group.sources().get(0);
      assertThat(group.use())
          .isEqualTo(place < 0 ? ProjectionGroup.Use.HEAD : ProjectionGroup.Use.EMBEDDING);
      float[] before = GoldenModelTest.floats(model.logits(BATCH, Routing.BASE));
      long held = model.engine().memory().weights();
      float[] other = new float[own.rows() * own.cols()];
      own.read(0, own.rows(), other);
      for (int i = 0; i < other.length; i++) {
        other[i] += 0.1f * (i % 7 - 3);
      }
      group.merge(List.of(MatrixSource.of(own.rows(), own.cols(), other)));
      float[] merged = GoldenModelTest.floats(model.logits(BATCH, Routing.BASE));
      assertThat(merged).isNotEqualTo(before);
      model.save(copy, ElementType.F32);
      assertThat(logits(copy)).isEqualTo(merged);
      WeightFiles files = WeightFiles.open(copy);
      assertThat(files.names().contains("lm_head.weight")).isEqualTo(place != 1);
      group.restore();
      assertThat(GoldenModelTest.floats(model.logits(BATCH, Routing.BASE))).isEqualTo(before);
      assertThat(model.engine().memory().weights()).as("tied again").isEqualTo(held);
      model.save(copy, ElementType.F32);
      assertThat(WeightFiles.open(copy).names()).doesNotContain("lm_head.weight");
    }
  }

  @Test
  void reportsProgressAndMemory() throws Exception {
    List<Progress> reports = new ArrayList<>();
    LoadOptions options = LoadOptions.builder().progress(reports::add).build();
    try (LanguageModel model = LanguageModel.load(GOLDEN.resolve("qwen2/model"), options)) {
      assertThat(reports)
          .hasSizeGreaterThan(5)
          .allMatch(p -> p.work().startsWith("loading ") && p.unit() == Progress.Unit.BYTES)
          .isSortedAccordingTo(Comparator.comparingLong(Progress::done));
      Progress last = reports.get(reports.size() - 1);
      assertThat(last.done()).as("all is counted, nothing twice").isEqualTo(last.total());
      assertThat(model.describe()).contains("Qwen2ForCausalLM", "weights", "MiB");
      assertThat(model.engine().memory().weights()).isPositive();
      assertThat(model.projections()).hasSize(14);
      assertThat(model.projections().get(3).name()).isEqualTo("model.layers.0.self_attn.o_proj");
    }
  }

  @Test
  void loadingCanBeCancelled() throws Exception {
    List<Progress> reports = new ArrayList<>();
    LoadOptions.Builder options = LoadOptions.builder().progress(reports::add);
    Path directory = GOLDEN.resolve("qwen2/model");
    assertThatThrownBy(
            () ->
                LanguageModel.load(directory, options.cancelled(() -> reports.size() == 3).build()))
        .isInstanceOf(CancellationException.class)
        .hasMessage("loading " + directory + " was cancelled");
    assertThat(reports).hasSize(3);
  }

  @Test
  void endTokensComeFromTheGenerationConfiguration() throws Exception {
    Path directory = temporary.resolve("model");
    try (LanguageModel model = LanguageModel.load(GOLDEN.resolve("llama/model"))) {
      assertThat(model.endTokens()).containsExactly(1);
      model.save(directory, ElementType.F32);
    }
    Files.writeString(directory.resolve("generation_config.json"), "{\"eos_token_id\": [7, 9]}");
    try (LanguageModel model = LanguageModel.load(directory)) {
      assertThat(model.endTokens()).containsExactly(7, 9);
    }
  }

  @Test
  void missingFilesAreNamed() throws Exception {
    assertThatThrownBy(() -> LanguageModel.load(temporary))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining(temporary.resolve("config.json").toString());
    Path directory = directoryOf("llama");
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(NoSuchFileException.class)
        .hasMessageContaining("model.safetensors");
  }

  @Test
  void badTensorsAreNamed() throws Exception {
    Map<String, long[]> shapes = new TreeMap<>();
    Map<String, float[]> values = values("llama", shapes);
    Path directory = directoryOf("llama");
    Path file = directory.resolve("model.safetensors");

    String name = "model.layers.1.mlp.up_proj.weight";
    float[] kept = values.remove(name);
    write(file, values, shapes, ElementType.F32);
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(directory.toString())
        .hasMessageContaining(name);

    values.put(name, kept);
    shapes.put(name, new long[] {48, 112});
    write(file, values, shapes, ElementType.F32);
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining(name)
        .hasMessageContaining("[48, 112]")
        .hasMessageContaining("[112, 48]");

    SafetensorsWriter writer = new SafetensorsWriter();
    shapes.put(name, new long[] {112, 48});
    values.forEach(
        (n, v) -> {
          if (n.equals(name)) {
            writer.add(n, new long[v.length], shapes.get(n));
          } else {
            writer.add(n, v, shapes.get(n));
          }
        });
    writer.write(file);
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(name)
        .hasMessageContaining("I64")
        .hasMessageContaining("floating-point");
  }

  /** Vocabularies are often larger than the embedding: placeholders that no text has. */
  @Test
  void aTokenBeyondTheEmbeddingIsAnErrorWhereItOccurs() throws Exception {
    Path directory = temporary.resolve("model");
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("llama", engine)) {
      model.save(directory, ElementType.BF16);
    }
    Files.copy(
        Path.of("src/test/resources/tiny/tokenizer.json"), directory.resolve("tokenizer.json"));
    try (LanguageModel model = LanguageModel.load(directory)) {
      Tokenizer tokenizer = model.tokenizer();
      String within = tokenizer.decode(new int[] {40}, false);
      assertThat(tokenizer.encode(within)).containsExactly(40);
      assertThat(model.generate(within, GenerationConfig.greedy(2), List.of()).tokens())
          .isNotEmpty();
      int beyond = tokenizer.encode(" house")[0];
      assertThat(beyond).isGreaterThan(61);
      assertThatThrownBy(() -> model.generate(" house", GenerationConfig.greedy(2), List.of()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("token %d (' house')".formatted(beyond))
          .hasMessageContaining("vocabulary of 61");
      Task task =
          Task.builder("t")
              .train(List.of(Example.of(within, " house")))
              .type(Task.Type.GENERATION)
              .build();
      ExampleEncoder encoder =
          model.encoder(32, ExampleEncoder.LengthPolicy.TRUNCATE_PROMPT, LearnedTurns.ALL);
      assertThatThrownBy(() -> encoder.encode(task, Task.Split.TRAIN))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("train example 1 has token %d (' house')".formatted(beyond))
          .hasMessageContaining("embedding of 61 tokens");
    }
  }

  @Test
  void unsupportedArchitecturesAreRefused() throws Exception {
    Path directory = directoryOf("llama");
    ObjectMapper json = new ObjectMapper();
    ObjectNode config = (ObjectNode) json.readTree(directory.resolve("config.json").toFile());
    config.put("model_type", "mamba");
    json.writeValue(directory.resolve("config.json").toFile(), config);
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(directory.resolve("config.json").toString())
        .hasMessageContaining("mamba")
        .hasMessageContaining("mistral");
  }

  @Test
  void tooLittleMemoryIsToldBeforeLoading() throws Exception {
    Path directory = GOLDEN.resolve("llama/model");
    assertThatThrownBy(
            () -> LanguageModel.load(directory, LoadOptions.builder().maxMemory(1000).build()))
        .isInstanceOf(NotEnoughMemoryException.class)
        .hasMessageContaining(directory.toString())
        .hasMessageContaining("needs about")
        .hasMessageContaining("available");
    ModelConfig large =
        ModelConfig.parse("{\"model_type\": \"llama\", \"num_hidden_layers\": 2000}", Path.of("c"));
    try (Engine engine = TinyModels.engine()) {
      assertThatThrownBy(() -> LanguageModel.random(large, engine, 1))
          .isInstanceOf(NotEnoughMemoryException.class);
      assertThat(engine.memory().weights()).isZero();
    }
  }

  @Test
  void trainingIsReckonedToTakeMoreThanInference() {
    ModelConfig config = TinyModels.config("llama");
    try (Engine engine = TinyModels.engine()) {
      MemoryEstimate inference = MemoryEstimate.of(config, engine, 512, 128, 0);
      MemoryEstimate training = MemoryEstimate.of(config, engine, 512, 128, 1_000_000);
      assertThat(training.activations()).isGreaterThan(inference.activations());
      assertThat(training.adapters()).isEqualTo(16_000_000);
    }
  }

  @Test
  void weightsAreReckonedAsTheEngineStoresThem() throws Exception {
    for (Precision precision : Precision.values()) {
      if (Engines.providers().stream().anyMatch(p -> p.unavailable(precision).isEmpty())) {
        weightsAreReckonedAsTheEngineStoresThem(precision);
      }
    }
  }

  private static void weightsAreReckonedAsTheEngineStoresThem(Precision precision)
      throws Exception {
    for (String shape : List.of("gpt2", "llama", "qwen3")) {
      Path directory = GOLDEN.resolve(shape + "/model");
      try (LanguageModel model = LanguageModel.load(directory, LoadOptions.of(precision))) {
        Engine engine = model.engine();
        long held = engine.memory().weights() + engine.memory().persistent();
        assertThat(MemoryEstimate.of(model.config(), engine, 1, 1, 0).weights())
            .as(shape)
            .isBetween(held * 99 / 100, held * 5 / 4);
      }
    }
  }

  @Test
  void unknownEnginesAreNamed() {
    assertThatThrownBy(
            () ->
                LanguageModel.load(
                    GOLDEN.resolve("llama/model"), LoadOptions.builder().engine("abacus").build()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("abacus")
        .hasMessageContaining("nd4j");
  }

  @Test
  void closedModelsAndTokensOutOfRangeAreErrors() throws Exception {
    LanguageModel model = LanguageModel.load(GOLDEN.resolve("llama/model"));
    assertThatThrownBy(() -> model.logits(Batch.of(new int[] {1, 300}), Routing.BASE))
        .hasMessageContaining("token 300 is outside the model's vocabulary of 300");
    assertThatThrownBy(() -> model.logits(Batch.of(new int[65]), Routing.BASE))
        .hasMessageContaining("position 64 is outside the model's context of 64 tokens");
    model.close();
    model.close();
    assertThatThrownBy(() -> model.logits(BATCH, Routing.BASE)).hasMessageContaining("closed");
  }
}
