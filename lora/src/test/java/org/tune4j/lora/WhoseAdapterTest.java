package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LoadOptions;
import org.tune4j.core.model.Routing;
import org.tune4j.core.model.TextGenerator;
import org.tune4j.testing.TinyModels;

/** Adapters work on the model that they belong to, and on nothing that is closed. */
class WhoseAdapterTest {
  @TempDir Path folder;
  private Engine engine;
  private LanguageModel model;

  @BeforeEach
  void start() throws IOException {
    engine = Engines.create(Precision.F32);
    try (LanguageModel random = TinyModels.model("llama", engine)) {
      random.save(folder.resolve("base"), ElementType.F32);
    }
    model = load("base");
  }

  @AfterEach
  void stop() {
    model.close();
    engine.close();
  }

  private LanguageModel load(String name) throws IOException {
    return LanguageModel.load(folder.resolve(name), LoadOptions.builder().engine(engine).build());
  }

  private static LoraAdapter adapter(LanguageModel on, String name, long seed) {
    LoraAdapter adapter = LoraConfig.rank(2).create(on, name, seed);
    TinyModels.disturb(adapter, seed);
    return adapter;
  }

  /** A way to use a model with adapters. */
  record Use(String name, BiConsumer<LanguageModel, List<LoraAdapter>> with) {
    @Override
    public String toString() {
      return name;
    }
  }

  static Stream<Use> uses() {
    List<int[]> prompts = List.of(new int[] {3, 4, 5});
    return Stream.of(
        new Use("logits", (m, a) -> m.logits(TinyModels.batch(), all(a))),
        new Use("hidden states", (m, a) -> m.hiddenStates(TinyModels.batch(), all(a))),
        new Use("loss", (m, a) -> m.loss(TinyModels.batch(), all(a))),
        new Use(
            "a step of the caller's",
            (m, a) -> {
              m.engine().lock().lock();
              try {
                m.loss(Tape.recording(m.engine()), TinyModels.batch(), all(a), null);
              } finally {
                m.engine().resetArena();
                m.engine().lock().unlock();
              }
            }),
        new Use(
            "one of the batch's slices",
            (m, a) ->
                m.loss(
                    TinyModels.batch(),
                    new Routing(
                        ImmutableList.of(new Routing.Slice(3, 4, ImmutableList.copyOf(a)))))),
        new Use(
            "scores",
            (m, a) ->
                m.scoreContinuations(prompts, List.<int[][]>of(new int[][] {{6}, {7, 8}}), a, 100)),
        new Use(
            "generation", (m, a) -> m.generateFromTokens(prompts, GenerationConfig.greedy(2), a)));
  }

  private static Routing all(List<LoraAdapter> adapters) {
    return Routing.all(TinyModels.batch().rows(), List.copyOf(adapters));
  }

