package org.tune4j.core.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.commons.csv.CSVFormat;
import org.apache.commons.csv.CSVParser;
import org.apache.commons.csv.CSVRecord;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.ChatTemplate.Message;

/**
 * Reads examples in any {@link DataFormat}. Without one given, the format is found from the file's
 * name and its first example's fields. Every error names the file, the line and the field.
 */
public final class TaskReader {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private final DataFormat format;
  private final ImmutableMap<String, String> columns;

  private TaskReader(DataFormat format, Map<String, String> columns) {
    this.format = format;
    this.columns = ImmutableMap.copyOf(columns);
  }

  /** Returns a reader that finds the format. */
  public static TaskReader detecting() {
    return new TaskReader(null, Map.of());
  }

  /** Returns a reader of one format. */
  public static TaskReader of(DataFormat format) {
    return new TaskReader(format, Map.of());
  }

  /**
   * Returns a reader to which a format's field, such as {@code completion}, goes by another name in
   * the files.
   */
  public TaskReader column(String field, String nameInFile) {
    ImmutableMap.Builder<String, String> all = ImmutableMap.builder();
    return new TaskReader(format, all.putAll(columns).put(field, nameInFile).buildKeepingLast());
  }

  private String name(String field) {
    return columns.getOrDefault(field, field);
  }

