package org.tune4j.core.data;

import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.tune4j.core.io.MalformedFileException;

/** Detects the format of rows and turns them into examples. */
final class Rows {
  /** Strict: nothing may follow a value, and no field may occur twice. */
  static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .build();

  /** Fields that only conversations can have. */
  private static final ImmutableSet<String> CONVERSATION_ONLY =
      ImmutableSet.of("system", "history", "tools", "documents", "chat_template_kwargs");

  /** Fields that often repeat the content of another format's fields, such as the whole text. */
  private static final ImmutableSet<String> OFTEN_REDUNDANT = ImmutableSet.of("prompt", "text");

  private static final ImmutableSet<String> KNOWN =
      ImmutableSet.<String>builder().addAll(Columns.ROW).addAll(Columns.FOREIGN).build();

  private Rows() {}

  /**
   * Returns a row's format.
   *
   * @throws MalformedFileException if it has the fields of none, or of several
   */
  static DataFormat detect(Row row) throws MalformedFileException {
    Set<DataFormat> complete = EnumSet.noneOf(DataFormat.class);
    if (row.says("messages")) {
      complete.add(DataFormat.MESSAGES);
    }
    if (row.says("conversations")) {
      complete.add(DataFormat.SHAREGPT);
    }
    if (row.has("instruction") && row.says("output")) {
      complete.add(DataFormat.ALPACA);
    }
    if (row.has("prompt") && row.says("completion")) {
      complete.add(DataFormat.PROMPT_COMPLETION);
    }
    if (complete.size() > 1) {
      throw row.bad(
          "the fields of several formats, " + complete, "one (or name the format to read)");
    }
    if (!complete.isEmpty()) {
      return complete.iterator().next();
    }
    return guess(row);
  }

  /** Returns the format that a row with missing or empty fields is probably meant to have. */
  private static DataFormat guess(Row row) throws MalformedFileException {
    if (row.says("text")) {
      return row.says("label") ? DataFormat.CSV : DataFormat.TEXT;
    }
    if (row.has("messages")) {
      return DataFormat.MESSAGES;
    }
    if (row.has("conversations")) {
      return DataFormat.SHAREGPT;
    }
    if (row.has("chosen") || row.has("rejected")) {
      throw preferences(row);
    }
    if (row.has("instruction")) {
      return DataFormat.ALPACA;
    }
    if (row.has("prompt") || row.has("completion")) {
      return DataFormat.PROMPT_COMPLETION;
    }
    if (row.has("text")) {
      return row.has("label") ? DataFormat.CSV : DataFormat.TEXT;
    }
    List<String> fields = new ArrayList<>();
    for (Map.Entry<String, JsonNode> e : row.node().properties()) {
      fields.add(e.getKey() + (e.getValue().isNull() ? " (null)" : ""));
    }
    throw row.bad(
        "fields " + fields,
        "prompt and completion, text, text and label, messages, instruction and output, or conversations (or map the names)");
  }

  private static MalformedFileException preferences(Row row) {
    return row.bad(
        "preferences, 'chosen' and 'rejected', which supervised training does not use",
        "prompt and completion (to learn the chosen answers alone, map completion to chosen)");
  }

  /**
   * Reads a row.
   *
   * @param named whether the caller named the format, so that fields of other formats may be left
   *     out
   */
  static Example read(Row row, DataFormat format, boolean named) throws MalformedFileException {
    Example example =
        switch (format) {
          case PROMPT_COMPLETION -> promptAndCompletion(row);
          case TEXT -> pair(row, "", row.textToLearn("text"));
          case ALPACA -> alpaca(row);
          case MESSAGES -> ConversationParser.conversation(row, "messages");
          case SHAREGPT -> ConversationParser.conversation(row, "conversations");
          case CSV -> labelled(row, row.text("text"), label(row));
        };
    checkUnused(row, example.isConversation(), named);
    return example;
  }

  /** Makes sure that no field of any known format is ignored unnoticed. */
  private static void checkUnused(Row row, boolean conversation, boolean named)
      throws MalformedFileException {
    for (Map.Entry<String, JsonNode> e : row.node().properties()) {
      if (row.isUsed(e.getKey()) || !Row.says(e.getValue())) {
        continue;
      }
      String field = row.columns().field(e.getKey(), KNOWN);
      if (CONVERSATION_ONLY.contains(field)) {
        throw row.badField(
            field,
            Row.show(e.getValue()),
            conversation
                ? "the earlier turns among the messages"
                : "no such field: only conversations are rendered by a chat template");
      }
      // mapping the completion to the chosen answers implies dropping the rejected ones
      boolean accepted =
          named
              || field.isEmpty()
              || OFTEN_REDUNDANT.contains(field)
              || (field.equals("rejected") && row.isUsed("chosen"));
      if (!accepted) {
        throw refused(row, field, e.getValue());
      }
      row.countUnused(e.getKey());
    }
  }

  private static MalformedFileException refused(Row row, String field, JsonNode value) {
    return switch (field) {
      case "chosen", "rejected" -> preferences(row);
      case "functions" -> row.badField(field, Row.show(value), "tools, which chat templates know");
      case "image", "images", "videos", "audios" ->
          row.badField(field, Row.show(value), "text only (or name the format, to leave them out)");
      default ->
          row.badField(
              field,
              Row.show(value),
              "no field of another format (or name the format, to leave it out)");
    };
  }

  private static Example promptAndCompletion(Row row) throws MalformedFileException {
    JsonNode prompt = row.use("prompt");
    JsonNode completion = row.use("completion");
    if (prompt.isArray() || completion.isArray()) {
      return ConversationParser.promptAndCompletion(row);
    }
    return pair(row, row.text("prompt"), row.textToLearn("completion"));
  }

  private static Example alpaca(Row row) throws MalformedFileException {
    String instruction = row.text("instruction");
    String input = row.has("input") ? row.text("input") : "";
    // the headings of Stanford Alpaca's training prompts, without its preamble
    String prompt =
        input.isBlank()
            ? "### Instruction:\n" + instruction + "\n\n### Response:\n"
            : "### Instruction:\n"
                + instruction
                + "\n\n### Input:\n"
                + input
                + "\n\n### Response:\n";
    return pair(row, prompt, row.textToLearn("output"));
  }

  /** Datasets often have numbers or booleans as labels. */
  private static String label(Row row) throws MalformedFileException {
    JsonNode label = row.use("label");
    return label.isIntegralNumber() || label.isBoolean()
        ? label.asText()
        : row.textToLearn("label");
  }

  /** Returns a labelled text as an example whose prompt is the text and a line break. */
  static Example labelled(Row row, String text, String label) throws MalformedFileException {
    if (text.isBlank()) {
      throw row.badField("text", "an empty string", "some text");
    }
    return pair(row, text + "\n", label);
  }

  private static Example pair(Row row, String prompt, String completion) {
    return new Example(prompt, completion, ImmutableList.of(), row.origin());
  }
}
