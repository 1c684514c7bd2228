package org.tune4j.core.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class MessageTest {
  @Test
  void hasEveryFieldOfATurn() throws Exception {
    Message m =
        new Message(
            JsonValues.fields(
                new ObjectMapper()
                    .readTree(
                        "{\"role\":\"assistant\",\"content\":null,\"n\":12345678901234567890,\"i\":1,"
                            + "\"f\":1.0,\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]}")));
    assertThat(m.role()).isEqualTo("assistant");
    assertThat(m.content()).isEmpty();
    assertThat(m.has("content")).isTrue();
    assertThat(m.has("name")).isFalse();
    assertThat(m.field("n")).isEqualTo(new BigInteger("12345678901234567890"));
    assertThat(m.field("i")).isEqualTo(1L);
    assertThat(m.field("f")).isEqualTo(1.0);
    assertThat(m.field("tool_calls")).isEqualTo(List.of(Map.of("function", Map.of("name", "f"))));
    assertThat(m.fields().keySet()).containsExactly("role", "content", "n", "i", "f", "tool_calls");
  }

  @Test
  void joinsTheTextsOfParts() {
    Message m =
        Message.user("")
            .with(
                "content",
                List.of(Map.of("type", "text", "text", "a"), Map.of("type", "image"), "b"));
    assertThat(m.content()).isEqualTo("ab");
    assertThat(m.role()).isEqualTo("user");
  }

  @Test
  void nothingChangesIt() {
    Map<String, Object> call = new HashMap<>(Map.of("id", 1));
    List<Object> calls = new ArrayList<>(List.of(call));
    Message m = Message.assistant("x").with("tool_calls", calls);
    calls.add("more");
    call.put("id", 2);
    assertThat(m.field("tool_calls")).isEqualTo(List.of(Map.of("id", 1L)));
    assertThatThrownBy(() -> m.fields().put("a", "b"))
        .isInstanceOf(UnsupportedOperationException.class);
    assertThat(Message.user("x")).isEqualTo(Message.of("user", "x"));
  }

  @Test
  void refusesWhatJsonDoesNotHave() {
    assertThatThrownBy(() -> Message.user("x").with("o", new Object()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("java.lang.Object");
    assertThatThrownBy(() -> Message.user("x").with("m", Map.of(1, 2)))
        .hasMessageContaining("the key 1");
    List<Object> itself = new ArrayList<>();
    itself.add(itself);
    assertThatThrownBy(() -> Message.user("x").with("l", itself)).hasMessageContaining("nested");
    assertThatThrownBy(() -> ChatOptions.builder().variable("messages", 1).build())
        .hasMessageContaining("'messages'");
  }

  @Test
  void spansCountCodePoints() {
    Rendered r =
        new Rendered(
            "a\uD83D\uDE00b", List.of(new Rendered.Span(1, 3), new Rendered.Span(3, 4)), true);
    assertThat(r.codePointSpans())
        .containsExactly(new Rendered.Span(1, 2), new Rendered.Span(2, 3));
  }
}
