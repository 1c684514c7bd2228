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
 * Checks that a chat template reads everything that a conversation has besides its text. Jinja
 * silently ignores fields that a template does not mention, and a model would learn answers without
 * the calls that led to them.
 *
 * <p>A field counts as read if the rendered text depends on it, be it only in a conversation that
 * ends with such a turn: templates drop the reasoning of earlier turns on purpose. A template that
 * refuses one of the two renderings has read the field. Thread-safe.
 */
public final class ReadFields {
  private static final ImmutableMap<String, Object> TURN_FIELDS =
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

  /** Roles that are not checked; a template may ignore the system prompt on purpose. */
  private static final ImmutableSet<String> UNCHECKED_ROLES =
      ImmutableSet.of("system", "user", "assistant");

  private final ChatTemplate template;
  private final Map<String, Boolean> readInLastTurn = new ConcurrentHashMap<>();

  /** Prepares to check conversations against a template. */
  public ReadFields(ChatTemplate template) {
    this.template = template;
  }

  /**
   * Checks a conversation.
   *
   * @throws IllegalArgumentException if it has something that the template ignores; the message
   *     names it
   */
  public void require(List<Message> messages, ChatOptions options) {
    for (String field : TURN_FIELDS.keySet()) {
      List<Message> without =
          messages.stream().map(m -> says(m.field(field)) ? without(m, field) : m).toList();
      require(
          "'" + field + "'",
          without.equals(messages)
              || differ(messages, options, without, options)
              || readInLastTurn.computeIfAbsent(field, this::isReadInLastTurn));
    }
    if (!options.tools().orElse(List.of()).isEmpty()) {
      require("'tools'", differ(messages, options, messages, with(options, false, true)));
    }
    if (!options.documents().orElse(List.of()).isEmpty()) {
      require("'documents'", differ(messages, options, messages, with(options, true, false)));
    }
    for (int i = 0; i < messages.size(); i++) {
      Message m = messages.get(i);
      if (!UNCHECKED_ROLES.contains(m.role()) && says(m.field("content"))) {
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
          "the chat template does not read %s, so it would be lost; remove it, or use a template that does"
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

  private boolean isReadInLastTurn(String field) {
    Message question = Message.user("qvquestion");
    Message answer = Message.assistant("qvanswer");
    return differ(
        List.of(question, answer.with(field, TURN_FIELDS.get(field))),
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
