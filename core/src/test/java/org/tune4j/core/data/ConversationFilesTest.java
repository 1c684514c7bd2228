package org.tune4j.core.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.Message;

/** Conversations as people have them: whatever they say is kept, or refused by name. */
class ConversationFilesTest {
  private static final String CALL =
      """
      {"id": "c1", "type": "function", "function": {"name": "get_time", "arguments": "{\\"city\\": \\"Oslo\\"}"}}""";
  private static final String TOOL =
      """
      {"type": "function", "function": {"name": "get_time", "description": "Tells the time", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}""";
  private static final String USER = "{\"role\": \"user\", \"content\": \"Hi\"}";
  private static final String ANSWER = "{\"role\": \"assistant\", \"content\": \"Hello\"}";

  @TempDir Path directory;

  private TaskReader.Contents contents(String line) throws IOException {
    Path file = Files.writeString(directory.resolve("t.jsonl"), line.replace('\n', ' ') + "\n");
    return TaskReader.detecting().readAll(file);
  }

  private Example read(String line) throws IOException {
    return contents(line).examples().get(0);
  }

  private Example turns(String... turns) throws IOException {
    return read("{\"messages\": [" + String.join(", ", turns) + "]}");
  }

  private void refused(String line, String... message) {
    assertThatThrownBy(() -> read(line))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("t.jsonl, line 1")
        .message()
        .contains(message);
  }

  private void turnRefused(String turn, String... message) {
    refused("{\"messages\": [" + USER + ", " + ANSWER + ", " + turn + "]}", message);
  }

  private static final Map<String, Object> PARSED_CALL =
      Map.of(
          "id",
          "c1",
          "type",
          "function",
          "function",
          Map.of("name", "get_time", "arguments", "{\"city\": \"Oslo\"}"));

  @Test
  void callsAndToolsGoToTheTemplate() throws IOException {
    Example e =
        read(
            """
            {"messages": [{"role": "user", "content": "What time is it in Oslo?"},
             {"role": "assistant", "content": "One moment.", "tool_calls": [%s]},
             {"role": "tool", "tool_call_id": "c1", "name": "get_time", "content": "14:05"},
             {"role": "assistant", "content": "It is 14:05 in Oslo."}], "tools": [%s]}
            """
                .formatted(CALL, TOOL));
    assertThat(e.messages().get(1).fields())
        .isEqualTo(
            Map.of(
                "role", "assistant", "content", "One moment.", "tool_calls", List.of(PARSED_CALL)));
    assertThat(e.messages().get(2).fields())
        .isEqualTo(
            Map.of("role", "tool", "tool_call_id", "c1", "name", "get_time", "content", "14:05"));
    assertThat(e.options().tools().orElseThrow().get(0).toString())
        .contains("Tells the time", "city");
    assertThat(e.learned()).isEmpty();
  }

  @Test
  void callsNeedNoContentAndANullStaysOne() throws IOException {
    Message absent =
        turns(USER, "{\"role\": \"assistant\", \"tool_calls\": [" + CALL + "]}").messages().get(1);
    assertThat(absent.fields())
        .isEqualTo(Map.of("role", "assistant", "tool_calls", List.of(PARSED_CALL)));
    Message isNull =
        turns(USER, "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [" + CALL + "]}")
            .messages()
            .get(1);
    assertThat(isNull.has("content")).isTrue();
    assertThat(isNull.field("content")).isNull();
    turnRefused(
        "{\"role\": \"assistant\", \"content\": null}", "messages[2]", "'content'", "nothing");
    turnRefused(
        "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": []}", "'content'", "nothing");
    turnRefused("{\"role\": \"assistant\", \"content\": \"\"}", "'content'", "empty");
  }

  @Test
  void reasoningAndWhateverElseATurnHasGoesToTheTemplate() throws IOException {
    assertThat(
            turns(
                    USER,
                    "{\"role\": \"assistant\", \"content\": \"4\", \"reasoning_content\": \"two and two\", \"name\": \"bob\"}")
                .messages()
                .get(1)
                .fields())
        .isEqualTo(
            Map.of(
                "role", "assistant",
                "content", "4",
                "reasoning_content", "two and two",
                "name", "bob"));
    assertThat(
            turns(USER, "{\"role\": \"assistant\", \"content\": \"4\", \"thinking\": \"hm\"}")
                .messages()
                .get(1)
                .field("thinking"))
        .isEqualTo("hm");
    TaskReader.Contents odd =
        contents(
            "{\"messages\": [{\"role\": \"user\", \"content\": \"a\", \"mood\": 3}, {\"role\": \"assistant\", \"content\": \"b\", \"mood\": 4, \"tone\": null}]}");
    assertThat(odd.examples().get(0).messages().get(0).field("mood")).isEqualTo(3L);
    assertThat(odd.report().unusedFields()).isEqualTo(Map.of("messages[].mood", 2));
    turnRefused(
        "{\"role\": \"assistant\", \"content\": \"b\", \"function_call\": {\"name\": \"f\"}}",
        "messages[2]",
        "'function_call'",
        "tool_calls");
  }

