package org.tune4j.core.text;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Whether a chat template reads what a conversation says beside its texts. Jinja passes over what a
 * template does not name, and a model would learn answers without the calls that led to them.
 *
 * <p>A field is read if the conversation's text depends on it, or if that of a conversation does
 * which ends with such a turn: templates leave out on purpose what earlier turns thought. A
 * template that refuses one of the two has looked. Thread-safe.
 */
public final class ReadFields {
  private static final ImmutableMap<String, Object> OF_TURNS =
      ImmutableMap.of(
          "tool_calls",
          ImmutableList.of(
              ImmutableMap.of(
                  "id",
                  "qvcall001",
                  "type",
                  "function",
                  "function",
                  ImmutableMap.of("name", "qvname", "arguments", ImmutableMap.of()))),
          "reasoning_content",
          "qvreason",
          "thinking",
          "qvthought");

  /** A template without a place for the system's turn may be meant so. */
  private static final ImmutableSet<String> SPEAKERS =
      ImmutableSet.of("system", "user", "assistant");

  private final ChatTemplate template;
  private final Map<String, Boolean> ofLastTurns = new ConcurrentHashMap<>();

  /** Prepares to check conversations against a template. */
  public ReadFields(ChatTemplate template) {
    this.template = template;
  }

  /**
   * Checks a conversation.
   *
   * @throws IllegalArgumentException if it has something that the template passes over; with its
   *     name
   */
  public void require(List<Message> messages, ChatOptions options) {
    for (String field : OF_TURNS.keySet()) {
      List<Message> without =
          messages.stream().map(m -> says(m.field(field)) ? without(m, field) : m).toList();
      require(
          "'" + field + "'",
          without.equals(messages)
              || differ(messages, options, without, options)
              || ofLastTurns.computeIfAbsent(field, this::ofLastTurn));
    }
    if (!options.tools().orElse(List.of()).isEmpty()) {
      require("'tools'", differ(messages, options, messages, with(options, false, true)));
    }
    if (!options.documents().orElse(List.of()).isEmpty()) {
      require("'documents'", differ(messages, options, messages, with(options, true, false)));
    }
    for (int i = 0; i < messages.size(); i++) {
      Message m = messages.get(i);
      if (!SPEAKERS.contains(m.role()) && says(m.field("content"))) {
        List<Message> other = new ArrayList<>(messages);
        other.set(i, m.with("content", "qvother"));
        require(
            "messages[%d], a turn of role '%s'".formatted(i, m.role()),
            differ(messages, options, other, options));
      }
    }
  }

  private static void require(String what, boolean read) {
    if (!read) {
      throw new IllegalArgumentException(
          "the chat template does not read %s: it would be lost; take it out, or use a template that does"
              .formatted(what));
    }
  }

  private static boolean says(Object value) {
    return value instanceof List<?> list
        ? !list.isEmpty()
        : value instanceof String text && !text.isBlank();
  }

  private static Message without(Message message, String field) {
    Map<String, Object> fields = new LinkedHashMap<>(message.fields());
    fields.remove(field);
    return new Message(fields);
  }

  private static ChatOptions with(ChatOptions options, boolean tools, boolean documents) {
    return new ChatOptions(
        tools ? options.tools() : Optional.empty(),
        documents ? options.documents() : Optional.empty(),
        options.variables(),
        options.addGenerationPrompt(),
        options.template());
  }

  private boolean ofLastTurn(String field) {
    Message question = Message.user("qvquestion");
    Message answer = Message.assistant("qvanswer");
    return differ(
        List.of(question, answer.with(field, OF_TURNS.get(field))),
        ChatOptions.defaults(),
        List.of(question, answer),
        ChatOptions.defaults());
  }

  private boolean differ(
      List<Message> a, ChatOptions optionsOfA, List<Message> b, ChatOptions optionsOfB) {
    String textOfA = rendered(a, optionsOfA);
    return textOfA == null || !textOfA.equals(rendered(b, optionsOfB));
  }

  private String rendered(List<Message> messages, ChatOptions options) {
    try {
      return template.render(messages, options).text();
    } catch (IllegalArgumentException e) {
      return null;
    }
  }
}
