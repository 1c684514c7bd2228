package org.tune4j.core.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.base.Throwables;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.WeightFiles;

/** Files of models that are odd, change under way, or are more than weights. */
class ModelFilesTest {
  private static final Path GOLDEN = GoldenModelTest.GOLDEN;
  private static final Batch BATCH = Batch.of(new int[] {5, 80, 7, 290, 11, 4, 100});

  @TempDir Path temporary;

  private Path copyOf(String golden) throws IOException {
    Path source = GOLDEN.resolve(golden).resolve("model");
    Path copy = Files.createDirectories(temporary.resolve(golden));
    try (Stream<Path> files = Files.list(source)) {
      for (Path file : files.toList()) {
        Files.copy(file, copy.resolve(file.getFileName()), StandardCopyOption.REPLACE_EXISTING);
      }
    }
    return copy;
  }

  private static float[] logits(LanguageModel model) {
    return GoldenModelTest.floats(model.logits(BATCH, Routing.BASE));
  }

  private static float[] logits(Path directory) throws IOException {
    try (LanguageModel model = LanguageModel.load(directory)) {
      return logits(model);
    }
  }

  // ---- tensors that nothing reads

  /** Puts tensors of other types behind those of a file. */
  private static void append(Path file, String... dtypes) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    int length = (int) bytes.getLong(0);
    ObjectMapper json = new ObjectMapper();
    ObjectNode header = (ObjectNode) json.readTree(bytes.array(), 8, length);
    int data = bytes.capacity() - 8 - length;
    int end = data;
    for (String dtype : dtypes) {
      ObjectNode tensor = header.putObject("model.extra." + dtype);
      tensor.put("dtype", dtype).putArray("shape").add(8);
      int size = (8 * bits(dtype)) / 8;
      tensor.putArray("data_offsets").add(end).add(end + size);
      end += size;
    }
    byte[] text = json.writeValueAsBytes(header);
    ByteBuffer out = ByteBuffer.allocate(8 + text.length + end).order(ByteOrder.LITTLE_ENDIAN);
    out.putLong(text.length).put(text).put(bytes.array(), 8 + length, data);
    Files.write(file, out.array());
  }

  private static int bits(String dtype) {
    return dtype.equals("F99") ? 24 : ElementType.valueOf(dtype).bits();
  }

  @Test
  void tensorsThatNothingReadsAreIgnoredWhateverTheirType() throws Exception {
    Path directory = copyOf("llama");
    append(
        directory.resolve("model.safetensors"),
        "F8_E4M3",
        "F8_E5M2",
        "F8_E8M0",
        "F4",
        "F6_E2M3",
        "F6_E3M2",
        "I64",
        "U64",
        "U32",
        "U16",
        "C64",
        "BOOL",
        "U8",
        "F99");
    assertThat(logits(directory)).isEqualTo(logits(GOLDEN.resolve("llama/model")));
  }

  @ParameterizedTest
  @ValueSource(strings = {"U32", "I32", "F33"})
  void tensorsThatAreReadMustBeReadable(String dtype) throws Exception {
    Path directory = copyOf("llama");
    Path file = directory.resolve("model.safetensors");
    String text =
        new String(Files.readAllBytes(file), java.nio.charset.StandardCharsets.ISO_8859_1);
    String name = "model.layers.1.mlp.up_proj.weight";
    int at = text.indexOf("F32", text.indexOf(name));
    if (dtype.equals("F33")) {
      at = text.indexOf("F32", text.indexOf("model.norm.weight"));
      name = "model.norm.weight";
    }
    text = text.substring(0, at) + dtype + text.substring(at + 3);
    Files.writeString(file, text, java.nio.charset.StandardCharsets.ISO_8859_1);
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining(name)
        .hasMessageContaining(dtype);
  }

  @Test
  void aStaleIndexLoads() throws Exception {
    Path directory = copyOf("mistral");
    Path index = directory.resolve("model.safetensors.index.json");
    ObjectMapper json = new ObjectMapper();
    ObjectNode root = (ObjectNode) json.readTree(index.toFile());
    ((ObjectNode) root.get("weight_map"))
        .put("model.layers.0.self_attn.rotary_emb.inv_freq", "model-00001-of-00006.safetensors")
        .put("model.gone", "model-00007-of-00006.safetensors");
    json.writeValue(index.toFile(), root);
    assertThat(logits(directory)).isEqualTo(logits(GOLDEN.resolve("mistral/model")));
  }

  // ---- files that change

  private static void ioException(ThrowingCallable call, Path file) {
    Throwable thrown = catchThrowable(call);
    assertThat(thrown).isInstanceOfAny(IOException.class, java.io.UncheckedIOException.class);
    assertThat(Throwables.getCausalChain(thrown))
        .anySatisfy(
            e ->
                assertThat(e)
                    .isInstanceOf(MalformedFileException.class)
                    .hasMessageContaining(file.toString()));
  }

  private static void truncate(Path file) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      channel.truncate(channel.size() / 3);
    }
  }

  @Test
  void aFileCutShortIsAnExceptionThatNamesIt() throws Exception {
    for (String golden : List.of("llama", "gpt2")) {
      Path directory = copyOf(golden);
      Path file = directory.resolve("model.safetensors");
      try (LanguageModel model = LanguageModel.load(directory)) {
        float[] before = logits(model);
        truncate(file);
        ioException(() -> model.groups().forEach(ProjectionGroup::restore), file);
        ioException(() -> model.save(temporary.resolve("saved"), ElementType.F32), file);
        assertThatThrownBy(() -> model.save(temporary.resolve("saved"), ElementType.F32))
            .isInstanceOf(IOException.class)
            .hasMessageContaining(file.toString());
        assertThat(logits(model)).as("what was read stays").isEqualTo(before);
      }
      assertThat(temporary.resolve("saved")).doesNotExist();
    }
  }

  @Test
  void aFileWrittenToIsAnExceptionThatNamesIt() throws Exception {
    Path directory = copyOf("llama");
    Path file = directory.resolve("model.safetensors");
    try (LanguageModel model = LanguageModel.load(directory)) {
      byte[] bytes = Files.readAllBytes(file);
      Files.write(file, bytes);
      Files.setLastModifiedTime(file, FileTime.fromMillis(1_000_000_000_000L));
      ioException(() -> model.groups().forEach(ProjectionGroup::restore), file);
    }
  }

  @Test
  void aFileReplacedByAnotherIsReadOn() throws Exception {
    Path directory = copyOf("llama");
    Path file = directory.resolve("model.safetensors");
    try (LanguageModel model = LanguageModel.load(directory)) {
      float[] before = logits(model);
      Files.move(
          Files.write(temporary.resolve("other"), new byte[] {1, 2, 3}),
          file,
          StandardCopyOption.REPLACE_EXISTING);
      model.groups().forEach(ProjectionGroup::restore);
      model.save(directory, ElementType.F32); // over itself
      model.groups().forEach(ProjectionGroup::restore);
      assertThat(logits(model)).isEqualTo(before);
      assertThat(logits(directory)).isEqualTo(before);
      AtomicFiles.deleteRecursively(directory);
      model.groups().forEach(ProjectionGroup::restore);
      assertThat(logits(model)).isEqualTo(before);
    }
  }

  @Test
  void weightsOfAClosedModelAreNotRead() throws Exception {
    Path directory = copyOf("llama");
    LanguageModel model = LanguageModel.load(directory);
    Projection projection = model.projections().get(0);
    model.close();
    assertThatThrownBy(() -> projection.source().read(0, 1, new float[projection.in()]))
        .hasMessageContaining(directory.resolve("model.safetensors").toString())
        .hasMessageContaining("closed");
  }

  @Test
  void interruptedThreadsLoad() throws Exception {
    float[] expected = logits(GOLDEN.resolve("mistral/model"));
    Thread.currentThread().interrupt();
    try {
      assertThat(logits(GOLDEN.resolve("mistral/model"))).isEqualTo(expected);
    } finally {
      assertThat(Thread.interrupted()).isTrue();
    }
  }

  /** A process whose working directory is a model's. */
  static final class Child {
    private Child() {}

    public static void main(String[] args) throws IOException {
      for (String path : new String[] {".", "", "./", "././"}) {
        try (WeightFiles files = WeightFiles.open(Path.of(path))) {
          ModelConfig config = ModelConfig.read(Path.of(path).resolve(ModelConfig.FILE));
          System.out.println(new FileWeights(files, config).config().layers());
        }
      }
    }
  }

  @Test
  void shardsLoadFromTheWorkingDirectory() throws Exception {
    Path directory = copyOf("mistral");
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                absolute(System.getProperty("java.class.path")),
                Child.class.getName())
            .directory(directory.toFile())
            .redirectErrorStream(true)
            .start();
    try {
      String output = new String(process.getInputStream().readAllBytes(), UTF_8);
      assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
      assertThat(output.lines()).containsExactly("2", "2", "2", "2");
    } finally {
      process.destroyForcibly();
    }
  }

  private static String absolute(String classPath) {
    String separator = System.getProperty("path.separator");
    return Stream.of(classPath.split(java.util.regex.Pattern.quote(separator)))
        .map(p -> Path.of(p).toAbsolutePath().toString())
        .collect(java.util.stream.Collectors.joining(separator));
  }

  // ---- sizes and numbers

  private static void set(Path file, String field, String value) throws IOException {
    ObjectMapper json = new ObjectMapper();
    ObjectNode root = (ObjectNode) json.readTree(file.toFile());
    root.set(field, json.readTree(value));
    json.writeValue(file.toFile(), root);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "num_hidden_layers | 2000000000 | num_hidden_layers",
        "num_hidden_layers | 4000 | model.layers.3999.",
        "num_hidden_layers | 0 | num_hidden_layers",
        "hidden_size | 2000000000 | hidden_size",
        "hidden_size | 1048576 | model.embed_tokens.weight",
        "hidden_size | -48 | hidden_size",
        "hidden_size | null | hidden_size",
        "vocab_size | 2147483648 | vocab_size",
        "vocab_size | 16777216 | model.embed_tokens.weight",
        "intermediate_size | 16777216 | mlp.down_proj.weight",
        "num_attention_heads | 2000000000 | num_attention_heads",
        "num_key_value_heads | 0 | num_key_value_heads",
        "head_dim | 2000000000 | head_dim",
        "head_dim | 0 | head_dim",
        "max_position_embeddings | 0 | max_position_embeddings",
        "rms_norm_eps | NaN | rms_norm_eps",
        "rope_theta | 1e400 | rope_theta",
        "eos_token_id | 4294967297 | eos_token_id",
        "eos_token_id | [1.5] | eos_token_id",
        "is_causal | false | is_causal",
        "per_layer_config | {\"0\": {}} | per_layer_config",
        "layer_types | \"full\" | layer_types",
      })
  void sizesAreComparedBeforeAnythingIsAllocated(String field, String value, String named)
      throws Exception {
    Path directory = copyOf("llama");
    Path config = directory.resolve("config.json");
    String text = Files.readString(config);
    Files.writeString(config, text.replaceFirst("\\{", "{\"" + field + "\": " + value + ", "));
    if (text.contains("\"" + field + "\"")) {
      Files.writeString(
          config, text.replaceFirst("\"" + field + "\": [^,\\n]+", "\"" + field + "\": " + value));
    }
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(directory.toString())
        .hasMessageContaining(named);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "temperature | NaN",
        "temperature | -0.5",
        "temperature | \"warm\"",
        "temperature | Infinity",
        "top_k | -1",
        "top_k | 2.5",
        "top_p | 1.5",
        "top_p | -0.1",
        "min_p | 2",
        "repetition_penalty | 0",
        "max_new_tokens | 1000000000000",
        "max_new_tokens | 0",
        "max_length | -5",
        "num_beams | 0",
        "do_sample | \"yes\"",
        "eos_token_id | [\"</s>\"]",
        "eos_token_id | 1.5",
        "eos_token_id | 4294967297",
        "pad_token_id | \"pad\"",
      })
  void generationConfigurationsAreChecked(String field, String value) throws Exception {
    Path directory = copyOf("llama");
    Path file = directory.resolve("generation_config.json");
    Files.writeString(file, "{\"" + field + "\": " + value + "}");
    assertThatThrownBy(() -> LanguageModel.load(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining("field '" + field + "'")
        .hasMessageContaining(value.replace("\"", "").replace("[", "").replace("]", ""));
  }

  @Test
  void ordinaryGenerationConfigurationsLoad() throws Exception {
    Path directory = copyOf("llama");
    Files.writeString(
        directory.resolve("generation_config.json"),
        """
        {"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": null, "eos_token_id": [7, 9], "pad_token_id": 0,
         "bos_token_id": null, "repetition_penalty": 1.05, "max_new_tokens": 2048, "early_stopping": "never", "length_penalty": -1.0,
         "transformers_version": "4.51.0", "_from_model_config": true}
        """);
    try (LanguageModel model = LanguageModel.load(directory)) {
      assertThat(model.endTokens()).containsExactly(7, 9);
    }
  }

  @Test
  void aCacheBeyondTheMemoryIsRefused() throws Exception {
    Path directory = copyOf("llama");
    set(directory.resolve("config.json"), "max_position_embeddings", "2147483647");
    try (LanguageModel model = LanguageModel.load(directory)) {
      assertThatThrownBy(
              () ->
                  model.generateFromTokens(
                      List.of(new int[] {1, 2}),
                      GenerationConfig.greedy(Integer.MAX_VALUE),
                      List.of()))
          .isInstanceOf(NotEnoughMemoryException.class)
          .hasMessageContaining("cache of 2147483647 tokens");
    }
  }

  // ---- what is saved

  @Test
  void savedDirectoriesHaveEverythingThatTheModelHad() throws Exception {
    Path directory = copyOf("llama");
    List<String> companions =
        List.of(
            "tokenizer.model",
            "tokenizer.model.v3",
            "spiece.model",
            "qwen.tiktoken",
            "special_tokens_map.json",
            "added_tokens.json",
            "vocab.json",
            "vocab.txt",
            "merges.txt",
            "tokenizer_config.json",
            "chat_template.jinja",
            "chat_template.json",
            "additional_chat_templates/rag.jinja",
            "additional_chat_templates/tool use.jinja",
            "preprocessor_config.json",
            "LICENSE",
            "USE_POLICY.md",
            "modeling_special.py");
    Files.createDirectory(directory.resolve("additional_chat_templates"));
    for (String name : companions) {
      Files.writeString(directory.resolve(name), "{\"" + name + "\": 1}");
    }
    for (String other : List.of("pytorch_model.bin", "README.md", ".gitattributes", "notes.txt")) {
      Files.writeString(directory.resolve(other), other);
    }
    Files.createDirectory(directory.resolve("onnx"));
    set(directory.resolve("config.json"), "torch_dtype", "\"float16\"");
    set(directory.resolve("config.json"), "architectures", "[\"LlamaModel\"]");
    Path saved = temporary.resolve("saved");
    try (LanguageModel model = LanguageModel.load(directory)) {
      model.save(saved, ElementType.BF16);
      model.save(saved, ElementType.BF16); // replaces all of it
    }
    try (Stream<Path> files = Files.walk(saved)) {
      assertThat(
              files
                  .filter(Files::isRegularFile)
                  .map(f -> saved.relativize(f).toString().replace('\\', '/')))
          .containsExactlyInAnyOrderElementsOf(
              Stream.concat(
                      companions.stream(),
                      Stream.of("config.json", "generation_config.json", "model.safetensors"))
                  .toList());
    }
    for (String name : companions) {
      assertThat(saved.resolve(name)).hasContent("{\"" + name + "\": 1}");
    }
    assertThat(Files.readString(saved.resolve("config.json")))
        .contains("\"torch_dtype\" : \"bfloat16\"", "\"dtype\" : \"bfloat16\"")
        .contains("LlamaForCausalLM")
        .doesNotContain("LlamaModel");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "notes.txt",
        "LICENSE",
        "train.py",
        "other/tokenizer.json",
        "additional_chat_templates/notes.txt",
        "additional_chat_templates/deeper/x.jinja"
      })
  void directoriesWithAnythingElseAreNotReplaced(String foreign) throws Exception {
    Path saved = temporary.resolve("saved");
    try (LanguageModel model = LanguageModel.load(GOLDEN.resolve("llama/model"))) {
      model.save(saved, ElementType.F32);
      Files.createDirectories(saved.resolve(foreign).getParent());
      Files.writeString(saved.resolve(foreign), "mine");
      assertThatThrownBy(() -> model.save(saved, ElementType.F32))
          .isInstanceOf(FileAlreadyExistsException.class)
          .hasMessageContaining(
              foreign.startsWith("other")
                  ? "other/"
                  : foreign.replace("deeper/x.jinja", "deeper/"));
    }
    assertThat(saved.resolve(foreign)).hasContent("mine");
  }
}