  @Test
  void nullsAreAbsentInTurnsAndTools() throws IOException {
    Example e =
        read(
            """
            {"messages": [{"role": "user", "content": "a", "name": null, "tool_calls": null, "weight": null},
             {"role": "assistant", "content": null, "tool_calls":
               [{"id": null, "function": {"name": "f", "arguments": {"x": 1, "y": null}}}]}],
             "tools": [{"function": {"name": "f", "parameters": {"properties":
               {"x": {"type": "integer", "default": null, "enum": null}, "z": null}}}}],
             "documents": null, "system": null}
            """);
    assertThat(e.messages().get(0)).isEqualTo(Message.user("a"));
    assertThat(e.messages().get(1).field("tool_calls").toString())
        .isEqualTo("[{function={name=f, arguments={x=1}}}]");
    assertThat(e.options().tools().orElseThrow().toString())
        .isEqualTo(
            "[{function={name=f, parameters={properties={x={type=integer, default=null}}}}}]");
    assertThat(e.options().documents()).isEmpty();
  }

  @Test
  void toolsDocumentsAndArgumentsMayBeJsonInAString() throws IOException {
    String arguments = "{\\\"enable_thinking\\\": false}";
    Example e =
        read(
            "{\"messages\": [%s, %s], \"tools\": \"[{\\\"name\\\": \\\"f\\\"}]\", \"documents\": [{\"title\": \"t\", \"text\": \"x\"}], \"chat_template_kwargs\": \"%s\"}"
                .formatted(USER, ANSWER, arguments));
    assertThat(e.options().tools()).contains(List.of(Map.of("name", "f")));
    assertThat(e.options().documents()).contains(List.of(Map.of("title", "t", "text", "x")));
    assertThat(e.options().variables()).isEqualTo(Map.of("enable_thinking", false));
    assertThat(
            read("{\"messages\": [%s, %s], \"tools\": \"\"}".formatted(USER, ANSWER))
                .options()
                .tools())
        .isEmpty();
    assertThat(
            read("{\"messages\": [%s, %s], \"tools\": []}".formatted(USER, ANSWER))
                .options()
                .tools())
        .as("which templates can tell from none")
        .contains(List.of());
    String messages = "{\"messages\": [" + USER + ", " + ANSWER + "], ";
    refused(messages + "\"tools\": \"f(x)\"}", "field 'tools'", "f(x)", "JSON");
    refused(messages + "\"tools\": [\"f\"]}", "field 'tools'", "\"f\"", "objects");
    refused(messages + "\"documents\": {}}", "field 'documents'", "{}", "array");
    refused(messages + "\"chat_template_kwargs\": 3}", "'chat_template_kwargs'", "3", "object");
    refused(
        messages + "\"chat_template_kwargs\": {\"add_generation_prompt\": true}}",
        "'chat_template_kwargs'",
        "'add_generation_prompt'");
  }

  @Test
  void weightsSayWhatIsLearned() throws IOException {
    Example e =
        turns(
            USER,
            "{\"role\": \"assistant\", \"content\": \"Bad\", \"weight\": 0}",
            USER,
            "{\"role\": \"assistant\", \"content\": \"Good\", \"weight\": 1}",
            USER,
            ANSWER);
    assertThat(e.learned()).containsExactly(false, false, false, true, false, true);
    assertThat(e.messages().get(1).fields()).doesNotContainKey("weight");
    assertThat(
            turns(
                    USER,
                    "{\"role\": \"assistant\", \"content\": \"\", \"train\": false}",
                    USER,
                    ANSWER)
                .learned())
        .containsExactly(false, false, false, true);
    refused(
        "{\"messages\": [%s, {\"role\": \"assistant\", \"content\": \"x\", \"weight\": 0}]}"
            .formatted(USER),
        "field 'messages'",
        "no assistant turn to be learned");
    turnRefused(
        "{\"role\": \"assistant\", \"content\": \"x\", \"weight\": 0.5}", "'weight'", "0.5");
    turnRefused(
        "{\"role\": \"assistant\", \"content\": \"x\", \"train\": \"yes\"}", "'train'", "yes");
    turnRefused("{\"role\": \"user\", \"content\": \"x\", \"weight\": 1}", "'weight'", "assistant");
    turnRefused(
        "{\"role\": \"assistant\", \"content\": \"x\", \"weight\": 1, \"train\": false}",
        "'train'");
    turnRefused(
        "{\"role\": \"assistant\", \"content\": \"x\", \"train_detail\": [1]}", "'train_detail'");
  }

