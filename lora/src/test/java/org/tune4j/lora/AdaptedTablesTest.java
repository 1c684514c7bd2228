package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.io.SafetensorsWriter;
import org.tune4j.core.io.WeightFiles;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.core.model.ModelConfig;
import org.tune4j.core.model.Routing;
import org.tune4j.testing.TinyModels;

/** Adapters of output heads and embeddings, beyond what every adapter keeps to. */
class AdaptedTablesTest {
  @TempDir Path folder;

  private static LoraConfig lora(String... modules) {
    return LoraConfig.builder().rank(3).targetModules(modules).build();
  }

  private static LoraConfig saved(String... modules) {
    return LoraConfig.builder().rank(3).targetModules("q_proj").modulesToSave(modules).build();
  }

  private static LoraAdapter trained(LoraConfig config, LanguageModel model, String name) {
    LoraAdapter adapter = config.create(model, name, 3);
    TinyModels.disturb(adapter, name.hashCode());
    return adapter;
  }

  static Stream<Arguments> untied() {
    return Stream.of(
            lora("lm_head", "q_proj"),
            lora("embed_tokens", "q_proj"),
            lora("lm_head", "embed_tokens"),
            saved("lm_head"),
            saved("embed_tokens"),
            saved("lm_head", "embed_tokens"))
        .flatMap(c -> Stream.of("llama", "qwen2").map(f -> Arguments.of(f, c)));
  }

