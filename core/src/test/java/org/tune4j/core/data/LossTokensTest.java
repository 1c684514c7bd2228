package org.tune4j.core.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.text.ChatOptions;
import org.tune4j.core.text.ChatTemplate;
import org.tune4j.core.text.Message;
import org.tune4j.core.text.Tokenizer;

/**
 * Which tokens an example has, and which of them are learned, as transformers and TRL give them,
 * for tokenizers of the kinds of Llama 2, Llama 3, Mistral and Qwen 2.
 */
class LossTokensTest {
  private static final Path CASES = Path.of("src/test/resources/cases");
  private static final Path LOSS = CASES.resolve("loss-tokens");
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Tokenizers of the cases that are another one with a model's configuration beside it. */
  private static final Map<String, Map.Entry<String, String>> CONFIGURED =
      Map.of(
          "qwen25-like", Map.entry("qwen2", "{\"eos_token_id\": [701, 0]}"),
          "llama3-instruct-like", Map.entry("llama3", "{\"eos_token_id\": [701, 704]}"));

  @TempDir private Path temporary;

  private Tokenizer tokenizer(String name) throws IOException {
    if (!CONFIGURED.containsKey(name)) {
      return Tokenizer.load(LOSS.resolve(name));
    }
    Path directory = Files.createTempDirectory(temporary, name);
    for (String file : List.of("tokenizer.json", "tokenizer_config.json")) {
      Files.copy(
          LOSS.resolve(CONFIGURED.get(name).getKey()).resolve(file), directory.resolve(file));
    }
    for (String file : List.of("config.json", "generation_config.json")) {
      Files.writeString(directory.resolve(file), CONFIGURED.get(name).getValue());
    }
    return Tokenizer.load(directory);
  }

  private static JsonNode cases(String file) throws IOException {
    return JSON.readTree(LOSS.resolve(file).toFile());
  }

  private static int[] ids(JsonNode array) {
    return IntStream.range(0, array.size()).map(i -> array.get(i).asInt()).toArray();
  }

  private static ExampleEncoder encoder(
      Tokenizer tokenizer, Optional<ChatTemplate> template, LearnedTurns turns) {
    return new ExampleEncoder(tokenizer, template, 1000, LengthPolicy.FAIL).learning(turns);
  }

  private static EncodedExample encode(ExampleEncoder encoder, Example example) {
    Task task = Task.builder("t").train(List.of(example)).type(Task.Type.GENERATION).build();
    return encoder.encode(task, Task.Split.TRAIN).examples().get(0);
  }

  private static EncodedExample encode(Tokenizer tokenizer, String template, Example example) {
    ChatTemplate chat = ChatTemplate.of(template, Map.of("bos_token", "<s>", "eos_token", "</s>"));
    return encode(encoder(tokenizer, Optional.of(chat), LearnedTurns.ALL), example);
  }

  private static String learned(Tokenizer tokenizer, EncodedExample e) {
    return tokenizer.decode(
        IntStream.range(0, e.ids().length)
            .filter(i -> e.learned()[i])
            .map(i -> e.ids()[i])
            .toArray(),
        false);
  }

  @TestFactory
  Stream<DynamicTest> promptsWithCompletions() throws IOException {
    List<DynamicTest> tests = new ArrayList<>();
    for (JsonNode c : cases("pairs.json")) {
      String prompt = c.path("prompt").asText();
      String completion = c.path("completion").asText();
      String name = c.path("tokenizer").asText();
      tests.add(
          DynamicTest.dynamicTest(
              "%s: '%s' + '%s'".formatted(name, prompt, completion).replace("\n", "\\n"),
              () -> {
                try (Tokenizer tokenizer = tokenizer(name)) {
                  EncodedExample e =
                      encode(
                          encoder(tokenizer, Optional.empty(), LearnedTurns.ALL),
                          Example.of(prompt, completion));
                  assertThat(e.ids()).isEqualTo(ids(c.path("expected_ids")));
                  assertThat(e.learned()[e.ids().length - 1]).as("the end token").isTrue();
                  if (!prompt.isEmpty()) {
                    assertThat(learned(tokenizer, e)).contains(completion.strip());
                    int[] alone = tokenizer.encode(prompt);
                    assertThat(e.promptLength())
                        .as("the prompt's tokens, but for one that reaches into the completion")
                        .isBetween(alone.length - 1, alone.length);
                  }
                }
              }));
    }
    return tests.stream();
  }