  /**
   * Reads a file.
   *
   * @throws NoSuchFileException if there is none
   * @throws MalformedFileException if it is empty, or an example is not as its format wants it
   */
  public ImmutableList<Example> read(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(file.toString(), null, "no such task file");
    }
    List<Example> examples = new ArrayList<>();
    try {
      String lower = file.getFileName().toString().toLowerCase(java.util.Locale.ROOT);
      if (format == DataFormat.CSV || (format == null && lower.endsWith(".csv"))) {
        readCsv(file, examples);
      } else if (lower.endsWith(".json")) {
        readArray(file, examples);
      } else {
        readLines(file, examples);
      }
    } catch (CharacterCodingException e) {
      throw new MalformedFileException(file, "", "bytes that are no UTF-8", "UTF-8 text", e);
    }
    if (examples.isEmpty()) {
      throw new MalformedFileException(file, "", "no examples", "at least one");
    }
    return ImmutableList.copyOf(examples);
  }

  private void readLines(Path file, List<Example> into) throws IOException {
    try (BufferedReader reader = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
      int number = 0;
      for (String line = reader.readLine(); line != null; line = reader.readLine()) {
        number++;
        if (!line.isBlank()) {
          into.add(example(parse(file, "line " + number, line), file, "line " + number));
        }
      }
    }
  }

  private void readArray(Path file, List<Example> into) throws IOException {
    JsonNode root = parse(file, "", Files.readString(file, StandardCharsets.UTF_8));
    if (!root.isArray()) {
      throw new MalformedFileException(file, "", "JSON that is no array", "an array of examples");
    }
    for (int i = 0; i < root.size(); i++) {
      into.add(example(root.get(i), file, "element " + (i + 1)));
    }
  }

  private static JsonNode parse(Path file, String place, String text) throws IOException {
    try {
      return JSON.readTree(text);
    } catch (JsonProcessingException e) {
      String at = place;
      if (e.getLocation() != null) {
        at =
            place.isEmpty()
                ? "line " + e.getLocation().getLineNr()
                : place + ", column " + e.getLocation().getColumnNr();
      }
      throw new MalformedFileException(
          file, at, "no valid JSON (" + e.getOriginalMessage() + ")", "a JSON object", e);
    }
  }

  private void readCsv(Path file, List<Example> into) throws IOException {
    CSVFormat csv =
        CSVFormat.DEFAULT
            .builder()
            .setHeader()
            .setSkipHeaderRecord(true)
            .setIgnoreEmptyLines(true)
            .get();
    try (CSVParser parser = CSVParser.parse(file, StandardCharsets.UTF_8, csv)) {
      for (String column : List.of(name("text"), name("label"))) {
        if (!parser.getHeaderMap().containsKey(column)) {
          throw new MalformedFileException(
              file, "line 1", "columns " + parser.getHeaderNames(), "a column '" + column + "'");
        }
      }
      for (CSVRecord record : parser) {
        String place = "line " + parser.getCurrentLineNumber();
        if (!record.isConsistent()) {
          throw new MalformedFileException(
              file,
              place,
              record.size() + " fields",
              parser.getHeaderNames().size() + ", as in the header");
        }
        into.add(
            pair(file, place, "label", record.get(name("text")) + "\n", record.get(name("label"))));
      }
    } catch (UncheckedIOException e) {
      throw new MalformedFileException(file, "", e.getCause().getMessage(), "CSV", e);
    }
  }

  private Example example(JsonNode node, Path file, String place) throws IOException {
    if (!node.isObject()) {
      throw new MalformedFileException(
          file,
          place,
          node.getNodeType().toString().toLowerCase(java.util.Locale.ROOT),
          "a JSON object");
    }
    DataFormat f = format == null ? detect(node, file, place) : format;
    return switch (f) {
      case PROMPT_COMPLETION ->
          pair(
              file,
              place,
              "completion",
              text(node, "prompt", file, place),
              text(node, "completion", file, place));
      case TEXT -> pair(file, place, "text", "", text(node, "text", file, place));
      case ALPACA -> {
        String instruction = text(node, "instruction", file, place);
        String input = node.path(name("input")).asText("");
        // the prompt of Stanford Alpaca's own training
        String prompt =
            input.isBlank()
                ? "### Instruction:\n" + instruction + "\n\n### Response:\n"
                : "### Instruction:\n"
                    + instruction
                    + "\n\n### Input:\n"
                    + input
                    + "\n\n### Response:\n";
        yield pair(file, place, "output", prompt, text(node, "output", file, place));
      }
      case MESSAGES -> conversation(node, "messages", "role", "content", file, place);
      case SHAREGPT -> conversation(node, "conversations", "from", "value", file, place);
      case CSV -> throw new IllegalStateException("CSV is read by its own parser");
    };
  }

  private DataFormat detect(JsonNode node, Path file, String place) throws IOException {
    if (node.has(name("messages"))) {
      return DataFormat.MESSAGES;
    }
    if (node.has(name("conversations"))) {
      return DataFormat.SHAREGPT;
    }
    if (node.has(name("instruction"))) {
      return DataFormat.ALPACA;
    }
    if (node.has(name("prompt")) || node.has(name("completion"))) {
      return DataFormat.PROMPT_COMPLETION;
    }
    if (node.has(name("text"))) {
      return DataFormat.TEXT;
    }
    List<String> fields = new ArrayList<>();
    node.fieldNames().forEachRemaining(fields::add);
    throw new MalformedFileException(
        file,
        place,
        "fields " + fields,
        "prompt and completion, text, messages, instruction and output, or conversations (or map the names)");
  }

  private String text(JsonNode node, String field, Path file, String place) throws IOException {
    JsonNode value = node.path(name(field));
    if (value.isMissingNode() || value.isNull()) {
      throw new MalformedFileException(
          file, place + ", field '" + name(field) + "'", "nothing", "a string");
    }
    if (!value.isTextual()) {
      throw new MalformedFileException(
          file, place + ", field '" + name(field) + "'", value.toString(), "a string");
    }
    return value.asText();
  }

  private Example pair(Path file, String place, String field, String prompt, String completion)
      throws IOException {
    if (completion.isBlank()) {
      throw new MalformedFileException(
          file, place + ", field '" + name(field) + "'", "an empty string", "some text to learn");
    }
    return new Example(prompt, completion, ImmutableList.of(), file + ", " + place);
  }

  private Example conversation(
      JsonNode node, String list, String roleField, String contentField, Path file, String place)
      throws IOException {
    JsonNode turns = node.path(name(list));
    if (!turns.isArray() || turns.isEmpty()) {
      throw new MalformedFileException(
          file,
          place + ", field '" + name(list) + "'",
          turns.isMissingNode() ? "nothing" : turns.toString(),
          "an array of turns");
    }
    ImmutableList.Builder<Message> messages = ImmutableList.builder();
    boolean answered = false;
    for (int i = 0; i < turns.size(); i++) {
      String at = place + ", " + name(list) + "[" + i + "]";
      String role = text(turns.get(i), roleField, file, at);
      String content = text(turns.get(i), contentField, file, at);
      role =
          switch (role) {
            case "human" -> "user";
            case "gpt" -> "assistant";
            default -> role;
          };
      if (role.equals("assistant")) {
        answered = true;
        if (content.isBlank()) {
          throw new MalformedFileException(
              file,
              at + ", field '" + name(contentField) + "'",
              "an empty string",
              "some text to learn");
        }
      }
      messages.add(new Message(role, content));
    }
    if (!answered) {
      throw new MalformedFileException(
          file,
          place + ", field '" + name(list) + "'",
          "no assistant turn",
          "at least one, to learn from");
    }
    return new Example("", "", messages.build(), file + ", " + place);
  }
}
