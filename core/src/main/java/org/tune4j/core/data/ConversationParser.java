package org.tune4j.core.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.ChatOptions;
import org.tune4j.core.text.JsonValues;
import org.tune4j.core.text.Message;

/**
 * Parses conversations in the formats of OpenAI, transformers, TRL and ShareGPT. All fields of a
 * turn are passed to the chat template as they are, except those that say whether the turn is
 * learned. A null counts as absent, except for {@code content}, which templates compare with {@code
 * none}.
 */
final class ConversationParser {
  /** Other names of the user and the assistant. */
  private static final ImmutableMap<String, String> SPEAKERS =
      ImmutableMap.<String, String>builder()
          .put("human", "user")
          .put("gpt", "assistant")
          .put("chatgpt", "assistant")
          .put("bard", "assistant")
          .put("bing", "assistant")
          .put("bot", "assistant")
          .put("ai", "assistant")
          .put("model", "assistant")
          .buildOrThrow();

  /**
   * Further roles of ShareGPT, as chat templates call them. In OpenAI's format roles are kept as
   * they are, since templates may know them.
   */
  private static final ImmutableMap<String, String> SHAREGPT_ROLES =
      ImmutableMap.<String, String>builder()
          .put("user", "user")
          .put("assistant", "assistant")
          .put("system", "system")
          .put("developer", "developer")
          .put("tool", "tool")
          .put("observation", "tool")
          .put("function", "tool")
          .put("function_response", "tool")
          .put("tool_response", "tool")
          .put("ipython", "tool")
          .buildOrThrow();

  private static final ImmutableSet<String> SHAREGPT_CALLS =
      ImmutableSet.of("function_call", "tool_call");

  /** Arguments of {@code apply_chat_template} that are not variables of the template. */
  private static final ImmutableSet<String> NOT_VARIABLES =
      ImmutableSet.of(
          "messages",
          "conversation",
          "chat_template",
          "add_generation_prompt",
          "continue_final_message",
          "tokenize",
          "return_dict",
          "return_tensors",
          "return_assistant_tokens_mask",
          "tokenizer_kwargs",
          "padding",
          "truncation",
          "max_length");

  private static final ObjectMapper JSON = Rows.JSON;

  private ConversationParser() {}

  /**
   * A turn.
   *
   * @param learned whether it is learned, if the data says so
   */
  private record Turn(Message message, Optional<Boolean> learned) {
    boolean isAssistant() {
      return message.role().equals("assistant");
    }
  }

  /** Parses the conversation in one field of a row, {@code messages} or {@code conversations}. */
  static Example conversation(Row row, String field) throws MalformedFileException {
    return example(row, turns(row, field), OptionalInt.empty(), field);
  }

  /** Parses a prompt and a completion, at least one of which is a list of turns. */
  static Example promptAndCompletion(Row row) throws MalformedFileException {
    List<Turn> turns = part(row, "prompt", "user");
    int start = turns.size();
    turns.addAll(part(row, "completion", "assistant"));
    return example(row, turns, OptionalInt.of(start), "completion");
  }

  private static List<Turn> part(Row row, String field, String speaker)
      throws MalformedFileException {
    JsonNode value = row.use(field);
    if (!value.isTextual()) {
      return turns(row, field);
    }
    String text = speaker.equals("assistant") ? row.textToLearn(field) : row.text(field);
    return new ArrayList<>(List.of(new Turn(Message.of(speaker, text), Optional.empty())));
  }

