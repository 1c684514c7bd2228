package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Routing;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.Initialisation;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.LoraConfig;
import org.tune4j.lora.PeftFormat;
import org.tune4j.testing.TinyRuns;

/** Adapters of heads, embeddings and parts of the base, from training to serving. */
class AdapterKindsTest {
  private static final Batch BATCH = Batch.of(new int[] {5, 20, 37, 50, 11, 4});

  @TempDir static Path models;
  private static LanguageModel model;

  @TempDir Path temporary;

  private final Task a = TinyRuns.task("a", 24, 8);
  private final Task b = TinyRuns.task("b", 16, 8);

  /** A tied model, which trains apart what it has as one. */
  @BeforeAll
  static void load() {
    model =
        TinyRuns.load(
            TinyRuns.writeModel(
                models.resolve("model"),
                """
                {"model_type": "llama", "vocab_size": 62, "hidden_size": 16, "intermediate_size": 32,
                 "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
                 "max_position_embeddings": 48, "initializer_range": 0.2, "eos_token_id": 1,
                 "tie_word_embeddings": true}
                """));
  }

  @AfterAll
  static void close() {
    model.close();
  }

  static List<LoraConfig> kinds() {
    LoraConfig.Builder b = LoraConfig.builder().rank(2).alpha(4);
    return List.of(
        b.targetModules("q_proj", "lm_head", "embed_tokens").build(),
        b.targetModules("v_proj").modulesToSave("lm_head", "embed_tokens").build(),
        b.targetModules("q_proj", "down_proj")
            .modulesToSave("lm_head")
            .initialisation(Initialisation.PISSA)
            .build(),
        b.targetModules("q_proj", "lm_head")
            .modulesToSave(List.of())
            .initialisation(Initialisation.OLORA)
            .build(),
        b.targetModules("down_proj", "lm_head", "embed_tokens")
            .dora(true)
            .dropout(0.1)
            .initialisation(Initialisation.PISSA)
            .build());
  }

  static Stream<Arguments> runs() {
    return kinds().stream()
        .flatMap(
            k ->
                Stream.of(
                        MultiTask.proportional(),
                        Sequential.inOrder().merging(),
                        Independent.perTask())
                    .map(s -> Arguments.of(k, s)));
  }

  private FineTuner tuner(LoraConfig kind, TrainingStrategy strategy, String output) {
    return FineTuner.of(model)
        .tasks(a, b)
        .lora(kind)
        .strategy(strategy)
        .hyperparameters(TinyRuns.hyperparameters().epochs(3).checkpointEvery(3).build())
        .output(temporary.resolve(output));
  }

  private static float[] logits(LanguageModel on, List<? extends Adapter> adapters) {
    try (INDArray logits =
        on.logits(BATCH, Routing.all(BATCH.rows(), ImmutableList.copyOf(adapters)))) {
      return logits.dup('c').data().asFloat();
    }
  }

  @ParameterizedTest
  @MethodSource("runs")
  void learnsAndIsServedFromItsFiles(LoraConfig kind, TrainingStrategy strategy)
      throws IOException {
    float[] base = logits(model, List.of());
    try (FineTuningResult result = tuner(kind, strategy, "run").run()) {
      for (Task task : List.of(a, b)) {
        List<StepRecord> own =
            result.training().steps().stream()
                .filter(r -> r.lossByTask().containsKey(task.name()))
                .toList();
        double first = own.get(0).lossByTask().get(task.name());
        double last = own.get(own.size() - 1).lossByTask().get(task.name());
        assertThat(last).isLessThan(first);
        float[] trained = logits(model, result.adaptersFor(task.name()));
        assertThat(trained).isNotEqualTo(base);
        try (LanguageModel again = LanguageModel.load(result.baseDirectory().orElseThrow())) {
          List<LoraAdapter> loaded = new ArrayList<>();
          for (Path saved : result.directoriesFor(task.name())) {
            loaded.add(PeftFormat.load(again, "loaded", saved));
          }
          float[] served = logits(again, loaded);
          for (int i = 0; i < served.length; i++) {
            assertThat(served[i]).isCloseTo(trained[i], within(1e-3f));
          }
          loaded.forEach(LoraAdapter::close);
        }
      }
    }
    assertThat(logits(model, List.of())).isEqualTo(base);
  }

