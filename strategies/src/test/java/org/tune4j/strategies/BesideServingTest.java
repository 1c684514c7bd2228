package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.testing.TinyRuns;

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

  /** Generates again and again until stopped; counts tokens, and what differs from the first. */
  private static final class Serving implements AutoCloseable {
    final AtomicInteger tokens = new AtomicInteger();
    final AtomicInteger different = new AtomicInteger();
    private final AtomicBoolean done = new AtomicBoolean();
    private final List<Thread> threads = new ArrayList<>();

    Serving(int threads, List<? extends Adapter> adapters) throws InterruptedException {
      List<?> expected = generate(adapters, () -> false);
      CountDownLatch started = new CountDownLatch(threads);
      for (int i = 0; i < threads; i++) {
        Thread t =
            new Thread(
                () -> {
                  while (!done.get()) {
                    List<?> now =
                        generate(
                            adapters,
                            () -> {
                              tokens.incrementAndGet();
                              started.countDown();
                              return done.get();
                            });
                    if (!done.get() && !now.equals(expected)) {
                      different.incrementAndGet();
                    }
                  }
                });
        this.threads.add(t);
        t.start();
      }
      started.await();
    }

    private static List<?> generate(List<? extends Adapter> adapters, BooleanSupplier stop) {
      return model
          .cancelled(stop)
          .generateFromTokens(
              List.of(new int[] {3, 9, 14}),
              GenerationConfig.builder()
                  .maxNewTokens(20)
                  .endTokens(Set.of())
                  .temperature(0.8)
                  .seed(4)
                  .build(),
              adapters);
    }

    @Override
    public void close() {
      done.set(true);
      for (Thread t : threads) {
        try {
          t.join();
        } catch (InterruptedException e) {
          throw new IllegalStateException(e);
        }
      }
    }
  }

  /** A run of long steps, in which tokens are counted between the ends of steps. */
  private Map<String, List<Float>> train(double share, AtomicInteger tokens, List<Integer> perStep)
      throws IOException {
    AtomicInteger last = new AtomicInteger(tokens.get());
    try (FineTuningResult result =
        FineTuner.of(model)
            .tasks(TinyRuns.task("a", 400, 16))
            .lora(TinyRuns.LORA.toBuilder().dropout(0.1).build())
            .hyperparameters(
                TinyRuns.hyperparameters().examplesPerStep(40).epochs(2).validateEvery(5).build())
            .output(folder.resolve("run" + System.nanoTime()))
            .servingShare(share)
            .listener(
                new TrainingListener() {
                  @Override
                  public void onStep(StepRecord step) {
                    perStep.add(tokens.get() - last.getAndSet(tokens.get()));
                  }
                })
            .run()) {
      return TinyRuns.bits(result.training());
    }
  }

  @Test
  @Timeout(120)
  void tokensComeWithinAStepAndNobodysBitsChange() throws Exception {
    try (LoraAdapter served = TinyRuns.LORA.create(model, "served", 5)) {
      Map<String, List<Float>> alone = train(0.5, new AtomicInteger(), new ArrayList<>());
      for (double share : new double[] {0, 0.5, 0.95}) {
        List<Integer> perStep = new ArrayList<>();
        try (Serving serving = new Serving(2, List.of(served))) {
          assertThat(train(share, serving.tokens, perStep)).isEqualTo(alone);
          assertThat(serving.different).hasValue(0);
        }
        double mean = perStep.stream().mapToInt(Integer::intValue).average().orElseThrow();
        if (share == 0) { // a turn each between steps, and as many at validations
          assertThat(mean).isBetween(0.5, 6.0);
        } else if (share > 0.9) {
          assertThat(mean).isGreaterThan(15);
        } else {
          assertThat(mean).isGreaterThan(0.5);
        }
      }
    }
  }

  @Test
  void twoTrainingsAndServingAtOnceAreAsOneAfterTheOther() throws Exception {
    Map<String, List<Float>> alone = train(0.5, new AtomicInteger(), new ArrayList<>());
    ExecutorService threads = Executors.newFixedThreadPool(2);
    try (Serving serving = new Serving(2, List.of())) {
      List<Future<Map<String, List<Float>>>> both = new ArrayList<>();
      for (int i = 0; i < 2; i++) {
        both.add(threads.submit(() -> train(0.7, serving.tokens, new ArrayList<>())));
      }
      for (Future<Map<String, List<Float>>> f : both) {
        assertThat(f.get()).isEqualTo(alone);
      }
      assertThat(serving.different).hasValue(0);
    } finally {
      threads.shutdown();
    }
  }

  @Test
  void aModelThatIsClosedWhileTheTrainingGivesWayEndsIt() throws Exception {
    LanguageModel own = TinyRuns.load(models.resolve("model"));
    CountDownLatch training = new CountDownLatch(1);
    Thread closing =
        new Thread(
            () -> {
              try {
                training.await();
              } catch (InterruptedException e) {
                return;
              }
              own.close();
            });
    closing.start();
    assertThatThrownBy(
            () ->
                FineTuner.of(own)
                    .tasks(TinyRuns.task("a", 400, 4))
                    .hyperparameters(
                        TinyRuns.hyperparameters().examplesPerStep(100).epochs(100).build())
                    .output(folder.resolve("closed"))
                    .servingShare(0.95)
                    .listener(
                        new TrainingListener() {
                          @Override
                          public void onStep(StepRecord step) {
                            training.countDown();
                          }
                        })
                    .run())
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("the model is closed")
        .hasNoSuppressedExceptions();
    closing.join();
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
