package org.tune4j.core.text;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskReader;

/** Nothing that a conversation says is lost because a template does not name it. */
class ReadFieldsTest {
  private static final String PLAIN =
      "{% for m in messages %}{{ '<' + m['role'] + '>' + (m['content'] or '') }}{% endfor %}";
  private static final String ABLE =
      "{% if tools %}{{ tools|length }} tools{% endif %}{% if documents %}documents{% endif %}{% for m in messages %}{{ '<' + m['role'] + '>' + (m['content'] or '') }}"
          + "{% if m['reasoning_content'] and loop.last %}{{ m['reasoning_content'] }}{% endif %}"
          + "{% if m['tool_calls'] %}{{ m['tool_calls'][0]['function']['name'] }}{% endif %}{% endfor %}";
  private static final String WITHOUT_TOOL_TURNS =
      "{% for m in messages %}{% if m['role'] == 'user' or m['role'] == 'assistant' %}{{ m['content'] }}{% endif %}{% endfor %}";

  private static final Message HI = Message.user("Hi");
  private static final Message CALL =
      Message.assistant("One moment.")
          .with("tool_calls", List.of(Map.of("function", Map.of("name", "f"))));
  private static final Message THOUGHT =
      Message.assistant("4").with("reasoning_content", "2 and 2");
  private static final ChatOptions NONE = ChatOptions.defaults();
  private static final ChatOptions TOOLS =
      ChatOptions.builder().tools(List.of(Map.of("name", "f"))).build();
  private static final ChatOptions DOCUMENTS =
      ChatOptions.builder().documents(List.of(Map.of("text", "x"))).build();

  private static void accepts(String template, ChatOptions options, Message... messages) {
    assertThatCode(
            () ->
                new ReadFields(ChatTemplate.of(template, Map.of()))
                    .require(List.of(messages), options))
        .doesNotThrowAnyException();
  }

  private static void refuses(
      String named, String template, ChatOptions options, Message... messages) {
    assertThatThrownBy(
            () ->
                new ReadFields(ChatTemplate.of(template, Map.of()))
                    .require(List.of(messages), options))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("does not read " + named);
  }

  @Test
  void whatATemplateReadsIsAccepted() {
    accepts(PLAIN, NONE, Message.system("s"), HI, Message.assistant("Hello"));
    accepts(ABLE, TOOLS, HI, CALL, Message.of("tool", "7"), Message.assistant("x"));
    accepts(ABLE, DOCUMENTS, HI, Message.assistant("x"));
    accepts(ABLE, NONE, HI, THOUGHT);
    accepts(
        ABLE, NONE, HI, THOUGHT, HI, Message.assistant("earlier thoughts are left out on purpose"));
    accepts(PLAIN, ChatOptions.builder().tools(List.of()).build(), HI);
    accepts(PLAIN, NONE, HI, Message.assistant("x").with("tool_calls", List.of()));
    accepts(PLAIN, NONE, HI, Message.of("tool", "7"));
  }

  @Test
  void whatItDoesNotReadIsNamed() {
    refuses("'tool_calls'", PLAIN, NONE, HI, CALL);
    refuses("'reasoning_content'", PLAIN, NONE, HI, THOUGHT);
    refuses("'thinking'", ABLE, NONE, HI, Message.assistant("4").with("thinking", "hm"));
    refuses("'tools'", PLAIN, TOOLS, HI, Message.assistant("x"));
    refuses("'documents'", PLAIN, DOCUMENTS, HI, Message.assistant("x"));
    refuses(
        "messages[1], a turn of role 'tool'",
        WITHOUT_TOOL_TURNS,
        NONE,
        HI,
        Message.of("tool", "7"));
  }

  @Test
  void encodingNamesFileAndLine(@org.junit.jupiter.api.io.TempDir Path directory) throws Exception {
    Path file =
        java.nio.file.Files.writeString(
            directory.resolve("t.jsonl"),
            "{\"messages\": [{\"role\": \"user\", \"content\": \"What time is it?\"}, {\"role\": \"assistant\", \"content\": \"One moment.\", \"tool_calls\": [{\"function\": {\"name\": \"get_time\"}}]}]}");
    List<Example> examples = TaskReader.detecting().read(file);
    Path tiny = Path.of("src/test/resources/tiny");
    try (Tokenizer tokenizer = Tokenizer.load(tiny)) {
      ExampleEncoder encoder =
          new ExampleEncoder(tokenizer, ChatTemplate.load(tiny), 100, LengthPolicy.FAIL);
      assertThatThrownBy(
              () -> encoder.encode(Task.builder("t").train(examples).build(), Task.Split.TRAIN))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining(file + ", line 1")
          .hasMessageContaining("'tool_calls'");
    }
  }
}