  /** Two adapters side by side; one is merged, and the other stays as it is. */
  record MergeOne() implements TrainingStrategy {
    @Override
    public String name() {
      return "merge-one";
    }

    @Override
    public TrainingPlan plan(PlanContext context) {
      return TrainingPlan.of(
          name(),
          Stage.named("both")
              .train("a", "x", 24)
              .train("b", "y", 16)
              .serve("a", "x")
              .serve("b", "y")
              .build(),
          Stage.named("one").merge("x").train("a", "z", 8).serve("a", "z").serve("b", "y").build(),
          Stage.named("on")
              .train("b", "w", 8)
              .startFrom("w", "y")
              .serve("a", "z")
              .serve("b", "w")
              .build());
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = Initialisation.class,
      names = {"KAIMING", "PISSA", "OLORA", "MICA"})
  void whatAnotherIsMergedUnderDoesWhatItDid(Initialisation initialisation) throws IOException {
    LoraConfig kind =
        LoraConfig.builder()
            .rank(2)
            .alpha(4)
            .targetModules("q_proj", "down_proj")
            .initialisation(initialisation)
            .build();
    Map<String, List<Float>> bits;
    try (FineTuningResult result = tuner(kind, new MergeOne(), "whole").run()) {
      bits = TinyRuns.bits(result.training());
      try (LoraAdapter x = saved(result, 0, "x");
          LoraAdapter y = saved(result, 0, "y")) {
        float[] stacked = logits(model, List.of(x, y));
        float[] before = logits(model, List.of(x));
        Adapter moved = result.training().adapters().get("y");
        LanguageModel merged = LanguageModel.of(moved.model());
        float[] now = logits(merged, List.of(moved));
        double change = 0;
        for (int i = 0; i < now.length; i++) {
          assertThat(now[i]).isCloseTo(stacked[i], within(1e-3f));
          change = Math.max(change, Math.abs(now[i] - before[i]));
        }
        assertThat(change).isGreaterThan(0.05);
      }
    }
    AtomicInteger asked = new AtomicInteger();
    tuner(kind, new MergeOne(), "parts").cancelled(() -> asked.incrementAndGet() > 9).run().close();
    try (FineTuningResult rest = tuner(kind, new MergeOne(), "parts").resume().run()) {
      assertThat(TinyRuns.bits(rest.training())).isEqualTo(bits);
    }
  }

  private static LoraAdapter saved(FineTuningResult result, int stage, String adapter)
      throws IOException {
    return PeftFormat.load(
        model, adapter, result.training().stages().get(stage).saved().get(adapter));
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void goesOnWhereItStopped(LoraConfig kind) throws IOException {
    try (FineTuningResult whole = tuner(kind, Independent.perTask(), "whole").run()) {
      AtomicInteger asked = new AtomicInteger();
      tuner(kind, Independent.perTask(), "parts")
          .cancelled(() -> asked.incrementAndGet() > 7)
          .run()
          .close();
      try (FineTuningResult rest = tuner(kind, Independent.perTask(), "parts").resume().run()) {
        assertThat(rest.completed()).isTrue();
        assertThat(TinyRuns.bits(rest.training())).isEqualTo(TinyRuns.bits(whole.training()));
      }
    }
  }

  @Test
  void aStackOfHeadsIsRefusedByName() {
    assertThatThrownBy(() -> tuner(kinds().get(1), Sequential.inOrder().stacked(), "run").run())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("replaces model.embed_tokens")
        .hasMessageContaining("it must come first");
  }
}