  @TestFactory
  Stream<DynamicTest> conversations() throws IOException {
    List<DynamicTest> tests = new ArrayList<>();
    for (JsonNode c : cases("conversations.json")) {
      for (String template : List.of("template", "template_with_generation")) {
        List<Message> messages = new ArrayList<>();
        c.path("messages")
            .forEach(
                m ->
                    messages.add(new Message(m.path("role").asText(), m.path("content").asText())));
        String name = c.path("tokenizer").asText();
        tests.add(
            DynamicTest.dynamicTest(
                "%s, %s: %s".formatted(name, template, c.path("messages")),
                () -> {
                  try (Tokenizer tokenizer = tokenizer(name)) {
                    Example example = Example.conversation(messages.toArray(Message[]::new));
                    EncodedExample e = encode(tokenizer, c.path(template).asText(), example);
                    assertThat(e.ids()).isEqualTo(ids(c.path("expected_ids")));
                    int[] mask = ids(c.path("expected_mask"));
                    for (int i = 0; i < mask.length; i++) {
                      assertThat(e.learned()[i]).as("token %s", i).isEqualTo(mask[i] == 1);
                    }
                  }
                }));
      }
    }
    return tests.stream();
  }

  /** Of SentencePiece's kind: a space in front of the first text, or of each between marks. */
  @Test
  void theWholeTextIsTokenizedOnce() throws IOException {
    for (String name : List.of("tok-legacy", "tok-first")) {
      Path directory = CASES.resolve("space-prefix-tokenizers").resolve(name);
      try (Tokenizer tokenizer = Tokenizer.load(directory)) {
        ChatTemplate template = ChatTemplate.load(directory).orElseThrow();
        for (Example e : TaskReader.detecting().read(directory.resolveSibling("chat.jsonl"))) {
          EncodedExample encoded =
              encode(encoder(tokenizer, Optional.of(template), LearnedTurns.ALL), e);
          assertThat(encoded.ids())
              .isEqualTo(tokenizer.encode(template.render(e.messages(), false), false));
          assertThat(learned(tokenizer, encoded))
              .isEqualTo("fine thanks</s> answer two</s>"); // decoding takes the first space off
          String prompt = template.render(e.messages().subList(0, 1), true);
          assertThat(encoded.ids()).startsWith(tokenizer.encode(prompt, false));
        }
        for (Example e : TaskReader.detecting().read(directory.resolveSibling("pairs.jsonl"))) {
          EncodedExample encoded =
              encode(encoder(tokenizer, Optional.empty(), LearnedTurns.ALL), e);
          assertThat(encoded.ids()).startsWith(tokenizer.encode(e.prompt() + e.completion()));
          assertThat(encoded.ids()).endsWith(tokenizer.encode("</s>", false));
        }
      }
    }
  }

  @Test
  void theEndTokenIsNotAppendedTwice() throws IOException {
    try (Tokenizer tokenizer = tokenizer("qwen25-like")) {
      ExampleEncoder encoder = encoder(tokenizer, Optional.empty(), LearnedTurns.ALL);
      EncodedExample once = encode(encoder, Example.of("a", " b"));
      EncodedExample given = encode(encoder, Example.of("a", " b<|im_end|>"));
      assertThat(given.ids()).isEqualTo(once.ids());
      assertThat(given.learned()).isEqualTo(once.learned());
      assertThat(once.ids()[once.ids().length - 1])
          .as("the tokenizer's own, of [701, 0]")
          .isEqualTo(701);
    }
  }

  private static final String CHATML =
      "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n'}}{% endfor %}"
          + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

  private static Example talk(List<Boolean> learned, OptionalInt completionStart) {
    return new Example(
        "",
        "",
        ImmutableList.of(
            Message.user("a"),
            Message.assistant("one"),
            Message.user("b"),
            Message.assistant("two"),
            Message.user("c"),
            Message.assistant("three")),
        ImmutableList.copyOf(learned),
        completionStart,
        ChatOptions.defaults(),
        "");
  }

  @Test
  void turnsAreLearnedAsChosenOrAsTheDataSays() throws IOException {
    try (Tokenizer tokenizer = tokenizer("qwen2")) {
      Optional<ChatTemplate> template = Optional.of(ChatTemplate.of(CHATML, Map.of()));
      ExampleEncoder all = encoder(tokenizer, template, LearnedTurns.ALL);
      ExampleEncoder last = encoder(tokenizer, template, LearnedTurns.LAST);
      Example plain = talk(List.of(), OptionalInt.empty());
      assertThat(learned(tokenizer, encode(all, plain)))
          .isEqualTo("one<|im_end|>two<|im_end|>three<|im_end|>");
      assertThat(learned(tokenizer, encode(last, plain))).isEqualTo("three<|im_end|>");
      assertThat(encode(last, plain).ids()).isEqualTo(encode(all, plain).ids());
      Example weighted = talk(List.of(false, true, false, false, true, false), OptionalInt.empty());
      for (ExampleEncoder encoder : List.of(all, last)) {
        assertThat(learned(tokenizer, encode(encoder, weighted)))
            .as("the data decides, a user's turn included")
            .isEqualTo("one<|im_end|>c<|im_end|>");
      }
      Example divided = talk(List.of(), OptionalInt.of(2));
      assertThat(learned(tokenizer, encode(all, divided)))
          .isEqualTo("two<|im_end|>three<|im_end|>");
      assertThat(learned(tokenizer, encode(last, divided))).isEqualTo("three<|im_end|>");
    }
  }

