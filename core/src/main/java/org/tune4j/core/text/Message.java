package org.tune4j.core.text;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * A turn of a conversation, with every field that a chat template may read: {@code role}, {@code
 * content}, and, depending on the template, {@code name}, {@code tool_calls}, {@code tool_call_id},
 * {@code reasoning_content} and others. What is not meant for the template, such as a turn's weight
 * in training, does not belong here.
 *
 * @param fields by name, represented as in {@link JsonValues}; null is kept, as templates can tell
 *     it from an absent field
 */
public record Message(Map<String, Object> fields) {
  /**
   * Copies the fields.
   *
   * @throws IllegalArgumentException if a field's value has no JSON equivalent
   */
  public Message {
    fields = JsonValues.copyOf(fields);
  }

  /**
   * Creates a turn of text.
   *
   * @param role {@code system}, {@code user}, {@code assistant}, {@code tool}, ...
   */
  public Message(String role, String content) {
    this(fields(role, content));
  }

  private static Map<String, Object> fields(String role, Object content) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("role", role);
    fields.put("content", content);
    return fields;
  }

  /** Returns a turn of text. */
  public static Message of(String role, String content) {
    return new Message(role, content);
  }

  /** Returns a system message. */
  public static Message system(String text) {
    return new Message("system", text);
  }

  /** Returns a user message. */
  public static Message user(String text) {
    return new Message("user", text);
  }

  /** Returns an assistant message. */
  public static Message assistant(String text) {
    return new Message("assistant", text);
  }

  /** Returns a copy with one field added or replaced; the value as in {@link JsonValues}. */
  public Message with(String field, Object value) {
    Map<String, Object> all = new LinkedHashMap<>(fields);
    all.put(field, value);
    return new Message(all);
  }

  /** Returns a field's value; null if it is absent or null. */
  public Object field(String name) {
    return fields.get(name);
  }

  /** Returns whether a field is present; its value may be null. */
  public boolean has(String name) {
    return fields.containsKey(name);
  }

  /** Returns the role; empty if the field is absent or not text. */
  public String role() {
    return field("role") instanceof String role ? role : "";
  }

  /**
   * Returns the content as text: of content in parts, the text parts, joined; empty if there is
   * none.
   */
  public String content() {
    Object content = field("content");
    if (content instanceof String text) {
      return text;
    }
    if (content instanceof List<?> parts) {
      return parts.stream().map(Message::text).collect(Collectors.joining());
    }
    return "";
  }

  private static String text(Object part) {
    if (part instanceof String text) {
      return text;
    }
    return part instanceof Map<?, ?> map && map.get("text") instanceof String text ? text : "";
  }
}
