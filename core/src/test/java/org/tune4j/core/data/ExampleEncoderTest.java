package org.tune4j.core.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.text.ChatTemplate;
import org.tune4j.core.text.Message;
import org.tune4j.core.text.Tokenizer;

class ExampleEncoderTest {
  private static final Path TINY = Path.of("src/test/resources/tiny");
  private static Tokenizer tokenizer;

  @BeforeContainer
  static void load() throws IOException {
    tokenizer = Tokenizer.load(TINY);
  }

  @AfterContainer
  static void close() {
    tokenizer.close();
  }

  private static ExampleEncoder encoder(int maxLength, LengthPolicy policy) throws IOException {
    return new ExampleEncoder(tokenizer, ChatTemplate.load(TINY), maxLength, policy);
  }

  private static Task task(Example... examples) {
    return Task.builder("t").train(List.of(examples)).build();
  }

  private static TaskEncoder.Result encode(int maxLength, LengthPolicy policy, Task task)
      throws IOException {
    return encoder(maxLength, policy).encode(task, Task.Split.TRAIN);
  }

  private static EncodedExample one(Example example) throws IOException {
    return encode(1000, LengthPolicy.FAIL, task(example)).examples().get(0);
  }

  private static String learned(EncodedExample e) {
    return tokenizer.decode(
        IntStream.range(0, e.ids().length)
            .filter(i -> e.learned()[i])
            .map(i -> e.ids()[i])
            .toArray(),
        false);
  }

  private static String text(EncodedExample e) {
    return tokenizer.decode(e.ids(), false);
  }

  @net.jqwik.api.Example
  void onlyTheCompletionAndItsEndAreLearned() throws IOException {
    EncodedExample e = one(Example.of("The capital of France is", " Paris"));
    assertThat(learned(e)).isEqualTo(" Paris<|endoftext|>");
    assertThat(text(e)).isEqualTo("The capital of France is Paris<|endoftext|>");
    assertThat(e.promptLength()).isEqualTo(tokenizer.encode("The capital of France is").length);
    assertThat(e.lossTokens()).isEqualTo(e.ids().length - e.promptLength());
  }

  @net.jqwik.api.Example
  void promptsAreLearnedWhereAskedFor() throws IOException {
    Task task =
        Task.builder("t")
            .train(List.of(Example.of("a b c", " d")))
            .completionOnlyLoss(false)
            .build();
    EncodedExample e = encode(100, LengthPolicy.FAIL, task).examples().get(0);
    assertThat(e.lossTokens()).isEqualTo(e.ids().length - 1);
    assertThat(e.learned()[0]).isFalse();
  }

  @net.jqwik.api.Example
  void textsAreLearnedWhole() throws IOException {
    assertThat(learned(one(Example.text("Once upon a time"))))
        .isEqualTo("Once upon a time<|endoftext|>");
  }

  @net.jqwik.api.Example
  void answersInAConversationAreLearned() throws IOException {
    Example chat =
        new Example(
            "",
            "",
            ImmutableList.of(
                new Message("user", "Hi"),
                new Message("assistant", "Hello"),
                new Message("user", "Bye"),
                new Message("assistant", "See you"),
                new Message("user", "unanswered")),
            "chat.jsonl, line 4");
    EncodedExample e = one(chat);
    assertThat(learned(e)).isEqualTo("Hello<|im_end|>See you<|im_end|>");
    assertThat(text(e))
        .startsWith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n")
        .endsWith("See you<|im_end|>\n<|im_start|>user\nunanswered<|im_end|>\n");
    assertThatThrownBy(
            () ->
                new ExampleEncoder(tokenizer, Optional.empty(), 50, LengthPolicy.FAIL)
                    .encode(task(chat), Task.Split.TRAIN))
        .hasMessageContaining("chat.jsonl, line 4")
        .hasMessageContaining("no chat template");
  }

