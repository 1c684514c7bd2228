package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.testing.TinyModels;

/** Merged models as files; merging in memory is part of {@link AdapterContract}. */
class MergingTest {
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

  private LanguageModel load(Path directory) throws IOException {
    return LanguageModel.load(directory, LoadOptions.builder().engine(engine).build());
  }

  @ParameterizedTest
  @ValueSource(strings = {"gpt2", "qwen2", "mistral"}) // Conv1D with biases, tied, sharded
  void aMergedModelIsSavedWholeAndLoadsAgain(String name) throws IOException {
    Path golden = CaseFiles.GOLDEN.resolve(name);
    Path saved = folder.resolve("merged");
    float[] base;
    float[] applied;
    float[] merged;
    try (LanguageModel model = load(golden.resolve("model"));
        LoraAdapter adapter = PeftFormat.load(model, "a", golden.resolve("adapter"))) {
      base = TinyModels.logits(model);
      applied = TinyModels.logits(model, adapter);
      Merging.saveMerged(model, List.of(adapter), saved, ElementType.F32);
      assertThat(TinyModels.logits(model)).isEqualTo(base);
      assertThat(TinyModels.logits(model, adapter)).isEqualTo(applied);
      Merging.saveMerged(model, List.of(adapter), folder.resolve("half"), ElementType.BF16);
      Merging.merge(List.of(adapter));
      merged = TinyModels.logits(model);
    }
    assertThat(saved.resolve("generation_config.json"))
        .hasSameBinaryContentAs(golden.resolve("model").resolve("generation_config.json"));
    try (LanguageModel model = load(saved)) {
      assertThat(TinyModels.logits(model)).isEqualTo(merged);
      assertThat(TinyModels.relativeError(merged, applied)).isLessThan(1e-5);
      assertThat(TinyModels.relativeError(merged, base)).isGreaterThan(1e-3);
    }
    try (LanguageModel model = load(folder.resolve("half"))) {
      assertThat(TinyModels.relativeError(TinyModels.logits(model), applied)).isLessThan(0.05);
    }
  }

  @Test
  void savingOnTopOfAMergeKeepsTheMerge() throws IOException {
    try (LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter first = LoraConfig.rank(2).create(model, "first", 1);
        LoraAdapter second = LoraConfig.rank(2).create(model, "second", 2)) {
      TinyModels.disturb(first, 1);
      TinyModels.disturb(second, 2);
      float[] stacked = TinyModels.logits(model, first, second);
      Merging.merge(List.of(first));
      float[] merged = TinyModels.logits(model);
      Merging.saveMerged(model, List.of(second), folder.resolve("both"), ElementType.F32);
      assertThat(TinyModels.logits(model)).isEqualTo(merged);
      try (LanguageModel both = load(folder.resolve("both"))) {
        assertThat(TinyModels.relativeError(TinyModels.logits(both), stacked)).isLessThan(1e-5);
      }
    }
  }

  @Test
  void whatIsNoModelIsNotReplaced() throws IOException {
    Path other = Files.createDirectories(folder.resolve("data"));
    Files.writeString(other.resolve("tasks.jsonl"), "{}");
    try (LanguageModel model = TinyModels.model("llama", engine);
        LoraAdapter adapter = LoraConfig.rank(2).create(model, "a", 1)) {
      TinyModels.disturb(adapter, 1);
      float[] base = TinyModels.logits(model);
      assertThatThrownBy(() -> Merging.saveMerged(model, List.of(adapter), other, ElementType.F32))
          .isInstanceOf(FileAlreadyExistsException.class)
          .hasMessageContaining("tasks.jsonl");
      assertThat(other.resolve("tasks.jsonl")).hasContent("{}");
      assertThat(TinyModels.logits(model)).isEqualTo(base);
    }
  }
}