  @Test
  void aSystemPromptBesideTheTurnsComesFirst() throws IOException {
    String row = "{\"system\": \"Be brief.\", \"conversations\": [%s]}";
    String chat =
        "{\"from\": \"human\", \"value\": \"Hi\"}, {\"from\": \"gpt\", \"value\": \"Hello\", \"weight\": 1}";
    Example e = read(row.formatted(chat));
    assertThat(e.messages())
        .containsExactly(
            Message.system("Be brief."), Message.user("Hi"), Message.assistant("Hello"));
    assertThat(e.learned()).containsExactly(false, false, true);
    String same = "{\"from\": \"system\", \"value\": \"Be brief.\"}, ";
    assertThat(read(row.formatted(same + chat)).messages()).isEqualTo(e.messages());
    refused(
        row.formatted(same.replace("brief", "long") + chat),
        "'system'",
        "Be brief.",
        "the same text as in the system turn");
    assertThat(read("{\"system\": \" \", \"conversations\": [" + chat + "]}").messages())
        .hasSize(2);
  }

  @ParameterizedTest
  @CsvSource({
    "human,user", "user,user", "gpt,assistant", "chatgpt,assistant", "assistant,assistant",
    "model,assistant", "bard,assistant", "bing,assistant", "system,system", "tool,tool",
    "observation,tool", "function_response,tool"
  })
  void rolesOfShareGpt(String from, String role) throws IOException {
    Example e =
        read(
            "{\"conversations\": [{\"from\": \"%s\", \"value\": \"a\"}, {\"from\": \"gpt\", \"value\": \"b\"}]}"
                .formatted(from));
    assertThat(e.messages().get(0)).isEqualTo(Message.of(role, "a"));
  }

  @Test
  void callsOfShareGpt() throws IOException {
    Example e =
        read(
            """
            {"conversations": [{"from": "human", "value": "a"},
              {"from": "function_call", "value": "{\\"name\\": \\"f\\", \\"arguments\\": {\\"x\\": 1}}"},
              {"from": "observation", "value": "7"}, {"from": "gpt", "value": "b"}],
             "tools": "[{\\"name\\": \\"f\\"}]"}
            """);
    assertThat(e.messages().get(1).fields().toString())
        .isEqualTo(
            "{role=assistant, content=, tool_calls=[{type=function, function={name=f, arguments={x=1}}}]}");
    assertThat(e.messages().get(2)).isEqualTo(Message.of("tool", "7"));
    assertThat(e.options().tools()).contains(List.of(Map.of("name", "f")));
    refused(
        "{\"conversations\": [{\"from\": \"function_call\", \"value\": \"{\\\"x\\\": 1}\"}]}",
        "conversations[0]",
        "'value'",
        "name",
        "arguments");
    refused(
        "{\"conversations\": [{\"from\": \"narrator\", \"value\": \"x\"}, {\"from\": \"gpt\", \"value\": \"b\"}]}",
        "conversations[0]",
        "'from'",
        "'narrator'",
        "observation");
  }

  @Test
  void bothWaysOfWritingTurnsAreReadInBothLists() throws IOException {
    List<Message> both = List.of(Message.user("Hi"), Message.assistant("Hello"));
    assertThat(read("{\"conversations\": [" + USER + ", " + ANSWER + "]}").messages())
        .isEqualTo(both);
    assertThat(
            read("{\"messages\": [{\"from\": \"human\", \"value\": \"Hi\", \"role\": null}, {\"from\": \"gpt\", \"value\": \"Hello\"}]}")
                .messages())
        .isEqualTo(both);
    assertThat(turns("{\"role\": \"developer\", \"content\": \"x\"}", USER, ANSWER).messages())
        .as("the template knows which roles it takes")
        .first()
        .isEqualTo(Message.of("developer", "x"));
    turnRefused(
        "{\"role\": \"user\", \"from\": \"human\", \"content\": \"x\"}", "'from'", "'role'");
  }