  private static Example example(Row row, List<Turn> turns, OptionalInt completion, String field)
      throws MalformedFileException {
    int start = completion.orElse(0);
    for (int i = 0; i < start; i++) {
      if (turns.get(i).learned().orElse(false)) {
        throw row.badField("prompt", "a turn to be learned", "such turns only in the completion");
      }
    }
    if (turns.stream().skip(start).noneMatch(Turn::isAssistant)) {
      throw row.badField(
          field,
          "no assistant turn, but " + turns.stream().map(t -> t.message().role()).toList(),
          "at least one, to learn from");
    }
    if (turns.stream().skip(start).noneMatch(t -> t.isAssistant() && t.learned().orElse(true))) {
      throw row.badField(
          field, "no assistant turn to be learned", "at least one whose weight is not 0");
    }
    List<Boolean> learned = new ArrayList<>();
    if (turns.stream().anyMatch(t -> t.learned().isPresent())) {
      for (int i = 0; i < turns.size(); i++) {
        Turn t = turns.get(i);
        learned.add(i >= start && t.isAssistant() && t.learned().orElse(true));
      }
    }
    List<Message> messages = new ArrayList<>(turns.stream().map(Turn::message).toList());
    if (prependSystem(row, messages)) {
      start++;
      if (!learned.isEmpty()) {
        learned.add(0, false);
      }
    }
    return new Example(
        "",
        "",
        ImmutableList.copyOf(messages),
        ImmutableList.copyOf(learned),
        completion.isPresent() ? OptionalInt.of(start) : completion,
        options(row),
        row.origin());
  }

  /** Puts a row's system prompt in front of the messages; returns whether it added one. */
  private static boolean prependSystem(Row row, List<Message> messages)
      throws MalformedFileException {
    if (!row.says("system")) {
      return false;
    }
    String text = row.text("system");
    Message first = messages.get(0);
    if (!first.role().equals("system")) {
      messages.add(0, Message.system(text));
      return true;
    }
    if (!first.content().equals(text)) {
      throw row.badField(
          "system", Row.show(row.use("system")), "the same text as in the system turn, or none");
    }
    return false;
  }

  private static ChatOptions options(Row row) throws MalformedFileException {
    ChatOptions.Builder options = ChatOptions.builder();
    JsonNode tools = json(row, "tools");
    JsonNode documents = json(row, "documents");
    JsonNode arguments = json(row, "chat_template_kwargs");
    if (!arguments.isMissingNode() && !arguments.isObject()) {
      throw row.badField("chat_template_kwargs", Row.show(arguments), "an object");
    }
    for (Map.Entry<String, JsonNode> a : arguments.properties()) {
      boolean twice =
          (a.getKey().equals("tools") && !tools.isMissingNode())
              || (a.getKey().equals("documents") && !documents.isMissingNode());
      if (twice || NOT_VARIABLES.contains(a.getKey())) {
        throw row.badField(
            "chat_template_kwargs",
            "'" + a.getKey() + "'",
            twice ? "it in one place only" : "variables of the chat template");
      }
      switch (a.getKey()) {
        case "tools" -> tools = a.getValue();
        case "documents" -> documents = a.getValue();
        default -> options.variable(a.getKey(), JsonValues.of(a.getValue()));
      }
    }
    if (!tools.isMissingNode() && !tools.isNull()) {
      options.tools(objects(row, "tools", tools, true));
    }
    if (!documents.isMissingNode() && !documents.isNull()) {
      options.documents(objects(row, "documents", documents, false));
    }
    return options.build();
  }

  /** Returns a field's value, parsed if it is a string: many datasets store JSON that way. */
  private static JsonNode json(Row row, String field) throws MalformedFileException {
    JsonNode value = row.use(field);
    if (!value.isTextual()) {
      return value;
    }
    if (value.textValue().isBlank()) {
      return value.path("absent");
    }
    try {
      JsonNode parsed = JSON.readTree(value.textValue());
      return parsed.isNull() ? value.path("absent") : parsed;
    } catch (JsonProcessingException e) {
      throw row.badField(field, Row.show(value), "JSON");
    }
  }

  private static List<Map<String, Object>> objects(
      Row row, String field, JsonNode value, boolean withoutNulls) throws MalformedFileException {
    if (!value.isArray()) {
      throw row.badField(field, Row.show(value), "an array of objects");
    }
    List<Map<String, Object>> all = new ArrayList<>();
    for (JsonNode element : value) {
      if (!element.isObject()) {
        throw row.badField(field, Row.show(element) + " in it", "an array of objects");
      }
      all.add(JsonValues.fields(withoutNulls ? withoutNulls(element) : element));
    }
    return all;
  }