  @Property(tries = 40)
  void lengthPoliciesHoldAndCount(
      @ForAll @Size(min = 1, max = 8) List<@IntRange(min = 1, max = 40) Integer> prompts,
      @ForAll @IntRange(min = 1, max = 30) int completion,
      @ForAll @IntRange(min = 4, max = 40) int maxLength)
      throws IOException {
    Task task =
        Task.builder("t")
            .train(
                prompts.stream()
                    .map(n -> Example.of("a b".repeat(n), " c".repeat(completion)))
                    .toList())
            .type(Task.Type.GENERATION)
            .build();
    List<EncodedExample> full = encode(10_000, LengthPolicy.FAIL, task).examples();
    long longer = full.stream().filter(e -> e.ids().length > maxLength).count();

    TaskEncoder.Result skipped = encode(maxLength, LengthPolicy.SKIP, task);
    assertThat(skipped.report().skipped()).isEqualTo((int) longer);
    assertThat(skipped.report().truncated()).isZero();

    TaskEncoder.Result truncated = encode(maxLength, LengthPolicy.TRUNCATE_PROMPT, task);
    assertThat(truncated.report().truncated() + truncated.report().skipped())
        .isEqualTo((int) longer);
    assertThat(truncated.report().examples()).isEqualTo(truncated.examples().size());
    long tokens = 0;
    for (EncodedExample e : truncated.examples()) {
      EncodedExample whole = full.get(e.example());
      assertThat(e.ids()).hasSizeLessThanOrEqualTo(maxLength);
      assertThat(e.lossTokens()).as("the completion is whole").isEqualTo(whole.lossTokens());
      assertThat(e.learned()[0]).isFalse();
      assertThat(e.promptLength()).isPositive();
      assertThat(Arrays.copyOfRange(e.ids(), 1, e.ids().length))
          .isEqualTo(
              Arrays.copyOfRange(
                  whole.ids(), whole.ids().length - e.ids().length + 1, whole.ids().length));
      tokens += e.ids().length;
    }
    assertThat(truncated.report().tokens()).isEqualTo(tokens);
    if (longer > 0) {
      assertThatThrownBy(() -> encode(maxLength, LengthPolicy.FAIL, task))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("'t'")
          .hasMessageContaining("train example")
          .hasMessageContaining("more than the " + maxLength + " allowed");
    }
  }

  @net.jqwik.api.Example
  void theTokenThatTextsBeginWithIsKept() throws IOException {
    int bos = tokenizer.bos().getAsInt();
    Example chat =
        new Example(
            "",
            "",
            ImmutableList.of(
                new Message("user", "<|endoftext|>" + "word ".repeat(30)),
                new Message("assistant", "yes")),
            "");
    String prompt = "<|endoftext|>" + "word ".repeat(30);
    EncodedExample e =
        encode(20, LengthPolicy.TRUNCATE_PROMPT, task(Example.of(prompt, "yes"), chat))
            .examples()
            .get(0);
    assertThat(e.ids()[0]).isEqualTo(bos);
    assertThat(e.ids()).hasSize(20);
    int[] shortened = encoder(20, LengthPolicy.TRUNCATE_PROMPT).prompt(prompt, 5);
    assertThat(shortened).hasSize(15).startsWith(bos);
    assertThat(encoder(200, LengthPolicy.TRUNCATE_PROMPT).prompt(prompt, 5))
        .isEqualTo(tokenizer.encode(prompt));
  }

  /** A template that takes long ends with the thread's interruption, and blames no turn. */
  @net.jqwik.api.Example
  void anInterruptionEndsATemplate() throws Exception {
    String slow =
        "{% for i in range(3000) %}{% for k in range(3000) %}{% endfor %}{% endfor %}{{ messages[0].content }}";
    ExampleEncoder encoder =
        new ExampleEncoder(
            tokenizer, Optional.of(ChatTemplate.of(slow, Map.of())), 100, LengthPolicy.FAIL);
    Task task = task(Example.conversation(Message.user("a"), Message.assistant("b")));
    AtomicReference<Throwable> thrown = new AtomicReference<>();
    Thread thread =
        new Thread(
            () -> {
              Thread.currentThread().interrupt();
              try {
                encoder.encode(task, Task.Split.TRAIN);
              } catch (RuntimeException e) {
                thrown.set(e);
              }
            });
    thread.start();
    thread.join(60_000);
    assertThat(thrown.get())
        .isInstanceOf(CancellationException.class)
        .hasMessageContaining("the encoding of task 't' was cancelled");
    assertThatThrownBy(() -> encoder.encode(task, Task.Split.TRAIN))
        .hasMessageContaining("more than")
        .hasMessageNotContaining("messages[");
  }

  @net.jqwik.api.Example
  void longTextsLoseTheirEnd() throws IOException {
    EncodedExample e =
        encode(
                6,
                LengthPolicy.TRUNCATE_PROMPT,
                task(Example.text("one two three four five six seven")))
            .examples()
            .get(0);
    assertThat(e.ids()).hasSize(6);
    assertThat(text(e)).contains("one two");
  }

  @net.jqwik.api.Example
  void scoringSeesTheTokensOfTraining() throws IOException {
    Example example = Example.of("The cat sat", " down");
    ExampleEncoder encoder = encoder(100, LengthPolicy.FAIL);
    int[] prompt = encoder.prompt(example.prompt(), 5);
    int[] completion = encoder.completion(example.completion());
    int[] both = Arrays.copyOf(prompt, prompt.length + completion.length);
    System.arraycopy(completion, 0, both, prompt.length, completion.length);
    assertThat(one(example).ids()).isEqualTo(both);
  }
}
