package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.testing.TinyModels;

/** Reading what PEFT writes, writing what PEFT reads, and refusing what is neither. */
class PeftFormatTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String A = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";

  @TempDir Path folder;
  private Engine engine;

  @BeforeEach
  void start() {
    engine = Engines.create(Precision.F32);
  }

  @AfterEach
  void stop() {
    engine.close();
  }

  private LanguageModel golden(String name) throws IOException {
    return LanguageModel.load(
        CaseFiles.GOLDEN.resolve(name).resolve("model"),
        LoadOptions.builder().engine(engine).build());
  }

  /** Returns a copy of a recorded adapter, to be changed. */
  private Path adapter(String name) throws IOException {
    return CaseFiles.copy(
        CaseFiles.GOLDEN.resolve(name).resolve("adapter"), folder.resolve("adapter"));
  }

  // ---- what is written is what PEFT writes

  @ParameterizedTest
  @ValueSource(
      strings = {"gpt2", "llama", "qwen2", "qwen3", "mistral", "smollm3", "granite", "phi3"})
  void whatIsWrittenIsFieldForFieldAndKeyForKeyWhatPeftWrites(String name) throws IOException {
    Path recorded = CaseFiles.GOLDEN.resolve(name).resolve("adapter");
    try (LanguageModel model = golden(name);
        LoraAdapter adapter = PeftFormat.load(model, "a", recorded)) {
      Path written = folder.resolve("written");
      PeftFormat.save(adapter, written, "model");
      assertThat(config(written)).isEqualTo(config(recorded));
      assertThat(fieldOrder(written)).isEqualTo(fieldOrder(recorded));
      Safetensors ours = Safetensors.open(written.resolve(PeftFormat.WEIGHTS));
      Safetensors theirs = Safetensors.open(recorded.resolve(PeftFormat.WEIGHTS));
      assertThat(ours.names()).containsExactlyElementsOf(theirs.names());
      assertThat(ours.metadata())
          .as("PEFT passes over what it does not know here")
          .containsAllEntriesOf(theirs.metadata())
          .containsEntry(PeftFormat.BASE_HASH, model.weightsHash())
          .hasSize(theirs.metadata().size() + 1);
      for (String key : theirs.names()) {
        assertThat(ours.entry(key).shape()).isEqualTo(theirs.entry(key).shape());
        assertThat(ours.entry(key).type()).isEqualTo(theirs.entry(key).type());
        assertThat(ours.floats(key)).isEqualTo(theirs.floats(key));
      }
    }
  }

  /** Returns the configuration, with target modules as the set that they are. */
  private static JsonNode config(Path directory) throws IOException {
    ObjectNode root =
        (ObjectNode) JSON.readTree(Files.readAllBytes(directory.resolve(PeftFormat.CONFIG)));
    Set<String> targets = new HashSet<>();
    root.path("target_modules").forEach(t -> targets.add(t.asText()));
    root.set("target_modules", JSON.valueToTree(targets.stream().sorted().toList()));
    return root;
  }

  private static List<String> fieldOrder(Path directory) throws IOException {
    return config(directory).properties().stream().map(e -> e.getKey()).toList();
  }

  @Test
  void everyFieldSurvivesWritingAndReading() throws IOException {
    List<LoraConfig> configs =
        List.of(
            LoraConfig.builder()
                .rank(5)
                .alpha(7.5)
                .dropout(0.25)
                .targetModules("q_proj", "down_proj")
                .excludeModules(TargetModules.named(List.of("layers.0.self_attn.q_proj")))
                .rankPattern(ImmutableMap.of("layers.1.mlp.down_proj", 2, "down_proj", 3))
                .alphaPattern(ImmutableMap.of("q_proj", 1.25))
                .layersToTransform(List.of(1, 0))
                .layersPattern(List.of("layers"))
                .rslora(true)
                .dora(true)
                .initialisation(Initialisation.GAUSSIAN)
                .build(),
            LoraConfig.builder()
                .targetModules(TargetModules.matching(".*\\.layers\\.1\\..*_proj"))
                .excludeModules(TargetModules.matching(".*up_proj"))
                .initialisation(Initialisation.RANDOM)
                .build());
    try (LanguageModel model = TinyModels.model("llama", engine)) {
      for (LoraConfig config : configs) {
        try (LoraAdapter adapter = config.create(model, "a", 3)) {
          adapter.save(folder.resolve("a"));
          assertThat(PeftFormat.readConfig(folder.resolve("a"))).isEqualTo(config);
          try (LoraAdapter loaded = PeftFormat.load(model, "b", folder.resolve("a"))) {
            assertThat(TinyModels.get(loaded)).isEqualTo(TinyModels.get(adapter));
            assertThat(loaded.trainable()).isFalse();
          }
        }
      }
    }
  }

  @Test
  void allLinearIsWrittenAsTheModulesThatItCameTo() throws IOException {
    try (LanguageModel model = TinyModels.model("gpt2", engine);
        LoraAdapter adapter =
            LoraConfig.builder()
                .excludeModules(TargetModules.named(List.of("c_fc")))
                .build()
                .create(model, "a", 1)) {
      adapter.save(folder.resolve("a"));
      JsonNode config = config(folder.resolve("a"));
      assertThat(config.path("target_modules")).hasSize(6);
      assertThat(config.path("target_modules").get(0).asText())
          .isEqualTo("transformer.h.0.attn.c_attn");
      assertThat(config.path("fan_in_fan_out").asBoolean()).isTrue();
      assertThat(config.path("base_model_name_or_path").isNull()).isTrue();
    }
  }

  @Test
  void whatIsOfAVariantComesFromIt() throws IOException {
    Path directory = folder.resolve("a");
    LoraConfig config =
        LoraConfig.builder().variant(RescaledOutputs.registered()).targetModules("q_proj").build();
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter adapter = config.create(model, "a", 1)) {
      assertThat(config.parameters(model)).isEqualTo(2 * 16);
      assertThat(config.toString()).startsWith("Rescaled(");
      TinyModels.disturb(adapter, 1);
      adapter.save(directory);
      assertThat(PeftFormat.readConfig(directory)).isEqualTo(config);
      assertThat(directory.resolve(PeftFormat.CONFIG)).content().contains("\"use_dora\" : false");
      assertThatThrownBy(() -> Combination.linear().apply("b", List.of(adapter), 1))
          .hasMessageContaining("'a' is a Rescaled adapter, whose updates do not add up");
      CaseFiles.editJson(directory.resolve(PeftFormat.CONFIG), root -> root.put("use_dora", true));
      assertThatThrownBy(() -> PeftFormat.readConfig(directory))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining("use_dora")
          .hasMessageContaining("use_rescaled_outputs");
    }
  }

  @Test
  void doraMagnitudesAreVectorsUnderPeftsName() throws IOException {
    String magnitude = "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector";
    LoraConfig dora = LoraConfig.builder().dora(true).targetModules("q_proj").build();
    try (LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter adapter = dora.create(model, "a", 1)) {
      Path directory = folder.resolve("a");
      adapter.save(directory);
      Path file = directory.resolve(PeftFormat.WEIGHTS);
      assertThat(Safetensors.open(file).entry(magnitude).shape()).containsExactly(16L);
      // before PEFT 0.14 the name ended in .weight, and the vector could be a column
      CaseFiles.rename(file, n -> n.equals(magnitude) ? n + ".weight" : n);
      try (LoraAdapter loaded = PeftFormat.load(model, "b", directory)) {
        assertThat(TinyModels.get(loaded)).isEqualTo(TinyModels.get(adapter));
      }
      Safetensors old = Safetensors.open(file);
      SafetensorsWriter writer = new SafetensorsWriter();
      for (String n : old.names()) {
        if (n.endsWith("magnitude_vector.weight")) {
          writer.add(n, old.floats(n), 16, 1);
        } else {
          writer.copy(n, old, n);
        }
      }
      writer.write(file);
      try (LoraAdapter loaded = PeftFormat.load(model, "c", directory)) {
        assertThat(TinyModels.get(loaded)).isEqualTo(TinyModels.get(adapter));
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"F16", "BF16"})
  void halfPrecisionWeightsAreRead(ElementType type) throws IOException {
    Path directory = adapter("qwen2");
    Path file = directory.resolve(PeftFormat.WEIGHTS);
    Safetensors old = Safetensors.open(file);
    SafetensorsWriter writer = new SafetensorsWriter();
    for (String n : old.names()) {
      writer.add(
          n,
          type,
          (first, into, count) -> old.readFloats(n, first, into, 0, count),
          CaseFiles.shape(old.entry(n)));
    }
    writer.write(file);
    try (LanguageModel model = golden("qwen2");
        LoraAdapter exact =
            PeftFormat.load(model, "a", CaseFiles.GOLDEN.resolve("qwen2").resolve("adapter"));
        LoraAdapter half = PeftFormat.load(model, "b", directory)) {
      assertThat(TinyModels.relativeError(TinyModels.get(half), TinyModels.get(exact)))
          .isBetween(1e-6, 1e-2);
    }
  }

  @Test
  void aConfigurationOfAnOlderPeftIsRead() throws IOException {
    Files.writeString(
        folder.resolve(PeftFormat.CONFIG),
        """
        {"auto_mapping": null, "base_model_name_or_path": "some/model", "bias": "none",
         "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
         "layers_pattern": null, "layers_to_transform": null, "lora_alpha": 16,
         "lora_dropout": 0.05, "modules_to_save": [], "peft_type": "LORA", "r": 64,
         "revision": null, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM",
         "loftq_config": {}, "megatron_core": "megatron.core", "runtime_config":
         {"ephemeral_gpu_offload": false}, "merge_weights": false}
        """);
    assertThat(PeftFormat.readConfig(folder))
        .isEqualTo(
            LoraConfig.builder()
                .rank(64)
                .alpha(16)
                .dropout(0.05)
                .targetModules("q_proj", "v_proj")
                .build());
  }

  @Test
  void aRankAboveTheWeightsIsLoaded() throws IOException {
    LoraConfig config = LoraConfig.builder().rank(20).targetModules("v_proj").build();
    try (LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter adapter = config.create(model, "a", 1)) {
      adapter.save(folder.resolve("a"));
      PeftFormat.load(model, "b", folder.resolve("a")).close(); // v_proj is [8, 16]
    }
  }

  // ---- what is refused

  static Stream<Arguments> options() {
    return Stream.of(
        Arguments.of("bias", "\"some\"", "\"none\", \"all\" or \"lora_only\""),
        Arguments.of("modules_to_save", "\"lm_head\"", "an array of strings"),
        Arguments.of("ensure_weight_tying", "\"yes\"", "true or false"),
        Arguments.of("lora_bias", "true", "adds a bias to B, which is not implemented"),
        Arguments.of("use_qalora", "true", "this option"),
        Arguments.of("use_bdlora", "{\"nblocks\": 2}", "this option"),
        Arguments.of("target_parameters", "[\"experts\"]", "this option"),
        Arguments.of("trainable_token_indices", "[1, 2]", "this option"),
        Arguments.of("layer_replication", "[[0, 2]]", "this option"),
        Arguments.of("alora_invocation_tokens", "[5]", "this option"),
        Arguments.of("megatron_config", "{\"a\": 1}", "this option"),
        Arguments.of("arrow_config", "{\"top_k\": 3}", "this option"),
        Arguments.of("kasa_config", "{\"beta\": 0.1}", "this option"),
        Arguments.of("velora_config", "{\"scale\": 1.0}", "this option"),
        Arguments.of("an_option_to_come", "3", "this option of PEFT is not implemented"),
        Arguments.of("monteclora_config", "{\"num_samples\": 8}", "(MonteCLoRA)"),
        Arguments.of("init_lora_weights", "\"pissa_niter_\"", "other initialisations"),
        Arguments.of("init_lora_weights", "\"corda\"", "moved into the adapter; PEFT converts"),
        Arguments.of("init_lora_weights", "\"lora_ga\"", "found from gradients"),
        Arguments.of("init_lora_weights", "\"loftq\"", "replaced by quantised ones"),
        Arguments.of("init_lora_weights", "\"an_idea_to_come\"", "other initialisations"),
        Arguments.of("init_lora_weights", "\"true\"", "other initialisations"),
        Arguments.of("init_lora_weights", "7", "other initialisations"),
        Arguments.of("peft_type", "\"LOHA\"", "\"LORA\": of PEFT's kinds of adapters"),
        Arguments.of("task_type", "\"SEQ_CLS\"", "\"CAUSAL_LM\""),
        Arguments.of("r", "\"four\"", "an integer"),
        Arguments.of("r", "4.5", "an integer"),
        Arguments.of("r", "4000000000", "an integer"),
        Arguments.of("r", "1e9", "an integer"),
        Arguments.of("r", "true", "an integer"),
        Arguments.of("lora_alpha", "[8]", "a finite number"),
        Arguments.of("lora_dropout", "\"no\"", "a finite number"),
        Arguments.of("use_rslora", "\"yes\"", "true or false"),
        Arguments.of("use_dora", "1", "true or false"),
        Arguments.of("target_modules", "[]", "a list of module names"),
        Arguments.of("target_modules", "null", "a list of module names"),
        Arguments.of("target_modules", "[\"q_proj\", 3]", "an array of strings"),
        Arguments.of("exclude_modules", "3", "an array of strings"),
        Arguments.of("layers_to_transform", "[\"0\"]", "an integer"),
        Arguments.of("layers_to_transform", "true", "an integer"),
        Arguments.of("layers_pattern", "5", "an array of strings"),
        Arguments.of("rank_pattern", "[4]", "an object"),
        Arguments.of("rank_pattern", "{\"q_proj\": \"4\"}", "an integer"),
        Arguments.of("alpha_pattern", "{\"q_proj\": \"4\"}", "a finite number"));
  }

  @ParameterizedTest(name = "{0} = {1}")
  @MethodSource("options")
  void optionsThatAreNotImplementedOrNoneAreNamed(String field, String value, String expected)
      throws IOException {
    Path directory = adapter("qwen2");
    JsonNode node = JSON.readTree(value);
    CaseFiles.editJson(directory.resolve(PeftFormat.CONFIG), root -> root.set(field, node));
    assertThatThrownBy(() -> PeftFormat.readConfig(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(PeftFormat.CONFIG + ", field '" + field)
        .hasMessageContaining(expected);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "bias=null",
        "modules_to_save=[]",
        "use_bdlora=false",
        "an_option_to_come=null",
        "an_option_to_come=false",
        "an_option_to_come={}",
        "layers_to_transform=[]",
        "layers_pattern=\"\"",
        "exclude_modules=[]",
        "task_type=null",
        "init_lora_weights=\"Gaussian\"",
        "init_lora_weights=\"eva\"",
        "init_lora_weights=\"orthogonal\"",
        "init_lora_weights=\"mica\"",
        "init_lora_weights=null",
        "bias=\"all\"",
        "bias=\"lora_only\"",
        "runtime_config={\"ephemeral_gpu_offload\": true}",
        // PEFT ignores the settings of an initialisation that is not chosen
        "eva_config={\"rho\": 2.0}",
        "corda_config={\"corda_method\": \"ipm\"}",
        "lora_ga_config={\"direction\": \"ArB2r\"}",
        "loftq_config={\"loftq_bits\": 4}",
        "auto_mapping={\"base_model_class\": \"LlamaForCausalLM\"}"
      })
  void optionsThatAreOffAreAccepted(String assignment) throws IOException {
    Path directory = adapter("qwen2");
    int equals = assignment.indexOf('=');
    JsonNode value = JSON.readTree(assignment.substring(equals + 1));
    CaseFiles.editJson(
        directory.resolve(PeftFormat.CONFIG),
        root -> root.set(assignment.substring(0, equals), value));
    assertThat(PeftFormat.readConfig(directory).rank()).isEqualTo(4);
  }

  @Test
  void configurationsThatAreNoneAreRefused() throws IOException {
    Path file = folder.resolve(PeftFormat.CONFIG);
    for (String text : List.of("", "[]", "{}", "{\"peft_type\": \"LORA\"", "nonsense")) {
      Files.writeString(file, text);
      assertThatThrownBy(() -> PeftFormat.readConfig(folder))
          .as(text)
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining(file.toString())
          .hasMessageContaining("expected");
    }
    Files.writeString(
        file, "{\"peft_type\": \"LORA\", \"r\": 4, \"r\": 8, \"target_modules\": [\"a\"]}");
    assertThatThrownBy(() -> PeftFormat.readConfig(folder)).hasMessageContaining("no valid JSON");
    Files.writeString(file, "{\"peft_type\": \"LORA\", \"r\": 0, \"target_modules\": [\"a\"]}");
    assertThatThrownBy(() -> PeftFormat.readConfig(folder))
        .hasMessageContaining("r is 0; it must be at least 1");
  }

  @Test
  void missingFilesAreNamed() throws IOException {
    try (LanguageModel model = golden("qwen2")) {
      assertThatThrownBy(() -> PeftFormat.load(model, "a", folder.resolve("nowhere")))
          .isInstanceOf(NoSuchFileException.class)
          .hasMessageContaining("nowhere")
          .hasMessageContaining(PeftFormat.CONFIG);
      Path directory = adapter("qwen2");
      Files.delete(directory.resolve(PeftFormat.WEIGHTS));
      assertThatThrownBy(() -> PeftFormat.load(model, "a", directory))
          .isInstanceOf(NoSuchFileException.class)
          .hasMessageContaining("no such adapter weights");
      Files.writeString(directory.resolve("adapter_model.bin"), "pickle");
      assertThatThrownBy(() -> PeftFormat.load(model, "a", directory))
          .isInstanceOf(NoSuchFileException.class)
          .hasMessageContaining("safe_serialization=True");
    }
  }

  private void refused(Consumer<Path> damage, String... message) throws IOException {
    Path directory = adapter("qwen2");
    damage.accept(directory.resolve(PeftFormat.WEIGHTS));
    try (LanguageModel model = golden("qwen2")) {
      long held = engine.memory().persistent();
      assertThatThrownBy(() -> PeftFormat.load(model, "a", directory))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining(PeftFormat.WEIGHTS)
          .hasMessageContainingAll(message);
      assertThat(engine.memory().persistent()).as("nothing stays allocated").isEqualTo(held);
    }
  }

  private interface Damage {
    void apply(Path file) throws IOException;
  }

  private static Consumer<Path> damage(Damage d) {
    return file -> {
      try {
        d.apply(file);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    };
  }

  @Test
  void truncatedWeightsAreRefused() throws IOException {
    refused(
        damage(
            f -> {
              byte[] bytes = Files.readAllBytes(f);
              Files.write(f, Arrays.copyOf(bytes, bytes.length - 10));
            }),
        "a range within the file's");
  }

  @Test
  void nanIsRefused() throws IOException {
    refused(
        damage(f -> CaseFiles.editFloats(f, A, v -> v[5] = Float.NaN)),
        "tensor '" + A + "', element 5: found NaN, expected a finite number");
  }

  @Test
  void infinitiesAreRefused() throws IOException {
    refused(
        damage(f -> CaseFiles.editFloats(f, A, v -> v[0] = Float.NEGATIVE_INFINITY)),
        "tensor '" + A + "', element 0: found -Infinity, expected a finite number");
  }

  @Test
  void aMissingTensorIsRefused() throws IOException {
    refused(
        damage(f -> CaseFiles.rename(f, n -> n.equals(A) ? null : n)),
        "tensor '" + A + "': found nothing, expected a tensor [4, 48]");
  }

  @Test
  void aTensorTooManyIsRefused() throws IOException {
    refused(
        damage(f -> CaseFiles.rename(f, n -> n.equals(A) ? n.replace("q_proj", "k_proj") : n)),
        "tensor '" + A.replace("q_proj", "k_proj") + "': found an update of");
    Path file = folder.resolve("adapter").resolve(PeftFormat.WEIGHTS);
    Safetensors old =
        Safetensors.open(CaseFiles.GOLDEN.resolve("qwen2/adapter/" + PeftFormat.WEIGHTS));
    SafetensorsWriter writer = new SafetensorsWriter();
    old.names().forEach(n -> writer.copy(n, old, n));
    writer.add("base_model.model.lm_head.lora_A.weight", new float[4 * 48], 4, 48);
    writer.write(file);
    try (LanguageModel model = golden("qwen2")) {
      assertThatThrownBy(() -> PeftFormat.load(model, "a", file.getParent()))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining("tensor 'base_model.model.lm_head.lora_A.weight'");
    }
  }

  @Test
  void integersAreNoWeights() throws IOException {
    refused(
        damage(
            f -> {
              Safetensors old = Safetensors.open(f);
              SafetensorsWriter writer = new SafetensorsWriter();
              for (String n : old.names()) {
                if (n.equals(A)) {
                  writer.add(n, new long[4 * 48], 4, 48);
                } else {
                  writer.copy(n, old, n);
                }
              }
              writer.write(f);
            }),
        "tensor '" + A + "', dtype: found I64");
  }

  @Test
  void anAdapterForAnotherBaseIsRefused() throws IOException {
    Path directory = adapter("qwen2"); // of a model of hidden size 48
    try (LanguageModel model = TinyModels.model("qwen2", engine);
        LanguageModel gpt2 = TinyModels.model("gpt2", engine)) {
      assertThatThrownBy(() -> PeftFormat.load(model, "a", directory))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining("tensor '" + A + "': found shape [4, 48], expected [4, 16]");
      assertThatThrownBy(() -> PeftFormat.load(gpt2, "a", directory))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining("target_modules")
          .hasMessageContaining("q_proj")
          .hasMessageContaining("c_attn, c_proj, c_fc");
    }
  }

  @Test
  void onlyAnAdapterIsReplaced() throws IOException {
    try (LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter adapter = LoraConfig.rank(2).create(model, "a", 1)) {
      Path directory = folder.resolve("a");
      adapter.save(directory);
      Files.writeString(directory.resolve("README.md"), "a model card");
      adapter.save(directory);
      assertThat(directory.resolve("README.md")).hasContent("a model card");

      Path other = Files.writeString(directory.resolve("notes.txt"), "mine");
      assertThatThrownBy(() -> adapter.save(directory))
          .isInstanceOf(FileAlreadyExistsException.class)
          .hasMessageContaining("notes.txt");
      assertThat(other).hasContent("mine");
      assertThatThrownBy(() -> adapter.save(other))
          .isInstanceOf(FileAlreadyExistsException.class)
          .hasMessageContaining("is not a directory");
      assertThatThrownBy(() -> adapter.save(other.resolve("below")))
          .isInstanceOf(IOException.class)
          .hasMessageContaining("notes.txt");
      try (Stream<Path> files = Files.list(folder)) {
        assertThat(files).as("nothing half-written").containsExactly(directory);
      }
    }
  }
}
