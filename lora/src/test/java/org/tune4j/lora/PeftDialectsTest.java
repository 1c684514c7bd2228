package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.base.Strings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.testing.TinyModels;

/** Adapter files as other programs and other versions write them, and as nobody should. */
class PeftDialectsTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path folder;
  private Engine engine;
  private LanguageModel model;

  @BeforeEach
  void start() {
    engine = Engines.create(Precision.F32);
    model = TinyModels.model("llama", engine);
  }

  @AfterEach
  void stop() {
    model.close();
    engine.close();
  }

  private Path saved(LoraConfig config, String name) throws IOException {
    Path directory = folder.resolve(name);
    try (LoraAdapter adapter = config.create(model, name, 3)) {
      TinyModels.disturb(adapter, name.hashCode());
      adapter.save(directory);
    }
    return directory;
  }

  private static Path weights(Path directory) {
    return directory.resolve(PeftFormat.WEIGHTS);
  }

  private static UnaryOperator<String> named(String name) {
    return key ->
        key.replaceFirst("\\.lora_([AB])\\.weight$", ".lora_$1." + name + ".weight")
            .replaceFirst(
                "\\.lora_magnitude_vector$", ".lora_magnitude_vector." + name + ".weight");
  }

  private float[] loaded(Path directory, String name) throws IOException {
    try (LoraAdapter adapter = PeftFormat.load(model, name, directory)) {
      return TinyModels.get(adapter);
    }
  }

  // ---- names in keys

  @ParameterizedTest
  @ValueSource(strings = {"default", "my_adapter", "weight", "lora_A", "bias"})
  void keysMayHaveTheAdaptersName(String name) throws IOException {
    Path plain = saved(LoraConfig.builder().rank(3).dora(true).build(), "plain");
    Path other = CaseFiles.copy(plain, folder.resolve("other"));
    CaseFiles.rename(weights(other), named(name));
    assertThat(Safetensors.open(weights(other)).names())
        .contains(
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A." + name + ".weight",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector."
                + name
                + ".weight");
    assertThat(loaded(other, "a")).isEqualTo(loaded(plain, "a"));
    // PEFT's own magnitudes were parameters once, without .weight behind the name
    CaseFiles.rename(
        weights(other), k -> k.replace("vector." + name + ".weight", "vector." + name));
    if (!name.equals("weight")) {
      assertThat(loaded(other, "a")).isEqualTo(loaded(plain, "a"));
    }
  }

  @Test
  void ofSeveralTheOneOfTheNameIsTakenAndElsePeftsDefault() throws IOException {
    LoraConfig config = LoraConfig.rank(3);
    Path first = saved(config, "first");
    Path second = saved(config, "second");
    Path both = CaseFiles.copy(first, folder.resolve("both"));
    merge(both, first, named("first"), second, named("default"));
    assertThat(loaded(both, "first")).isEqualTo(loaded(first, "x"));
    assertThat(loaded(both, "default")).isEqualTo(loaded(second, "x"));
    assertThat(loaded(both, "neither")).isEqualTo(loaded(second, "x"));
    merge(both, first, named("first"), second, named("second"));
    assertThatThrownBy(() -> PeftFormat.load(model, "neither", both))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(PeftFormat.WEIGHTS)
        .hasMessageContaining(
            "the adapters [first, second], none of which is 'neither' or 'default'");
    merge(both, first, named("first"), second, k -> k);
    assertThatThrownBy(() -> PeftFormat.load(model, "first", both))
        .hasMessageContaining("keys of the adapter(s) [first] besides keys without");
  }

  private static void merge(
      Path into, Path first, UnaryOperator<String> a, Path second, UnaryOperator<String> b)
      throws IOException {
    Safetensors one = Safetensors.open(weights(first));
    Safetensors two = Safetensors.open(weights(second));
    SafetensorsWriter writer = new SafetensorsWriter();
    one.names().forEach(n -> writer.copy(a.apply(n), one, n));
    two.names().forEach(n -> writer.copy(b.apply(n), two, n));
    writer.write(weights(into));
  }

  // ---- what leaves the base alone

  @ParameterizedTest
  @CsvSource({"eva, EVA", "orthogonal, ORTHOGONAL", "mica, MICA", "Gaussian, GAUSSIAN"})
  void initialisationsThatLeaveTheBaseAloneLoad(String peft, Initialisation expected)
      throws IOException {
    Path directory = saved(LoraConfig.rank(4), "a");
    float[] values = loaded(directory, "a");
    CaseFiles.editJson(
        directory.resolve(PeftFormat.CONFIG), root -> root.put("init_lora_weights", peft));
    try (LoraAdapter adapter = PeftFormat.load(model, "a", directory)) {
      if (expected == Initialisation.MICA) { // which trains A only
        assertThat(adapter.parameters().names()).allMatch(n -> n.endsWith("lora_A.weight"));
      } else {
        assertThat(TinyModels.get(adapter)).isEqualTo(values);
      }
      assertThat(adapter.config().initialisation()).isEqualTo(expected);
      adapter.save(folder.resolve("again"));
    }
    try (Safetensors before = Safetensors.open(directory.resolve(PeftFormat.WEIGHTS));
        Safetensors after = Safetensors.open(folder.resolve("again").resolve(PeftFormat.WEIGHTS))) {
      assertThat(after.names()).isEqualTo(before.names());
      for (String tensor : after.names()) {
        assertThat(after.floats(tensor)).isEqualTo(before.floats(tensor));
      }
    }
    assertThat(PeftFormat.readConfig(folder.resolve("again")).initialisation()).isEqualTo(expected);
  }

  @ParameterizedTest
  @ValueSource(strings = {"all", "lora_only"})
  void biasesOfWhichThereAreNoneAreTrainedInVain(String bias) throws IOException {
    Path directory = saved(LoraConfig.rank(4), "a");
    float[] values = loaded(directory, "a");
    CaseFiles.editJson(directory.resolve(PeftFormat.CONFIG), root -> root.put("bias", bias));
    try (LoraAdapter adapter = PeftFormat.load(model, "a", directory)) {
      assertThat(TinyModels.get(adapter)).isEqualTo(values);
      adapter.save(folder.resolve("again"));
    }
    JsonNode again =
        JSON.readTree(Files.readAllBytes(folder.resolve("again").resolve(PeftFormat.CONFIG)));
    assertThat(again.path("bias").asText()).isEqualTo(bias);
  }

  @Test
  void biasesThatThereAreAreNamed() {
    try (LanguageModel qwen = TinyModels.model("qwen2", engine)) {
      LoraConfig all =
          LoraConfig.builder().targetModules("o_proj").bias(LoraConfig.Bias.ALL).build();
      assertThatThrownBy(() -> all.create(qwen, "a", 1))
          .hasMessageContaining("bias is 'all' and model.layers.0.self_attn.q_proj has one");
      LoraConfig own = all.toBuilder().bias(LoraConfig.Bias.LORA_ONLY).build();
      own.create(qwen, "a", 1).close(); // o_proj has none
      assertThatThrownBy(() -> own.toBuilder().targetModules("k_proj").build().create(qwen, "a", 1))
          .hasMessageContaining("bias is 'lora_only' and model.layers.0.self_attn.k_proj has one");
    }
  }

  // ---- numbers and sizes

  @ParameterizedTest
  @ValueSource(ints = {1_000_000, 2_000_000_000, Integer.MAX_VALUE, 9})
  void aRankThatTheTensorsLackAllocatesNothing(int rank) throws IOException {
    Path directory = saved(LoraConfig.builder().rank(4).dora(true).build(), "a");
    CaseFiles.editJson(directory.resolve(PeftFormat.CONFIG), root -> root.put("r", rank));
    refusedWithoutAllocating(
        directory,
        "lora_A.weight': found shape [4, 16], expected [" + rank + ", 16]",
        "gives this module the rank " + rank);
    CaseFiles.editJson(
        directory.resolve(PeftFormat.CONFIG),
        root -> root.put("r", 4).putObject("rank_pattern").put("layers.1.mlp.down_proj", rank));
    refusedWithoutAllocating(directory, "layers.1.mlp.down_proj", "the rank " + rank);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, -1, Integer.MIN_VALUE})
  void aRankBelowOneIsRefused(int rank) throws IOException {
    Path directory = saved(LoraConfig.rank(4), "a");
    CaseFiles.editJson(directory.resolve(PeftFormat.CONFIG), root -> root.put("r", rank));
    refusedWithoutAllocating(directory, "r is " + rank + "; it must be at least 1");
  }

  private void refusedWithoutAllocating(Path directory, String... message) {
    long held = engine.memory().persistent();
    assertTimeoutPreemptively(
        Duration.ofSeconds(5),
        () ->
            assertThatThrownBy(() -> PeftFormat.load(model, "a", directory))
                .isInstanceOf(MalformedFileException.class)
                .hasMessageContainingAll(message));
    assertThat(engine.memory().persistent()).isEqualTo(held);
  }

  @Test
  void anAdapterLargerThanCanBeIsRefusedWhenItIsMade() {
    assertThatThrownBy(() -> LoraConfig.rank(2_000_000_000).create(model, "a", 1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("r is 2000000000")
        .hasMessageContaining("parameters");
  }

  @Test
  void anExpressionThatHangsIsGivenUp() throws IOException {
    Path directory = saved(LoraConfig.rank(4), "a");
    CaseFiles.editJson(
        directory.resolve(PeftFormat.CONFIG),
        root -> root.put("target_modules", ".*.*.*.*.*.*.*.*.*.*X"));
    assertTimeoutPreemptively(
        Duration.ofSeconds(60),
        () ->
            assertThatThrownBy(() -> PeftFormat.load(model, "a", directory))
                .isInstanceOf(MalformedFileException.class)
                .hasMessageContaining(PeftFormat.CONFIG)
                .hasMessageContaining(
                    "target_modules: '.*.*.*.*.*.*.*.*.*.*X' takes too many steps"));
  }

  @Test
  void aConfigurationOfManyMegabytesIsNotRead() throws IOException {
    Path directory = saved(LoraConfig.rank(4), "a");
    CaseFiles.editJson(
        directory.resolve(PeftFormat.CONFIG),
        root -> root.put("revision", Strings.repeat("x", 5 << 20)));
    assertThatThrownBy(() -> PeftFormat.readConfig(directory))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("expected at most 4194304");
    CaseFiles.editJson(
        directory.resolve(PeftFormat.CONFIG),
        root -> root.put("revision", "main").put("lora_dropout", Strings.repeat("x", 1 << 20)));
    assertThatThrownBy(() -> PeftFormat.readConfig(directory))
        .satisfies(e -> assertThat(e.getMessage().length()).isLessThan(500));
  }

  // ---- another base

  @Test
  void whatDiffersFromTheBaseIsNamed() throws IOException {
    Path directory =
        saved(LoraConfig.builder().rank(4).targetModules("q_proj", "v_proj").build(), "a");
    String q9 = "base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight";
    String q0 = q9.replace(".9.", ".0.");
    Path other = CaseFiles.copy(directory, folder.resolve("layer"));
    CaseFiles.rename(weights(other), n -> n.equals(q0) ? q9 : n);
    refusedWithoutAllocating(
        other,
        "tensor '" + q9 + "': found an update of the module 'model.layers.9.self_attn.q_proj'",
        "which this base model lacks",
        "model.layers.*.self_attn.q_proj");
    Path untargeted = CaseFiles.copy(directory, folder.resolve("untargeted"));
    CaseFiles.editJson(
        untargeted.resolve(PeftFormat.CONFIG),
        root -> root.set("target_modules", JSON.valueToTree(List.of("q_proj"))));
    refusedWithoutAllocating(
        untargeted, "v_proj", "an update of", "which the configuration does not target");
    Path bare = CaseFiles.copy(directory, folder.resolve("bare"));
    CaseFiles.rename(weights(bare), n -> n.substring("base_model.model.".length()));
    refusedWithoutAllocating(bare, "a name that does not begin with 'base_model.model.'");
    Path more = CaseFiles.copy(directory, folder.resolve("more"));
    Safetensors old = Safetensors.open(weights(directory));
    SafetensorsWriter writer = new SafetensorsWriter();
    old.names().forEach(n -> writer.copy(n, old, n));
    writer.add(q0.replace("lora_A.weight", "lora_diag.weight"), new float[4], 4);
    writer.write(weights(more));
    refusedWithoutAllocating(more, "lora_diag", "a parameter that this kind of adapter");
  }
}
