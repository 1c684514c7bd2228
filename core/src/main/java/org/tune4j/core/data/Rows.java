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

/** Rows of JSON files as examples: finds the format of a row, and reads it. */
final class Rows {
  /** Reads one value strictly: nothing may follow it, and no field may be there twice. */
  static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .build();

  /** What a conversation has, and text has no place for. */
  private static final ImmutableSet<String> OF_CONVERSATIONS =
      ImmutableSet.of("system", "history", "tools", "documents", "chat_template_kwargs");

  /** Fields that often hold once more what another format's fields say, such as the whole text. */
  private static final ImmutableSet<String> REPETITIONS = ImmutableSet.of("prompt", "text");

  private static final ImmutableSet<String> ALL =
      ImmutableSet.<String>builder().addAll(Columns.ROW).addAll(Columns.FOREIGN).build();

  private Rows() {}

  /**
   * Returns a row's format.
   *
   * @throws MalformedFileException if it has the fields of none, or of several
   */
  static DataFormat detect(Row row) throws MalformedFileException {
    Set<DataFormat> whole = EnumSet.noneOf(DataFormat.class);
    if (row.says("messages")) {
      whole.add(DataFormat.MESSAGES);
    }
    if (row.says("conversations")) {
      whole.add(DataFormat.SHAREGPT);
    }
    if (row.has("instruction") && row.says("output")) {
      whole.add(DataFormat.ALPACA);
    }
    if (row.has("prompt") && row.says("completion")) {
      whole.add(DataFormat.PROMPT_COMPLETION);
    }
    if (whole.size() > 1) {
      throw row.bad("the fields of several formats, " + whole, "one (or name the format to read)");
    }
    if (!whole.isEmpty()) {
      return whole.iterator().next();
    }
    return detectPart(row);
  }

  /** The format that a row without all fields of one seems to be meant in. */
  private static DataFormat detectPart(Row row) throws MalformedFileException {
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
        "preferences, 'chosen' and 'rejected', of which training by likelihood learns nothing",
        "prompt and completion (to learn the chosen answers alone, map completion to chosen)");
  }

  /**
   * Reads a row.
   *
   * @param named whether the caller has named the format, so that fields of others may be left out
   */
  static Example read(Row row, DataFormat format, boolean named) throws MalformedFileException {
    Example example =
        switch (format) {
          case PROMPT_COMPLETION -> promptAndCompletion(row);
          case TEXT -> pair(row, "", row.textToLearn("text"));
          case ALPACA -> alpaca(row);
          case MESSAGES -> ConversationParser.whole(row, "messages");
          case SHAREGPT -> ConversationParser.whole(row, "conversations");
          case CSV -> labelled(row, row.text("text"), label(row));
        };
    checkRest(row, example.isConversation(), named);
    return example;
  }

  /** No field that is known anywhere may pass unnoticed. */
  private static void checkRest(Row row, boolean conversation, boolean named)
      throws MalformedFileException {
    for (Map.Entry<String, JsonNode> e : row.node().properties()) {
      if (row.isUsed(e.getKey()) || !Row.says(e.getValue())) {
        continue;
      }
      String field = row.columns().field(e.getKey(), ALL);
      if (OF_CONVERSATIONS.contains(field)) {
        throw row.badField(
            field,
            Row.show(e.getValue()),
            conversation
                ? "the earlier turns among the others"
                : "none beside text, which no chat template renders (conversations, as messages, may have it)");
      }
      // who maps the completion to the chosen answers knows that there are rejected ones
      boolean accepted =
          named
              || field.isEmpty()
              || REPETITIONS.contains(field)
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
      return ConversationParser.divided(row);
    }
    return pair(row, row.text("prompt"), row.textToLearn("completion"));
  }

  private static Example alpaca(Row row) throws MalformedFileException {
    String instruction = row.text("instruction");
    String input = row.has("input") ? row.text("input") : "";
    // the headings of Stanford Alpaca's own training, without its preamble
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

  /** Datasets often number their labels, or say yes and no. */
  private static String label(Row row) throws MalformedFileException {
    JsonNode label = row.use("label");
    return label.isIntegralNumber() || label.isBoolean()
        ? label.asText()
        : row.textToLearn("label");
  }

  /** A text with its label, as an example whose prompt is the text and a line break. */
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
