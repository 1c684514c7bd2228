package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.primitives.Ints;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.Generation.Finish;
import org.tune4j.core.text.ChatOptions;
import org.tune4j.core.text.Message;

class GenerationTest {
  private static final Path TINY = Path.of("src/test/resources/tiny");

  static Stream<String> names() {
    return TinyModels.NAMES.stream();
  }

  private static List<int[]> prompts(int count, int longest) {
    Random random = new Random(7);
    List<int[]> prompts = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      prompts.add(random.ints(1 + random.nextInt(longest), 0, 61).toArray());
    }
    return prompts;
  }

  private static GenerationConfig endless(int tokens) {
    return GenerationConfig.builder().maxNewTokens(tokens).endTokens(Set.of()).build();
  }

  private static int[] tokens(Generation g) {
    return Ints.toArray(g.tokens());
  }

  @ParameterizedTest
  @MethodSource("names")
  void cachedDecodingEqualsTheFullForwardPass(String name) {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model(name, engine);
        TinyModels.LowRank adapter = new TinyModels.LowRank(model, 2)) {
      List<int[]> prompts = prompts(5, 20);
      List<Generation> together = model.generateFromTokens(prompts, endless(12), List.of(adapter));
      for (int p = 0; p < prompts.size(); p++) {
        int[] sequence = prompts.get(p);
        for (int i = 0; i < 12; i++) {
          Batch batch = Batch.of(sequence);
          float[] logits =
              GoldenModelTest.floats(
                  model.logits(batch, Routing.all(batch.rows(), List.of(adapter))));
          int next =
              new Sampler(GenerationConfig.greedy(1), 0)
                  .next(logits, (sequence.length - 1) * 61, 61);
          sequence = Ints.concat(sequence, new int[] {next});
        }
        assertThat(Ints.concat(prompts.get(p), tokens(together.get(p)))).isEqualTo(sequence);
        assertThat(together.get(p).finish()).isEqualTo(Finish.LENGTH);
      }
    }
  }

  @Test
  void longPromptsAreRunInChunks() {
    String json =
        TinyModels.json("mistral")
            .replace("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 4096");
    try (Engine engine = TinyModels.engine();
        LanguageModel model = LanguageModel.random(parse(json), engine, 5)) {
      List<int[]> prompts =
          List.of(
              new Random(1).ints(700, 0, 61).toArray(), new Random(2).ints(2500, 0, 61).toArray());
      List<Generation> generated = model.generateFromTokens(prompts, endless(2), List.of());
      for (int p = 0; p < 2; p++) {
        int[] sequence = Ints.concat(prompts.get(p), tokens(generated.get(p)));
        Batch batch = Batch.of(sequence);
        float[] logits = GoldenModelTest.floats(model.logits(batch, Routing.BASE));
        for (int i = prompts.get(p).length; i < sequence.length; i++) {
          assertThat(new Sampler(GenerationConfig.greedy(1), 0).next(logits, (i - 1) * 61, 61))
              .isEqualTo(sequence[i]);
        }
      }
    }
  }

  private static ModelConfig parse(String json) {
    try {
      return ModelConfig.parse(json, Path.of("config.json"));
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  @Test
  void manyPromptsGiveWhatEachGivesAlone() {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("qwen3", engine)) {
      long before = engine.memory().persistent();
      List<int[]> prompts = prompts(70, 10); // more than run side by side
      List<Generation> together =
          model.generateFromTokens(prompts, GenerationConfig.greedy(5), List.of());
      for (int p = 0; p < prompts.size(); p += 9) {
        Generation alone =
            model
                .generateFromTokens(List.of(prompts.get(p)), GenerationConfig.greedy(5), List.of())
                .get(0);
        assertThat(together.get(p)).isEqualTo(alone);
      }
      assertThat(engine.memory().persistent()).as("caches are freed").isEqualTo(before);
    }
  }

  @Test
  void samplingIsDeterminedByItsSeedAndCuts() {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("llama", engine)) {
      List<int[]> prompt = prompts(1, 5);
      GenerationConfig.Builder config =
          GenerationConfig.builder().maxNewTokens(30).endTokens(Set.of()).temperature(1.5);
      List<Integer> drawn =
          model.generateFromTokens(prompt, config.seed(1).build(), List.of()).get(0).tokens();
      assertThat(
              model.generateFromTokens(prompt, config.seed(1).build(), List.of()).get(0).tokens())
          .isEqualTo(drawn);
      assertThat(
              model.generateFromTokens(prompt, config.seed(2).build(), List.of()).get(0).tokens())
          .isNotEqualTo(drawn);
      List<Integer> greedy =
          model.generateFromTokens(prompt, endless(30), List.of()).get(0).tokens();
      assertThat(
              model.generateFromTokens(prompt, config.topK(1).build(), List.of()).get(0).tokens())
          .isEqualTo(greedy);
      assertThat(
              model
                  .generateFromTokens(prompt, config.topK(0).topP(1e-9).build(), List.of())
                  .get(0)
                  .tokens())
          .isEqualTo(greedy);
    }
  }

  @Test
  void drawsWithTheProbabilitiesThatTheCutsLeave() {
    float[] logits = new float[4];
    double[] probabilities = {0.1, 0.4, 0.2, 0.3};
    for (int i = 0; i < 4; i++) {
      logits[i] = (float) Math.log(probabilities[i]);
    }
    GenerationConfig.Builder at1 = GenerationConfig.builder().temperature(1);
    assertFrequencies(logits, at1.build(), 0.1, 0.4, 0.2, 0.3);
    assertFrequencies(logits, at1.topK(2).build(), 0, 4 / 7., 0, 3 / 7.);
    assertFrequencies(logits, at1.topK(0).topP(0.75).build(), 0, 4 / 9., 2 / 9., 3 / 9.);
    assertFrequencies(logits, at1.topK(3).topP(0.5).build(), 0, 4 / 7., 0, 3 / 7.);
    double sum = 0.01 + 0.16 + 0.04 + 0.09;
    assertFrequencies(
        logits,
        GenerationConfig.builder().temperature(0.5).build(),
        0.01 / sum,
        0.16 / sum,
        0.04 / sum,
        0.09 / sum);
  }

  private static void assertFrequencies(
      float[] logits, GenerationConfig config, double... expected) {
    Sampler sampler = new Sampler(config, 0);
    int draws = 20000;
    int[] counts = new int[expected.length];
    for (int i = 0; i < draws; i++) {
      counts[sampler.next(logits, 0, logits.length)]++;
    }
    for (int i = 0; i < expected.length; i++) {
      assertThat(counts[i] / (double) draws)
          .isCloseTo(expected[i], org.assertj.core.api.Assertions.within(0.015));
      assertThat(counts[i] == 0).isEqualTo(expected[i] == 0);
    }
  }

  @Test
  void brokenLogitsAreAnError() {
    Sampler sampler = new Sampler(GenerationConfig.greedy(1), 0);
    assertThatThrownBy(() -> sampler.next(new float[] {0, Float.NaN}, 0, 2))
        .isInstanceOf(ArithmeticException.class)
        .hasMessageContaining("token 1 is NaN");
  }

  @Test
  void endsWhereAskedTo() {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("gpt2", engine)) {
      List<int[]> prompt = List.of(new int[] {3, 4, 5});
      List<Integer> free =
          model.generateFromTokens(prompt, endless(100), List.of()).get(0).tokens();
      assertThat(free).hasSize(64 - 3);
      Generation full = model.generateFromTokens(prompt, endless(100), List.of()).get(0);
      assertThat(full.finish()).isEqualTo(Finish.CONTEXT_FULL);

      int end = free.get(6);
      Generation ended =
          model
              .generateFromTokens(
                  prompt,
                  GenerationConfig.builder().maxNewTokens(20).endTokens(Set.of(end)).build(),
                  List.of())
              .get(0);
      assertThat(ended.finish()).isEqualTo(Finish.END_TOKEN);
      assertThat(ended.tokens()).isEqualTo(free.subList(0, free.indexOf(end) + 1));

      AtomicInteger asked = new AtomicInteger();
      Generation cancelled =
          model
              .cancelled(() -> asked.incrementAndGet() > 4)
              .generateFromTokens(prompt, endless(128), List.of())
              .get(0);
      assertThat(cancelled.finish()).isEqualTo(Finish.CANCELLED);
      assertThat(cancelled.tokens()).isEqualTo(free.subList(0, 4));

      Thread.currentThread().interrupt();
      assertThat(model.generateFromTokens(prompt, endless(9), List.of()).get(0).finish())
          .isEqualTo(Finish.CANCELLED);
      assertThat(Thread.interrupted()).as("still interrupted").isTrue();
    }
  }

  @Test
  void refusesWhatCannotBeGenerated() {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("gpt2", engine)) {
      assertThatThrownBy(
              () -> model.generateFromTokens(List.of(new int[64]), endless(1), List.of()))
          .hasMessageContaining("prompt 0 has 64 tokens")
          .hasMessageContaining("context of 64");
      assertThatThrownBy(() -> model.generateFromTokens(List.of(new int[0]), endless(1), List.of()))
          .hasMessageContaining("prompt 0 is empty");
      assertThatThrownBy(
              () -> model.generateFromTokens(List.of(new int[] {61}), endless(1), List.of()))
          .hasMessageContaining("token 61");
      assertThatThrownBy(() -> model.generate("a", endless(1), List.of()))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("no tokenizer");
      assertThatThrownBy(
              () ->
                  model.generateFromTokens(
                      List.of(new int[1]), GenerationConfig.builder().stop("x").build(), List.of()))
          .hasMessageContaining("tokenizer");
      assertThatThrownBy(() -> GenerationConfig.builder().topK(3).build())
          .hasMessageContaining("temperature");
      assertThatThrownBy(() -> GenerationConfig.builder().temperature(-1).build())
          .hasMessageContaining("-1");
      assertThatThrownBy(() -> GenerationConfig.builder().temperature(1).topP(0).build())
          .hasMessageContaining("topP");
      assertThatThrownBy(() -> GenerationConfig.greedy(0)).hasMessageContaining("maxNewTokens 0");
    }
  }

  @Test
  void threadsWithDifferentAdaptersGetWhatEachGetsAlone() throws Exception {
    try (Engine engine = TinyModels.engine();
        LanguageModel model = TinyModels.model("qwen2", engine)) {
      List<List<TinyModels.LowRank>> adapters = new ArrayList<>();
      adapters.add(List.of());
      for (int i = 1; i < 4; i++) {
        adapters.add(List.of(new TinyModels.LowRank(model, i)));
      }
      List<int[]> prompts = prompts(3, 12);
      List<List<Generation>> alone = new ArrayList<>();
      for (List<TinyModels.LowRank> a : adapters) {
        alone.add(model.generateFromTokens(prompts, endless(25), a));
      }
      assertThat(Set.copyOf(alone)).as("adapters differ").hasSize(4);
      ExecutorService threads = Executors.newFixedThreadPool(4);
      try {
        for (int round = 0; round < 3; round++) {
          List<Future<List<Generation>>> running = new ArrayList<>();
          for (List<TinyModels.LowRank> a : adapters) {
            running.add(threads.submit(() -> model.generateFromTokens(prompts, endless(25), a)));
          }
          for (int i = 0; i < 4; i++) {
            assertThat(running.get(i).get()).isEqualTo(alone.get(i));
          }
        }
      } finally {
        threads.shutdownNow();
      }
      adapters.forEach(a -> a.forEach(TinyModels.LowRank::close));
    }
  }

  /** A random model with the tokenizer of the test resources. */
  private static Path saveWithTokenizer(Path directory) throws Exception {
    ModelConfig config =
        ModelConfig.parse(
            """
            {"model_type": "llama", "vocab_size": 8192, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
             "num_attention_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.5,
             "tie_word_embeddings": true, "eos_token_id": 0}
            """,
            Path.of("config.json"));
    try (Engine engine = TinyModels.engine();
        LanguageModel model = LanguageModel.random(config, engine, 1)) {
      model.save(directory, ElementType.F32);
    }
    for (String file : List.of("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")) {
      Files.copy(TINY.resolve(file), directory.resolve(file));
    }
    return directory;
  }

  @Test
  void streamsTextAndHoldsBackStopSequences(@TempDir Path temporary) throws Exception {
    try (LanguageModel model = LanguageModel.load(saveWithTokenizer(temporary.resolve("model")))) {
      List<String> pieces = Collections.synchronizedList(new ArrayList<>());
      Generation free =
          model.generate("The cat", GenerationConfig.greedy(40), List.of(), pieces::add);
      assertThat(String.join("", pieces)).isEqualTo(free.text());
      assertThat(free.text()).isEqualTo(model.tokenizer().decode(tokens(free), true));
      assertThat(pieces.size()).isGreaterThan(5);

      String text = free.text();
      String stop = text.substring(text.length() / 2, text.length() / 2 + 7);
      pieces.clear();
      Generation stopped =
          model.generate(
              "The cat",
              GenerationConfig.builder().maxNewTokens(40).stop("never appears", stop).build(),
              List.of(),
              pieces::add);
      assertThat(stopped.finish()).isEqualTo(Finish.STOP_SEQUENCE);
      assertThat(stopped.text()).isEqualTo(text.substring(0, text.indexOf(stop)));
      assertThat(String.join("", pieces)).isEqualTo(stopped.text());
      assertThat(stopped.tokens().size()).isLessThan(free.tokens().size());

      assertThat(
              model
                  .generateAll(List.of("The cat", "A dog"), GenerationConfig.greedy(40), List.of())
                  .get(0))
          .isEqualTo(free);

      assertThat(model.endTokens()).containsExactly(0);
      assertThat(model.untilTurnEnds(GenerationConfig.greedy(3)).endTokens().orElseThrow())
          .as("<|im_end|>, which the template puts after a turn")
          .containsExactly(0, 2);
      GenerationConfig own = GenerationConfig.builder().endTokens(Set.of(9)).build();
      assertThat(model.untilTurnEnds(own)).isEqualTo(own);

      List<Message> chat = List.of(new Message("user", "Hello"));
      Generation answer = model.chat(chat, GenerationConfig.greedy(3), List.of(), t -> {});
      assertThat(Ints.toArray(answer.prompt()))
          .isEqualTo(
              model
                  .tokenizer()
                  .encode(model.chatTemplate().orElseThrow().render(chat, true), false));

      // what the template is given beside the messages comes to it
      ChatOptions other = ChatOptions.builder().template("none-of-that-name").build();
      assertThatThrownBy(
              () -> model.chat(chat, other, GenerationConfig.greedy(3), List.of(), t -> {}))
          .hasMessageContaining("'none-of-that-name'");
    }
  }
}