  /**
   * Columnar formats give every object the fields of all others, filled with nulls; only a schema's
   * {@code default} or {@code const} may really be null.
   */
  private static JsonNode withoutNulls(JsonNode value) {
    if (value.isArray()) {
      var copy = JSON.createArrayNode();
      value.forEach(v -> copy.add(withoutNulls(v)));
      return copy;
    }
    if (value.isObject()) {
      var copy = JSON.createObjectNode();
      for (Map.Entry<String, JsonNode> e : value.properties()) {
        boolean mayBeNull = e.getKey().equals("default") || e.getKey().equals("const");
        if (!e.getValue().isNull() || mayBeNull) {
          copy.set(e.getKey(), withoutNulls(e.getValue()));
        }
      }
      return copy;
    }
    return value;
  }

  private static List<Turn> turns(Row row, String field) throws MalformedFileException {
    JsonNode value = row.use(field);
    if (!value.isArray() || value.isEmpty()) {
      throw row.badField(field, Row.show(value), "an array of turns");
    }
    List<Turn> turns = new ArrayList<>();
    for (int i = 0; i < value.size(); i++) {
      String name = row.columns().name(field);
      turns.add(turn(row.within(name + "[" + i + "]", value.get(i)), field));
    }
    return turns;
  }

  private static Turn turn(Row turn, String list) throws MalformedFileException {
    boolean shareGpt = turn.has("from") || (list.equals("conversations") && !turn.has("role"));
    String roleField = shareGpt ? "from" : "role";
    boolean value = turn.has("value") || (shareGpt && !turn.has("content"));
    String contentField = value ? "value" : "content";
    requireOne(turn, "from", "role");
    requireOne(turn, "value", "content");
    String said = turn.text(roleField);
    boolean call = shareGpt && SHAREGPT_CALLS.contains(said);
    String role = call ? "assistant" : role(turn, roleField, said, shareGpt);
    Map<String, Object> fields = new LinkedHashMap<>();
    Optional<Boolean> learned = Optional.empty();
    Columns columns = turn.columns();
    for (Map.Entry<String, JsonNode> e : turn.node().properties()) {
      String name = columns.field(e.getKey(), Columns.TURN);
      if (name.equals("content") && e.getValue().isNull() && !value) {
        fields.put("content", null);
        continue;
      }
      if (e.getValue().isNull()) {
        continue;
      }
      switch (name) {
        case "from", "role" -> fields.put("role", role);
        case "value", "content" -> {
          if (call) {
            fields.put("content", "");
            fields.put("tool_calls", calls(turn, contentField, e.getValue()));
          } else {
            fields.put("content", content(turn, contentField, e.getValue()));
          }
        }
        case "weight", "train" -> {
          boolean flag = flag(turn, name, e.getValue());
          if (learned.isPresent() && learned.get() != flag) {
            throw turn.badField(
                name, Row.show(e.getValue()), "the same as the other of weight and train");
          }
          if (flag && !role.equals("assistant")) {
            throw turn.badField(
                name, Row.show(e.getValue()), "0: only the assistant's turns are learned");
          }
          learned = Optional.of(flag);
        }
        case "tool_calls" -> fields.put("tool_calls", toolCalls(turn));
        case "" -> {
          checkOtherField(turn, list, e.getKey(), e.getValue());
          if (!Columns.TURN.contains(e.getKey())) { // otherwise another field has this name
            fields.put(e.getKey(), JsonValues.of(e.getValue()));
          }
        }
        default -> fields.put(name, JsonValues.of(e.getValue()));
      }
    }
    Message message = new Message(fields);
    requireContent(turn, message, contentField, learned.orElse(true));
    return new Turn(message, learned);
  }

  private static void requireOne(Row turn, String a, String b) throws MalformedFileException {
    if (turn.has(a) && turn.has(b)) {
      throw turn.badField(
          a, "it and '" + turn.columns().name(b) + "' in one turn", "one of the two");
    }
  }

  private static String role(Row turn, String field, String said, boolean shareGpt)
      throws MalformedFileException {
    String role = SPEAKERS.getOrDefault(said, shareGpt ? SHAREGPT_ROLES.get(said) : said);
    if (role == null) {
      List<String> known = new ArrayList<>(SPEAKERS.keySet());
      known.addAll(SHAREGPT_ROLES.keySet());
      known.addAll(SHAREGPT_CALLS);
      throw turn.badField(field, "'" + said + "'", "one of " + known);
    }
    return role;
  }

