package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.GenerationConfig;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.testing.TinyModels;

/** Several adapters on one model, alone and from several threads. */
class AdapterSetTest {
  private static final List<int[]> PROMPTS = List.of(new int[] {5, 9, 2}, new int[] {30, 4});
  private static final GenerationConfig SAMPLED =
      GenerationConfig.builder().maxNewTokens(8).temperature(0.8).topK(20).seed(3).build();

  @TempDir Path folder;
  private Engine engine;
  private LanguageModel model;
  private AdapterSet set;

  @BeforeEach
  void start() {
    engine = Engines.create(Precision.F32);
    model = TinyModels.model("llama", engine);
    set = new AdapterSet(model);
  }

  @AfterEach
  void stop() {
    set.close();
    model.close();
    engine.close();
  }

  private LoraAdapter trained(String name, long seed) {
    LoraConfig config = LoraConfig.builder().rank(2).dora(seed % 2 == 0).build();
    LoraAdapter a = config.create(model, name, seed);
    TinyModels.disturb(a, seed);
    return a;
  }

  private List<List<Integer>> generate(String... names) {
    List<List<Integer>> all = new ArrayList<>();
    for (GenerationConfig config : List.of(GenerationConfig.greedy(8), SAMPLED)) {
      set.with(List.of(names), found -> model.generateFromTokens(PROMPTS, config, found))
          .forEach(g -> all.add(g.tokens()));
    }
    return all;
  }

  @Test
  void adaptersAreChosenPerCall() {
    set.add(trained("a", 1));
    set.add(trained("b", 2));
    assertThat(set.names()).containsExactly("a", "b");
    List<List<Integer>> base = generate();
    assertThat(generate("a")).isNotEqualTo(base).isNotEqualTo(generate("b"));
    assertThat(generate("a", "b")).isNotEqualTo(generate("a"));
    assertThat(generate()).isEqualTo(base);
  }

  @Test
  void severalThreadsGenerateWhatOneDoes() throws Exception {
    List<String[]> choices =
        List.of(new String[] {}, new String[] {"a"}, new String[] {"b"}, new String[] {"a", "c"});
    set.add(trained("a", 1));
    set.add(trained("b", 2));
    set.add(trained("c", 3));
    List<List<List<Integer>>> alone = new ArrayList<>();
    for (String[] names : choices) {
      alone.add(generate(names));
    }
    ExecutorService threads = Executors.newFixedThreadPool(choices.size());
    try {
      CountDownLatch start = new CountDownLatch(1);
      List<Future<List<List<List<Integer>>>>> running = new ArrayList<>();
      for (String[] names : choices) {
        running.add(
            threads.submit(
                () -> {
                  start.await();
                  return List.of(generate(names), generate(names));
                }));
      }
      start.countDown();
      for (int i = 0; i < 5; i++) { // others come and go meanwhile
        set.add(trained("guest", 10 + i));
        set.remove("guest");
      }
      for (int i = 0; i < choices.size(); i++) {
        assertThat(running.get(i).get(2, TimeUnit.MINUTES))
            .containsExactly(alone.get(i), alone.get(i));
      }
    } finally {
      threads.shutdownNow();
    }
  }

  @Test
  void mergingIsForAllCalls() {
    set.add(trained("a", 1));
    set.add(trained("b", 3));
    float[] base = TinyModels.logits(model);
    float[] applied = TinyModels.logits(model, set.get("a"), set.get("b"));
    set.merge("a");
    assertThat(TinyModels.relativeError(TinyModels.logits(model, set.get("b")), applied))
        .isLessThan(1e-5);
    assertThatThrownBy(() -> set.merge("b")).hasMessageContaining("[a] are merged already");
    assertThatThrownBy(() -> set.remove("a")).hasMessageContaining("'a' is merged");
    set.unmerge();
    assertThat(TinyModels.logits(model)).isEqualTo(base);
    set.remove("a");
    assertThat(set.names()).containsExactly("b");
  }

  @Test
  void whatTakesAwayWaitsForRunningCalls() throws Exception {
    set.add(trained("a", 1));
    ExecutorService thread = Executors.newSingleThreadExecutor();
    try {
      Future<?> removal =
          set.with(
              List.of("a"),
              found -> {
                Future<?> waiting = thread.submit(() -> set.remove("a"));
                assertThatThrownBy(() -> waiting.get(200, TimeUnit.MILLISECONDS))
                    .isInstanceOf(TimeoutException.class);
                TinyModels.logits(model, found.get(0)); // still there
                return waiting;
              });
      removal.get(1, TimeUnit.MINUTES);
      assertThat(set.names()).isEmpty();
    } finally {
      thread.shutdownNow();
    }
  }

  @Test
  void waitingForOneselfIsRefused() {
    set.add(trained("a", 1));
    for (Runnable change :
        List.<Runnable>of(() -> set.remove("a"), () -> set.merge("a"), set::unmerge, set::close)) {
      assertThatThrownBy(
              () ->
                  set.with(
                      List.of("a"),
                      found -> {
                        change.run();
                        return null;
                      }))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("called from inside a call");
    }
    assertThat(set.names()).containsExactly("a");
  }

  @Test
  void combinationsJoinTheSet() {
    set.add(trained("a", 1));
    set.add(trained("b", 3));
    set.combine("both", Combination.concatenation(), ImmutableMap.of("a", 1.0, "b", 1.0));
    assertThat(
            TinyModels.relativeError(
                TinyModels.logits(model, set.get("both")),
                TinyModels.logits(model, set.get("a"), set.get("b"))))
        .isLessThan(1e-5);
    assertThatThrownBy(() -> set.combine("both", Combination.linear(), ImmutableMap.of("a", 1.0)))
        .hasMessageContaining("an adapter named 'both' already exists");
  }

  @Test
  void namesAreUniqueAndKnown() throws IOException {
    LoraAdapter a = trained("a", 1);
    set.add(a);
    a.save(folder.resolve("a"));
    set.load("again", folder.resolve("a"));
    assertThat(TinyModels.logits(model, set.get("again"))).isEqualTo(TinyModels.logits(model, a));
    long held = engine.memory().persistent();
    assertThatThrownBy(() -> set.load("a", folder.resolve("a")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("an adapter named 'a' already exists");
    assertThatThrownBy(() -> set.load("b", folder.resolve("b")))
        .isInstanceOf(NoSuchFileException.class);
    assertThat(engine.memory().persistent()).isEqualTo(held);
    assertThatThrownBy(() -> set.generate("text", GenerationConfig.greedy(1), "b"))
        .hasMessageContaining("no adapter is named 'b'; there are: [a, again]");
  }

  @Test
  void closingFreesAndEnds() {
    long held = engine.memory().persistent();
    set.add(trained("a", 2));
    TinyModels.logits(model, set.get("a"));
    set.close();
    assertThat(engine.memory().persistent()).isEqualTo(held);
    assertThatThrownBy(() -> generate("a")).hasMessageContaining("the adapter set is closed");
    set.close(); // again
  }
}