  @Test
  void turnsThatTheTemplateMarksAreChosenLikewise() throws IOException {
    String marked =
        "{% for m in messages %}{{'<|im_start|>' + m.role + '\\n'}}{% if m.role == 'assistant' %}"
            + "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
            + "{% else %}{{ m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}";
    // several marks a turn: they belong to the turn that they stand in
    String parts =
        marked.replace(
            "{% generation %}{{ m.content",
            "{% generation %}{{ 'say ' }}{% endgeneration %}{% generation %}{{ m.content");
    try (Tokenizer tokenizer = tokenizer("qwen2")) {
      ExampleEncoder all =
          encoder(tokenizer, Optional.of(ChatTemplate.of(marked, Map.of())), LearnedTurns.ALL);
      assertThat(learned(tokenizer, encode(all, talk(List.of(), OptionalInt.empty()))))
          .isEqualTo("one<|im_end|>two<|im_end|>three<|im_end|>");
      assertThat(
              learned(
                  tokenizer,
                  encode(all.learning(LearnedTurns.LAST), talk(List.of(), OptionalInt.empty()))))
          .isEqualTo("three<|im_end|>");
      Example weighted = talk(List.of(false, true, false, false, true, true), OptionalInt.empty());
      assertThat(learned(tokenizer, encode(all, weighted)))
          .isEqualTo("one<|im_end|>c<|im_end|>three<|im_end|>");
      ExampleEncoder several =
          encoder(tokenizer, Optional.of(ChatTemplate.of(parts, Map.of())), LearnedTurns.ALL);
      assertThat(learned(tokenizer, encode(several, weighted)))
          .isEqualTo("say one<|im_end|>c<|im_end|>say three<|im_end|>");
    }
  }

  /** Templates of thinking models leave out what was thought in earlier turns. */
  @Test
  void earlierTurnsMayBeRenderedOtherwise() throws IOException {
    String thinking =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
            + "{% if m.role == 'assistant' and loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
            + "{{ m.content + '<|im_end|>\\n' }}{% endfor %}"
            + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
    try (Tokenizer tokenizer = tokenizer("qwen2")) {
      EncodedExample e = encode(tokenizer, thinking, talk(List.of(), OptionalInt.empty()));
      assertThat(learned(tokenizer, e))
          .as("what generation has to produce after the generation prompt")
          .isEqualTo("one<|im_end|>two<|im_end|><think>\n\n</think>\n\nthree<|im_end|>");
      String opening =
          thinking.replace("assistant\\n' }}{% endif %}", "assistant\\n<think>\\n' }}{% endif %}");
      assertThat(
              learned(tokenizer, encode(tokenizer, opening, talk(List.of(), OptionalInt.empty()))))
          .as("where the generation prompt is in no text, the content")
          .isEqualTo("one<|im_end|>two<|im_end|>\n</think>\n\nthree<|im_end|>");
    }
  }

  @Test
  void aRefusalNamesFileLineAndTurn() throws IOException {
    String alternating =
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
            + "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}";
    Example twice =
        new Example(
            "",
            "",
            ImmutableList.of(Message.user("a"), Message.assistant("b"), Message.assistant("c")),
            "chat.jsonl, line 7");
    try (Tokenizer tokenizer = tokenizer("qwen2")) {
      assertThatThrownBy(() -> encode(tokenizer, alternating, twice))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("chat.jsonl, line 7")
          .hasMessageContaining("messages[2] (assistant)")
          .hasMessageContaining("roles must alternate");
    }
  }

  @Test
  void everythingIsLearnedOfAConversationWherePromptsAreToo() throws IOException {
    try (Tokenizer tokenizer = tokenizer("qwen2")) {
      Task task =
          Task.builder("t")
              .train(List.of(talk(List.of(), OptionalInt.empty())))
              .completionOnlyLoss(false)
              .build();
      EncodedExample e =
          encoder(tokenizer, Optional.of(ChatTemplate.of(CHATML, Map.of())), LearnedTurns.ALL)
              .encode(task, Task.Split.TRAIN)
              .examples()
              .get(0);
      assertThat(e.lossTokens()).isEqualTo(e.ids().length - 1);
    }
  }
}