  private static Object content(Row turn, String field, JsonNode value)
      throws MalformedFileException {
    if (value.isTextual()) {
      return value.textValue();
    }
    if (!value.isArray()) {
      throw turn.badField(field, Row.show(value), "a string, or an array of parts");
    }
    List<Object> parts = new ArrayList<>();
    for (JsonNode part : value) {
      JsonNode kept = withoutNulls(part);
      if (!kept.path("type").asText().equals("text") || !kept.path("text").isTextual()) {
        throw turn.badField(
            field,
            "the part " + Row.show(part),
            "a string, or an array of {\"type\": \"text\", \"text\"}: only text can be learned");
      }
      parts.add(JsonValues.of(kept));
    }
    return parts;
  }

  private static boolean flag(Row turn, String field, JsonNode value)
      throws MalformedFileException {
    if (value.isBoolean()) {
      return value.booleanValue();
    }
    if (value.isNumber() && (value.doubleValue() == 0 || value.doubleValue() == 1)) {
      return value.doubleValue() == 1;
    }
    throw turn.badField(field, Row.show(value), "0 or 1");
  }

  private static Object toolCalls(Row turn) throws MalformedFileException {
    JsonNode calls = json(turn, "tool_calls");
    if (calls.isMissingNode()) {
      return List.of();
    }
    return objects(turn, "tool_calls", calls, true);
  }

  /**
   * Parses tool calls in ShareGPT's format: {@code {"name", "arguments"}} or several, as a string.
   */
  private static List<Map<String, Object>> calls(Row turn, String field, JsonNode value)
      throws MalformedFileException {
    JsonNode parsed = value.isTextual() ? json(turn, field) : value;
    List<JsonNode> each = new ArrayList<>();
    if (parsed.isArray()) {
      parsed.forEach(each::add);
    } else {
      each.add(parsed);
    }
    List<Map<String, Object>> calls = new ArrayList<>();
    for (JsonNode call : each) {
      if (!call.path("name").isTextual() || !call.hasNonNull("arguments")) {
        throw turn.badField(field, Row.show(value), "a call as JSON: {\"name\", \"arguments\"}");
      }
      // keys in this order, as templates print them
      calls.add(
          ImmutableMap.of("type", "function", "function", JsonValues.fields(withoutNulls(call))));
    }
    if (calls.isEmpty()) {
      throw turn.badField(field, Row.show(value), "at least one call");
    }
    return calls;
  }

  /** Counts an uninterpreted field of a turn as unused, or refuses it if it changes the meaning. */
  private static void checkOtherField(Row turn, String list, String name, JsonNode value)
      throws MalformedFileException {
    if (!Row.says(value)) {
      return;
    }
    String expected =
        switch (name) {
          case "function_call" -> "tool_calls, which chat templates know";
          case "train_detail" -> "weight or train, for turns as a whole";
          case "image", "images", "videos", "audio", "audios" -> "text only";
          default -> "";
        };
    if (!expected.isEmpty()) {
      throw turn.badField(name, Row.show(value), expected);
    }
    turn.countUnused(turn.columns().name(list) + "[]." + name);
  }

  private static void requireContent(Row turn, Message m, String field, boolean learned)
      throws MalformedFileException {
    boolean assistant = m.role().equals("assistant");
    boolean hasOtherContent =
        assistant
            && (says(m.field("tool_calls"))
                || says(m.field("reasoning_content"))
                || says(m.field("thinking")));
    if (m.field("content") == null && !hasOtherContent) {
      throw turn.badField(field, "nothing", "a string, or an array of parts");
    }
    if (assistant && learned && !hasOtherContent && m.content().isBlank()) {
      throw turn.badField(field, "an empty string", "some text to learn");
    }
  }

  private static boolean says(Object value) {
    return value instanceof List<?> list
        ? !list.isEmpty()
        : value instanceof String text && !text.isBlank();
  }
}
