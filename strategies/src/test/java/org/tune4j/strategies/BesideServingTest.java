package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.lora.LoraAdapter;

/** A model that is trained on serves others at the same time. */
class BesideServingTest {
  private static final List<int[]> PROMPTS = List.of(new int[] {3, 9, 14}, new int[] {5, 21});
  private static final List<int[][]> CHOICES =
      List.of(new int[][] {{7}, {8, 1}}, new int[][] {{30, 31}, {2}, {12}});

  @TempDir static Path models;
  private static LanguageModel model;

  @TempDir Path folder;

  @BeforeAll
  static void load() {
    model = TinyRuns.load(TinyRuns.writeModel(models.resolve("model")));
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private FineTuner tuner(TrainingStrategy strategy) {
    return FineTuner.of(model)
        .tasks(TinyRuns.task("a", 40, 4), TinyRuns.task("b", 40, 4), TinyRuns.task("c", 40, 4))
        .lora(TinyRuns.LORA)
        .strategy(strategy)
        .hyperparameters(TinyRuns.hyperparameters().epochs(2).validateEvery(3).build())
        .output(folder.resolve("run" + System.nanoTime()));
  }

  private static List<List<Float>> scores(List<? extends Adapter> adapters) {
    List<List<Float>> all = new ArrayList<>();
    for (float[] of : model.scoreContinuations(PROMPTS, CHOICES, adapters, 64)) {
      List<Float> values = new ArrayList<>();
      for (float v : of) {
        values.add(v);
      }
      all.add(values);
    }
    return all;
  }

  @Test
  void mergingLeavesTheBaseThatOthersUse() throws Exception {
    try (LoraAdapter served = TinyRuns.LORA.create(model, "served", 5)) {
      List<List<Float>> base = scores(List.of());
      List<List<Float>> withAdapter = scores(List.of(served));
      AtomicBoolean done = new AtomicBoolean();
      ExecutorService threads = Executors.newFixedThreadPool(2);
      List<Future<Integer>> scoring = new ArrayList<>();
      try {
        for (boolean adapted : new boolean[] {false, true}) {
          scoring.add(
              threads.submit(
                  () -> {
                    int n = 0;
                    while (!done.get() || n == 0) {
                      assertThat(scores(adapted ? List.of(served) : List.of()))
                          .isEqualTo(adapted ? withAdapter : base);
                      n++;
                    }
                    return n;
                  }));
        }
        tuner(Sequential.inOrder().merging()).run().close();
      } finally {
        done.set(true);
        threads.shutdown();
      }
      for (Future<Integer> s : scoring) {
        assertThat(s.get()).isGreaterThan(5);
      }
      assertThat(scores(List.of())).isEqualTo(base);
    }
  }

  @Test
  void whatAMergingRunTrainsIsServedByTheBaseToo() throws IOException {
    try (FineTuningResult result = tuner(Sequential.inOrder().merging()).run()) {
      List<List<Float>> before = scores(List.of());
      List<List<Float>> tuned = scores(result.adaptersFor("c"));
      assertThat(tuned).isNotEqualTo(before);
      assertThat(scores(List.of())).isEqualTo(before);
      assertThat(result.training().merged()).isPresent();
      assertThat(result.training().merged().get().name()).endsWith("with 1-a, 2-b merged");
    }
  }
}