  @ParameterizedTest
  @MethodSource("uses")
  void thoseOfAnotherModelAreRefusedWithBothNames(Use use) throws IOException {
    try (LanguageModel other = TinyModels.model("llama", engine);
        LanguageModel again = load("base");
        LoraAdapter mine = adapter(model, "mine", 1);
        LoraAdapter its = adapter(other, "its", 1);
        LoraAdapter old = adapter(again, "old", 1)) {
      use.with.accept(model, List.of(mine));
      assertThatThrownBy(() -> use.with.accept(model, List.of(its)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage(
              "adapter 'its' belongs to a random LlamaForCausalLM, this is %s", model.name());
      assertThatThrownBy(() -> use.with.accept(model, List.of(mine, its)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("'its'");
      assertThatThrownBy(() -> use.with.accept(model, List.of(old)))
          .as("of the same files, loaded another time")
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("'old'")
          .hasMessageContaining("loaded another time");
      use.with.accept(other, List.of(its));
    }
  }

  @ParameterizedTest
  @MethodSource("uses")
  void nothingClosedIsUsed(Use use) throws IOException {
    LoraAdapter closed = adapter(model, "gone", 1);
    closed.close();
    assertThatThrownBy(() -> use.with.accept(model, List.of(closed)))
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("adapter 'gone' is closed");
    try (LoraAdapter adapter = adapter(model, "left", 1);
        LanguageModel merged = model.withMerged(List.of(adapter));
        LoraAdapter upper = adapter(merged, "upper", 2)) {
      model.close();
      for (LanguageModel m : List.of(model, merged)) {
        assertThatThrownBy(() -> use.with.accept(m, List.of()))
            .isInstanceOf(IllegalStateException.class)
            .hasMessage("the model is closed");
      }
      assertThatThrownBy(() -> use.with.accept(model, List.of(adapter)))
          .hasMessage("the model is closed");
      assertThatThrownBy(() -> use.with.accept(merged, List.of(upper)))
          .hasMessage("the model is closed");
    }
  }

  @Test
  void closingInTheMiddleOfAGenerationEndsItWithThatAlone() throws IOException {
    for (boolean whole : new boolean[] {false, true}) {
      LanguageModel own = LanguageModel.load(folder.resolve("base")); // with an engine of its own
      LoraAdapter adapter = adapter(own, "a", 1);
      AtomicReference<Integer> tokens = new AtomicReference<>(0);
      GenerationConfig generation =
          GenerationConfig.builder().maxNewTokens(40).endTokens(java.util.Set.of()).build();
      TextGenerator closing =
          own.cancelled(
              () -> {
                if (tokens.updateAndGet(n -> n + 1) == 4) {
                  if (whole) {
                    own.close();
                  } else {
                    adapter.close();
                  }
                }
                return false;
              });
      assertThatThrownBy(
              () ->
                  closing.generateFromTokens(
                      List.of(new int[] {3, 4}), generation, List.of(adapter)))
          .isInstanceOf(IllegalStateException.class)
          .hasMessage(whole ? "the model is closed" : "adapter 'a' is closed")
          .hasNoCause()
          .hasNoSuppressedExceptions();
      adapter.close(); // also after its engine
      own.close();
    }
  }

  @Test
  void aSetTakesItsOwnModelsAdaptersOnly() {
    try (LanguageModel other = TinyModels.model("llama", engine);
        AdapterSet set = new AdapterSet(model);
        LoraAdapter its = adapter(other, "its", 1)) {
      assertThatThrownBy(() -> set.add(its))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("a random LlamaForCausalLM")
          .hasMessageContaining(model.name());
      assertThat(set.names()).isEmpty();
      assertThatThrownBy(
              () -> Merging.saveMerged(model, List.of(its), folder.resolve("m"), ElementType.F32))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("'its'");
      assertThat(folder.resolve("m")).doesNotExist();
    }
  }

  @Test
  void aModelWithMergedAdaptersStandsBesideTheBase() throws IOException {
    try (LoraAdapter lower = adapter(model, "lower", 1);
        LoraAdapter mine = adapter(model, "mine", 3)) {
      float[] base = TinyModels.logits(model);
      float[] applied = TinyModels.logits(model, lower);
      long weights = engine.memory().weights();
      LanguageModel merged = model.withMerged(List.of(lower));
      assertThat(merged.name()).isEqualTo(model.name() + " with lower merged");
      assertThat(TinyModels.relativeError(TinyModels.logits(merged), applied)).isLessThan(1e-5);
      assertThat(TinyModels.logits(model)).isEqualTo(base);
      LoraAdapter upper = adapter(merged, "upper", 2);
      float[] both = TinyModels.logits(merged, upper);
      assertThat(TinyModels.logits(model, upper))
          .as("an adapter brings along the weights that it belongs to")
          .isEqualTo(both);
      assertThatThrownBy(() -> TinyModels.logits(merged, mine))
          .hasMessageContaining("'mine'")
          .hasMessageContaining("with lower merged");
      assertThatThrownBy(() -> TinyModels.logits(model, mine, upper))
          .hasMessageContaining("'mine'")
          .hasMessageContaining("'upper'");

      // a merge into either does not show in the other
      mine.mergeIntoModel();
      assertThat(TinyModels.logits(merged, upper)).isEqualTo(both);
      Merging.unmerge(model);
      upper.mergeIntoModel();
      assertThat(TinyModels.logits(model)).isEqualTo(base);
      Merging.unmerge(merged);
      assertThat(TinyModels.logits(merged, upper)).isEqualTo(both);

      merged.save(folder.resolve("merged"), ElementType.F32);
      upper.save(folder.resolve("upper"));
      upper.close();
      merged.close();
      merged.close();
      assertThat(engine.memory().weights()).isEqualTo(weights);
      assertThat(TinyModels.logits(model, lower)).isEqualTo(applied);
      assertThat(Files.readString(folder.resolve("upper/adapter_config.json")))
          .contains("\"base_model_name_or_path\" : \"" + folder.resolve("merged") + "\"");
      try (LanguageModel loaded = load("merged");
          LoraAdapter again = PeftFormat.load(loaded, "upper", folder.resolve("upper"))) {
        assertThat(TinyModels.logits(loaded, again)).isEqualTo(both);
      }
    }
  }

  @Test
  void aHashTellsBasesApartAndLoadingOnAnotherWarns() throws IOException {
    try (LoraAdapter adapter = adapter(model, "a", 1)) {
      adapter.save(folder.resolve("a"));
      String hash = model.weightsHash();
      assertThat(warnings(() -> PeftFormat.load(model, "a", folder.resolve("a")).close()))
          .isEmpty();
      adapter.mergeIntoModel();
      assertThat(model.weightsHash()).isNotEqualTo(hash);
      Merging.unmerge(model);
      assertThat(model.weightsHash()).isEqualTo(hash);
      try (LanguageModel half = saved(model, "half", ElementType.BF16);
          LanguageModel same = saved(half, "same", ElementType.F32)) {
        assertThat(half.weightsHash()).isNotEqualTo(hash).isEqualTo(same.weightsHash());
      }
      Merging.saveMerged(model, List.of(adapter), folder.resolve("merged"), ElementType.F32);
      try (LanguageModel merged = load("merged")) {
        assertThat(warnings(() -> PeftFormat.load(merged, "a", folder.resolve("a")).close()))
            .contains(folder.resolve("a").toString())
            .contains(folder.resolve("merged").toString())
            .contains("its base model was " + folder.resolve("base"))
            .contains(hash);
      }
    }
  }

  private LanguageModel saved(LanguageModel from, String name, ElementType type)
      throws IOException {
    from.save(folder.resolve(name), type);
    return load(name);
  }

  private interface Work {
    void run() throws IOException;
  }

  /** Returns what slf4j-simple, which tests log by, writes while something runs. */
  private static String warnings(Work work) throws IOException {
    java.io.PrintStream before = System.err;
    java.io.ByteArrayOutputStream written = new java.io.ByteArrayOutputStream();
    System.setErr(new java.io.PrintStream(written, true, java.nio.charset.StandardCharsets.UTF_8));
    try {
      work.run();
    } finally {
      System.setErr(before);
    }
    return written.toString(java.nio.charset.StandardCharsets.UTF_8);
  }

  @Test
  void closingTwiceOrAfterTheEngineIsHarmless() {
    Consumer<LanguageModel> check =
        m -> assertThatThrownBy(() -> TinyModels.logits(m)).hasMessage("the model is closed");
    Engine own = Engines.create(Precision.F32);
    LanguageModel alone = TinyModels.model("gpt2", own);
    LoraAdapter adapter = adapter(alone, "a", 1);
    LanguageModel merged = alone.withMerged(List.of(adapter));
    alone.close();
    check.accept(merged);
    own.close();
    assertThatCode(
            () -> {
              adapter.close();
              merged.close();
              alone.close();
              adapter.close();
            })
        .doesNotThrowAnyException();
    assertThatThrownBy(() -> adapter.values("x")).isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> adapter.save(folder.resolve("gone")))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("closed");
  }
}