  @Test
  void promptsAndCompletionsMayBeConversations() throws IOException {
    Example e =
        read(
            """
            {"prompt": [%s, %s, %s], "completion": [{"role": "assistant", "content": "x", "tool_calls": [%s]},
             {"role": "tool", "content": "7"}, {"role": "assistant", "content": "y"}], "tools": [%s], "system": "s"}
            """
                .formatted(USER, ANSWER, USER, CALL, TOOL));
    assertThat(e.messages()).hasSize(7);
    assertThat(e.messages().get(0)).isEqualTo(Message.system("s"));
    assertThat(e.completionStart()).hasValue(4);
    assertThat(e.learned()).isEmpty();
    assertThat(e.options().tools().orElseThrow()).hasSize(1);

    Example text = read("{\"prompt\": [" + USER + "], \"completion\": \"Hello\"}");
    assertThat(text.messages()).containsExactly(Message.user("Hi"), Message.assistant("Hello"));
    assertThat(text.completionStart()).hasValue(1);
    assertThat(read("{\"prompt\": \"Hi\", \"completion\": [" + ANSWER + "]}")).isEqualTo(text);

    assertThat(
            read("{\"prompt\": [%s, %s, %s], \"completion\": [%s, {\"role\": \"assistant\", \"content\": \"x\", \"weight\": 0}]}"
                    .formatted(USER, ANSWER, USER, ANSWER))
                .learned())
        .containsExactly(false, false, false, true, false);

    refused(
        "{\"prompt\": [" + USER + "], \"completion\": [" + USER + "]}",
        "'completion'",
        "no assistant turn");
    refused("{\"prompt\": [" + USER + "], \"completion\": \" \"}", "'completion'", "empty");
    refused("{\"prompt\": [" + USER + "]}", "'completion'", "nothing");
    refused("{\"prompt\": [], \"completion\": [" + ANSWER + "]}", "'prompt'", "[]");
    refused(
        "{\"prompt\": [{\"role\": \"assistant\", \"content\": \"x\", \"weight\": 1}], \"completion\": ["
            + ANSWER
            + "]}",
        "'prompt'",
        "to be learned");
  }

  @Test
  void partsOfTextAreKept() throws IOException {
    Message m =
        turns(
                "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\", \"image_url\": null}, {\"type\": \"text\", \"text\": \"b\"}]}",
                ANSWER)
            .messages()
            .get(0);
    assertThat(m.field("content"))
        .isEqualTo(
            List.of(Map.of("type", "text", "text", "a"), Map.of("type", "text", "text", "b")));
    assertThat(m.content()).isEqualTo("ab");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "[{\"type\": \"image\", \"image\": \"a.png\"}]",
        "[{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"image_url\", \"image_url\": {}}]",
        "[{\"type\": \"text\"}]",
        "[\"a\"]",
        "{\"text\": \"a\"}",
        "5"
      })
  void otherContentIsRefused(String content) {
    turnRefused(
        "{\"role\": \"user\", \"content\": " + content + "}", "messages[2], field 'content'");
  }

  static Stream<Arguments> fieldsWithoutAPlace() {
    String text = "{\"prompt\": \"a\", \"completion\": \"b\", ";
    String alpaca = "{\"instruction\": \"a\", \"output\": \"b\", ";
    String chat = "{\"messages\": [" + USER + ", " + ANSWER + "], ";
    return Stream.of(
        Arguments.of(text + "\"system\": \"Be brief.\"}", "system"),
        Arguments.of(text + "\"tools\": [{\"name\": \"f\"}]}", "tools"),
        Arguments.of(text + "\"documents\": [{\"text\": \"f\"}]}", "documents"),
        Arguments.of(text + "\"chat_template_kwargs\": {\"a\": 1}}", "chat_template_kwargs"),
        Arguments.of(text + "\"history\": [[\"a\", \"b\"]]}", "history"),
        Arguments.of(text + "\"input\": \"x\"}", "input"),
        Arguments.of(text + "\"label\": true}", "label"),
        Arguments.of(text + "\"images\": [\"a.png\"]}", "images"),
        Arguments.of(alpaca + "\"system\": \"Be brief.\"}", "system"),
        Arguments.of(alpaca + "\"history\": [[\"a\", \"b\"]]}", "history"),
        Arguments.of(chat + "\"history\": [[\"a\", \"b\"]]}", "history"),
        Arguments.of(chat + "\"functions\": [{\"name\": \"f\"}]}", "functions"),
        Arguments.of(chat + "\"output\": \"x\"}", "output"),
        Arguments.of(chat + "\"chosen\": [" + ANSWER + "]}", "chosen"),
        Arguments.of("{\"text\": \"a\", \"tools\": [{\"name\": \"f\"}]}", "tools"),
        Arguments.of("{\"text\": \"a\", \"label\": \"x\", \"system\": \"s\"}", "system"));
  }

  @ParameterizedTest
  @MethodSource("fieldsWithoutAPlace")
  void fieldsOfOtherFormatsAreRefusedByName(String line, String field) {
    refused(line, "'" + field + "'");
    assertThat(line).as("nothing is lost where there is nothing").contains(field);
  }
}