  @ParameterizedTest
  @MethodSource("untied")
  void aMergedModelIsSavedUntied(String family, LoraConfig config) throws IOException {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model(family, engine);
        LoraAdapter adapter = trained(config, model, "a")) {
      float[] base = TinyModels.logits(model);
      float[] applied = TinyModels.logits(model, adapter);
      assertThat(TinyModels.relativeError(applied, base)).isGreaterThan(0.01);
      Path directory = folder.resolve("merged");
      Merging.saveMerged(model, List.of(adapter), directory, ElementType.F32);
      assertThat(TinyModels.logits(model)).isEqualTo(base);
      assertThat(WeightFiles.open(directory).names()).contains("lm_head.weight");
      assertThat(ModelConfig.read(directory.resolve(ModelConfig.FILE)).tiedHead()).isFalse();
      try (LanguageModel again =
          LanguageModel.load(directory, LoadOptions.builder().engine(engine).build())) {
        assertThat(TinyModels.relativeError(TinyModels.logits(again), applied)).isLessThan(1e-5);
      }
      try (LoraAdapter plain = trained(LoraConfig.rank(2), model, "plain")) {
        Merging.saveMerged(model, List.of(plain), directory, ElementType.F32);
        assertThat(ModelConfig.read(directory.resolve(ModelConfig.FILE)).tiedHead())
            .isEqualTo(family.equals("qwen2"));
      }
    }
  }

  static Stream<LoraConfig> configs() {
    return untied().filter(a -> a.get()[0].equals("qwen2")).map(a -> (LoraConfig) a.get()[1]);
  }

  @ParameterizedTest
  @MethodSource("configs")
  void generationAndScoringSeeThem(LoraConfig config) {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("qwen2", engine);
        LoraAdapter adapter = trained(config, model, "a");
        LanguageModel merged = model.withMerged(List.of(adapter))) {
      List<int[]> prompts = List.of(new int[] {3, 9, 4}, new int[] {7, 5, 11, 2});
      GenerationConfig greedy = GenerationConfig.greedy(8);
      assertThat(tokens(model, prompts, greedy, List.of(adapter)))
          .isEqualTo(tokens(merged, prompts, greedy, List.of()))
          .isNotEqualTo(tokens(model, prompts, greedy, List.of()));
      int[][] choices = {{4}, {6, 7}, {8, 9, 10}};
      List<float[]> applied =
          model.scoreContinuations(prompts, List.of(choices, choices), List.of(adapter), 64);
      List<float[]> expected =
          merged.scoreContinuations(prompts, List.of(choices, choices), List.of(), 64);
      for (int i = 0; i < applied.size(); i++) {
        assertThat(applied.get(i)).containsExactly(expected.get(i), within(1e-4f));
      }
    }
  }

  private static List<ImmutableList<Integer>> tokens(
      LanguageModel model, List<int[]> prompts, GenerationConfig c, List<Adapter> adapters) {
    return model.generateFromTokens(prompts, c, adapters).stream().map(g -> g.tokens()).toList();
  }

  @Test
  void oneThatReplacesAHeadDoesNotStandOnAnother() {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter own = trained(saved("lm_head", "embed_tokens"), model, "own");
        LoraAdapter other = trained(saved("lm_head"), model, "other");
        LoraAdapter low = trained(lora("lm_head", "embed_tokens"), model, "low")) {
      for (LoraAdapter below : List.of(other, low)) {
        assertThatThrownBy(() -> TinyModels.logits(model, below, own))
            .isInstanceOf(IllegalArgumentException.class)
            .hasMessageContaining("adapter 'own' replaces")
            .hasMessageContaining("it must come first");
        below.mergeIntoModel();
        assertThatThrownBy(own::mergeIntoModel).hasMessageContaining("'own' replaces");
        Merging.unmerge(model);
      }
      float[] stacked = TinyModels.logits(model, own, low); // the other way round it can
      own.mergeIntoModel();
      low.mergeIntoModel();
      assertThat(TinyModels.relativeError(TinyModels.logits(model), stacked)).isLessThan(1e-5);
      Merging.unmerge(model);
      assertThatThrownBy(() -> Combination.concatenation().apply("sum", List.of(own, low), 1, 1))
          .hasMessageContaining(
              "'own' has its own fully trained [lm_head.weight, model.embed_tokens.weight]");
      try (LoraAdapter sum =
          Combination.concatenation().apply("sum", List.of(low, low), 0.5, 0.5)) {
        assertThat(
                TinyModels.relativeError(
                    TinyModels.logits(model, sum), TinyModels.logits(model, low)))
            .isLessThan(1e-5);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"INT8", "BF16"})
  void otherPrecisionsStayClose(Precision precision) {
    for (String name : TinyModels.engines(precision)) {
      for (LoraConfig config : configs().toList()) {
        try (Engine single = Engines.create(name, Precision.F32);
            Engine half = Engines.create(name, precision);
            LanguageModel model = TinyModels.model("llama", single);
            LanguageModel halfModel = TinyModels.model("llama", half);
            LoraAdapter adapter = trained(config, model, "a");
            LoraAdapter halfAdapter = config.create(halfModel, "a", 3)) {
          TinyModels.set(halfAdapter, TinyModels.get(adapter));
          float[] exact = gradients(model, adapter);
          float[] rounded = gradients(halfModel, halfAdapter);
          assertThat(TinyModels.relativeError(rounded, exact))
              .as("%s in %s on %s", config, precision, name)
              .isLessThan(0.1);
        }
      }
    }
  }

  private static float[] gradients(LanguageModel model, LoraAdapter adapter) {
    return gradients(model, adapter, TinyModels.batch());
  }

  private static float[] gradients(LanguageModel model, LoraAdapter adapter, Batch batch) {
    Engine engine = model.engine();
    engine.lock().lock();
    try {
      adapter.parameters().zeroGradients();
      Tape tape = Tape.recording(engine);
      model.loss(tape, batch, Routing.all(batch.rows(), List.of(adapter)), null);
      tape.backward();
      return engine.read(adapter.parameters().flatGradients());
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
  }

  @ParameterizedTest
  @MethodSource("enginesOfF32")
  void logitsOfABatchAreNeverHeld(String name) throws IOException {
    String json =
        """
        {"model_type": "llama", "vocab_size": 20000, "hidden_size": 8, "intermediate_size": 8,
         "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 2048}
        """;
    int n = 1200;
    int[] ids = new int[n];
    int[] targets = new int[n];
    int[] positions = new int[n];
    for (int i = 0; i < n; i++) {
      ids[i] = i * 31 % 20000;
      targets[i] = i * 17 % 20000;
      positions[i] = i;
    }
    Batch batch = new Batch(ids, positions, new int[] {0, n}, targets, new int[1], null);
    try (Engine engine = Engines.create(name, Precision.F32);
        LanguageModel model =
            LanguageModel.random(ModelConfig.parse(json, Path.of("config.json")), engine, 1)) {
      for (LoraConfig config : List.of(lora("lm_head"), saved("lm_head"))) {
        try (LoraAdapter adapter = trained(config, model, "a")) {
          gradients(model, adapter, batch);
          assertThat(engine.memory().arenaPeak()).isLessThan(4L * n * 20000);
        }
      }
    }
  }

  static List<String> enginesOfF32() {
    return TinyModels.engines(Precision.F32);
  }

  /** torch gives the row of padding_idx no gradient. */
  @Test
  void thePaddingTokensRowIsNotTrained() throws IOException {
    String json =
        """
        {"model_type": "llama", "vocab_size": 61, "hidden_size": 16, "intermediate_size": 24,
         "num_hidden_layers": 1, "num_attention_heads": 4, "max_position_embeddings": 64,
         "pad_token_id": 5}
        """;
    Batch batch = Batch.of(new int[] {3, 5, 7, 5, 9});
    Batch learned =
        new Batch(
            batch.ids(),
            batch.positions(),
            batch.segmentStart(),
            new int[] {5, 7, 5, 9, -1},
            batch.segmentTask(),
            null);
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model =
            LanguageModel.random(ModelConfig.parse(json, Path.of("config.json")), engine, 1);
        LoraAdapter low = trained(lora("embed_tokens"), model, "low");
        LoraAdapter own = trained(saved("embed_tokens"), model, "own")) {
      gradients(model, low, learned);
      float[] a = low.gradient("model.embed_tokens.lora_embedding_A"); // [3, 61]
      gradients(model, own, learned);
      float[] table = own.gradient("model.embed_tokens.weight"); // [61, 16]
      for (int id : new int[] {3, 5, 7, 11}) {
        boolean trained = id != 5 && id != 11;
        assertThat(a[61 + id] != 0).as("A of %s", id).isEqualTo(trained);
        float[] row = Arrays.copyOfRange(table, id * 16, id * 16 + 16);
        assertThat(TinyModels.relativeError(row, new float[16]) != 0).isEqualTo(trained);
      }
    }
  }

  // ---- files

  @Test
  void peftsBaseWeightsInTheFileMustBeTheModels() throws IOException {
    Path recorded = CaseFiles.GOLDEN.resolve("target-embed-tokens");
    String key = "base_model.model.model.embed_tokens.base_layer.weight";
    try (LanguageModel model = LanguageModel.load(recorded.resolve("model"))) {
      Path directory = CaseFiles.copy(recorded.resolve("adapter"), folder.resolve("a"));
      Path file = directory.resolve(PeftFormat.WEIGHTS);
      try (LoraAdapter adapter = PeftFormat.load(model, "a", directory)) {
        adapter.save(folder.resolve("saved"));
      }
      assertThat(Safetensors.open(folder.resolve("saved").resolve(PeftFormat.WEIGHTS)).names())
          .contains("base_model.model.model.embed_tokens.lora_embedding_A")
          .doesNotContain(key);
      assertThat(PeftFormat.readConfig(folder.resolve("saved")))
          .isEqualTo(PeftFormat.readConfig(directory));
      half(file, key, ElementType.BF16); // as a model in half precision is saved
      PeftFormat.load(model, "a", directory).close();
      CaseFiles.editFloats(file, key, v -> v[7] += 0.5f);
      assertThatThrownBy(() -> PeftFormat.load(model, "a", directory))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining("tensor '" + key + "'")
          .hasMessageContaining(
              "the weight of model.embed_tokens: the adapter comes with a changed");
      Safetensors old = Safetensors.open(file);
      SafetensorsWriter writer = new SafetensorsWriter();
      for (String n : old.names()) {
        if (n.equals(key)) {
          writer.add(n, new float[301 * 48], 301, 48);
        } else {
          writer.copy(n, old, n);
        }
      }
      writer.write(file);
      assertThatThrownBy(() -> PeftFormat.load(model, "a", directory))
          .hasMessageContaining("a base weight of shape [301, 48], expected [300, 48]")
          .hasMessageContaining("with its vocabulary resized");
    }
  }

  private static void half(Path file, String key, ElementType type) throws IOException {
    Safetensors old = Safetensors.open(file);
    SafetensorsWriter writer = new SafetensorsWriter();
    for (String n : old.names()) {
      if (n.equals(key)) {
        writer.add(
            n,
            type,
            (first, into, count) -> old.readFloats(n, first, into, 0, count),
            CaseFiles.shape(old.entry(n)));
      } else {
        writer.copy(n, old, n);
      }
    }
    writer.write(file);
  }

  @Test
  void whatIsWrittenIsWhatPeftWrites() throws IOException {
    Path recorded = CaseFiles.GOLDEN.resolve("modules-to-save-lm-head");
    try (LanguageModel model = LanguageModel.load(recorded.resolve("model"));
        LoraAdapter adapter = PeftFormat.load(model, "a", recorded.resolve("adapter"))) {
      adapter.save(folder.resolve("a"));
      Safetensors ours = Safetensors.open(folder.resolve("a").resolve(PeftFormat.WEIGHTS));
      Safetensors theirs =
          Safetensors.open(recorded.resolve("adapter").resolve(PeftFormat.WEIGHTS));
      assertThat(ours.names()).isEqualTo(theirs.names());
      theirs
          .names()
          .forEach(
              n -> {
                assertThat(ours.entry(n).shape()).isEqualTo(theirs.entry(n).shape());
                assertThat(ours.floats(n)).isEqualTo(theirs.floats(n));
              });
      Path named = CaseFiles.copy(recorded.resolve("adapter"), folder.resolve("named"));
      CaseFiles.rename(
          named.resolve(PeftFormat.WEIGHTS),
          n ->
              n.replace("lm_head.weight", "lm_head.modules_to_save.default.weight")
                  .replaceFirst("lora_([AB])", "lora_$1.default"));
      try (LoraAdapter again = PeftFormat.load(model, "b", named)) {
        assertThat(TinyModels.get(again)).isEqualTo(TinyModels.get(adapter));
      }
    }
  }

  // ---- what is refused

  /** DoRA's magnitudes on an embedding are of the table's columns, as in PEFT. */
  @Test
  void doraOnAnEmbeddingRescalesItsColumns() throws IOException {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter adapter =
            trained(lora("embed_tokens").toBuilder().dora(true).build(), model, "a")) {
      Target t = adapter.targets().get("model.embed_tokens");
      int hidden = t.projection().out();
      float[] a = adapter.values("model.embed_tokens.lora_embedding_A"); // [r, entries]
      float[] b = adapter.values("model.embed_tokens.lora_embedding_B"); // [hidden, r]
      float[] m = adapter.values("model.embed_tokens.lora_magnitude_vector");
      MatrixSource source = t.projection().source();
      float[] table = new float[source.rows() * hidden];
      source.read(0, source.rows(), table);
      double[] squares = new double[hidden];
      for (int i = 0; i < table.length; i++) {
        for (int k = 0; k < t.rank(); k++) {
          table[i] +=
              t.scale() * a[k * source.rows() + i / hidden] * b[(i % hidden) * t.rank() + k];
        }
        squares[i % hidden] += (double) table[i] * table[i];
      }
      for (int i = 0; i < table.length; i++) {
        table[i] *= (float) (m[i % hidden] / Math.sqrt(squares[i % hidden]));
      }
      float[] applied = TinyModels.logits(model, adapter);
      t.group().merge(List.of(MatrixSource.of(source.rows(), hidden, table)));
      assertThat(TinyModels.relativeError(TinyModels.logits(model), applied)).isLessThan(1e-5);
      Merging.unmerge(model);
      adapter.save(folder.resolve("a"));
    }
    try (Safetensors weights = Safetensors.open(folder.resolve("a").resolve(PeftFormat.WEIGHTS))) {
      assertThat(weights.entry("base_model.model.model.embed_tokens.lora_magnitude_vector").shape())
          .containsExactly(16L);
    }
  }

  @Test
  void modulesThatAreNotTrainedWholeAreNamed() throws IOException {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        LanguageModel tied = TinyModels.model("qwen2", engine)) {
      assertThatThrownBy(() -> saved("model.norm").create(model, "a", 1))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("modules_to_save [model.norm] has 'model.norm'");
      assertThatThrownBy(() -> saved("o_proj").create(model, "a", 1))
          .hasMessageContaining("has 'model.layers.0.self_attn.o_proj': only embeddings and");
      assertThatThrownBy(() -> saved("mlp").create(model, "a", 1))
          .hasMessageContaining("has 'model.layers.0.mlp'");
      assertThatThrownBy(() -> saved("classifier").create(model, "a", 1))
          .hasMessageContaining(
              "'classifier' is not an embedding or output head of the model; it has:")
          .hasMessageContaining("embed_tokens, q_proj");
      LoraConfig tying = lora("embed_tokens").toBuilder().ensureWeightTying(true).build();
      tying.create(model, "a", 1).close(); // nothing is tied
      lora("q_proj").toBuilder().ensureWeightTying(true).build().create(tied, "a", 1).close();
      assertThatThrownBy(() -> tying.create(tied, "a", 1))
          .hasMessageContaining("ensure_weight_tying is true");
      // PEFT passes over names that nothing has, and so does loading
      try (LoraAdapter adapter = trained(lora("q_proj"), model, "plain")) {
        adapter.save(folder.resolve("plain"));
      }
      CaseFiles.editJson(
          folder.resolve("plain").resolve(PeftFormat.CONFIG),
          root -> root.putArray("modules_to_save").add("classifier").add("score"));
      PeftFormat.load(model, "plain", folder.resolve("plain")).close();
      assertThat(Files.exists(folder.resolve("plain"))).isTrue();
    }
  }
}
