package org.tune4j.core.data;

import static com.google.common.base.Preconditions.checkArgument;
import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.base.Ascii;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import com.google.common.io.CharStreams;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.commons.csv.CSVFormat;
import org.apache.commons.csv.CSVParser;
import org.apache.commons.csv.CSVRecord;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.text.Message;

/**
 * Reads examples in any {@link DataFormat}. Without one given, the format is found from the file's
 * name and its first example's fields. Every error names the file, the line and the field.
 */
public final class TaskReader {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
  private static final ImmutableSet<String> FIELDS =
      ImmutableSet.of(
          "prompt",
          "completion",
          "text",
          "label",
          "messages",
          "role",
          "content",
          "instruction",
          "input",
          "output",
          "conversations",
          "from",
          "value");

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
   *
   * @throws IllegalArgumentException if no format has such a field
   */
  public TaskReader column(String field, String nameInFile) {
    checkArgument(
        FIELDS.contains(field), "no format has a field '%s'; there are %s", field, FIELDS);
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
    return readAll(file).examples();
  }

  /**
   * What is in a file.
   *
   * @param labelled whether it says itself that its completions are labels
   */
  record Contents(ImmutableList<Example> examples, boolean labelled) {}

  Contents readAll(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(file.toString(), null, "no such task file");
    }
    List<Example> examples = new ArrayList<>();
    boolean labelled;
    String lower = Ascii.toLowerCase(file.getFileName().toString());
    try (BufferedReader reader = open(file)) {
      if (format == DataFormat.CSV || (format == null && lower.endsWith(".csv"))) {
        readCsv(file, reader, examples);
        labelled = true;
      } else if (lower.endsWith(".json") && firstCharacter(reader) == '[') {
        labelled = readArray(file, reader, examples);
      } else {
        labelled = readLines(file, reader, examples);
      }
    } catch (CharacterCodingException e) {
      throw notUtf8(file, e);
    } catch (UncheckedIOException e) {
      if (e.getCause() instanceof CharacterCodingException) {
        throw notUtf8(file, e);
      }
      throw e.getCause();
    }
    if (examples.isEmpty()) {
      throw new MalformedFileException(file, "", "no examples", "at least one");
    }
    return new Contents(ImmutableList.copyOf(examples), labelled);
  }

  /** Opens a text file; the byte order mark that spreadsheets put in front is left out. */
  private static BufferedReader open(Path file) throws IOException {
    BufferedReader reader = Files.newBufferedReader(file, UTF_8);
    reader.mark(1);
    if (reader.read() != '\uFEFF') {
      reader.reset();
    }
    return reader;
  }

  private static int firstCharacter(BufferedReader reader) throws IOException {
    reader.mark(1 << 16);
    int c = reader.read();
    while (c >= 0 && Character.isWhitespace(c)) {
      c = reader.read();
    }
    reader.reset();
    return c;
  }

  private static MalformedFileException notUtf8(Path file, Exception cause) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file));
    CharsetDecoder decoder = UTF_8.newDecoder();
    CharBuffer into = CharBuffer.allocate(1 << 13);
    while (decoder.decode(bytes, into.clear(), true).isOverflow()) {
      // on to the first bytes that cannot be decoded
    }
    int line = 1;
    for (int i = 0; i < bytes.position(); i++) {
      line += bytes.get(i) == '\n' ? 1 : 0;
    }
    return new MalformedFileException(
        file, "line " + line, "bytes that are no UTF-8", "UTF-8 text", cause);
  }

  private boolean readLines(Path file, BufferedReader reader, List<Example> into)
      throws IOException {
    boolean labelled = true;
    int number = 0;
    for (String line = reader.readLine(); line != null; line = reader.readLine()) {
      number++;
      if (!line.isBlank()) {
        labelled &= add(parse(file, "line " + number, line), file, "line " + number, into);
      }
    }
    return labelled;
  }

  private boolean readArray(Path file, BufferedReader reader, List<Example> into)
      throws IOException {
    boolean labelled = true;
    JsonNode root = parse(file, "", CharStreams.toString(reader));
    for (int i = 0; i < root.size(); i++) {
      labelled &= add(root.get(i), file, "element " + (i + 1), into);
    }
    return labelled;
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

  private void readCsv(Path file, BufferedReader reader, List<Example> into) throws IOException {
    try (CSVParser parser =
        CSVParser.builder().setReader(reader).setFormat(CSVFormat.DEFAULT).get()) {
      Iterator<CSVRecord> records = parser.iterator();
      if (!records.hasNext()) {
        return;
      }
      List<String> header = records.next().toList();
      int text = column(file, header, name("text"));
      int label = column(file, header, name("label"));
      while (hasNext(file, parser, records)) {
        CSVRecord record = records.next();
        long end = parser.getCurrentLineNumber();
        long within =
            record.stream().mapToLong(v -> v.chars().filter(c -> c == '\n').count()).sum();
        String place = "line " + (end - within);
        if (record.size() != header.size()) {
          throw new MalformedFileException(
              file, place, record.size() + " fields", header.size() + ", as in the header");
        }
        into.add(labelled(record.get(text), record.get(label), file, place));
      }
    }
  }

  private static boolean hasNext(Path file, CSVParser parser, Iterator<CSVRecord> records)
      throws IOException {
    try {
      return records.hasNext();
    } catch (UncheckedIOException e) {
      if (e.getCause() instanceof CharacterCodingException) {
        throw e;
      }
      throw new MalformedFileException(
          file,
          "line " + parser.getCurrentLineNumber(),
          e.getCause().getMessage(),
          "comma-separated values, quoted with \"",
          e);
    }
  }

  private static int column(Path file, List<String> header, String name) throws IOException {
    int at = header.indexOf(name);
    if (at < 0 || header.lastIndexOf(name) != at) {
      throw new MalformedFileException(
          file, "line 1", "the columns " + header, "one column '" + name + "'");
    }
    return at;
  }

  /** A text with its label, as an example whose prompt is the text and a line break. */
  private Example labelled(String text, String label, Path file, String place) throws IOException {
    if (text.isBlank()) {
      throw new MalformedFileException(
          file, place + ", field '" + name("text") + "'", "an empty string", "some text");
    }
    return pair(file, place, "label", text + "\n", label);
  }

  /** Adds an example, and returns whether its completion is a label by its format. */
  private boolean add(JsonNode node, Path file, String place, List<Example> into)
      throws IOException {
    if (!node.isObject()) {
      throw new MalformedFileException(
          file, place, Ascii.toLowerCase(node.getNodeType().toString()), "a JSON object");
    }
    DataFormat f = format == null ? detect(node, file, place) : format;
    into.add(example(f, node, file, place));
    return f == DataFormat.CSV;
  }

  private Example example(DataFormat f, JsonNode node, Path file, String place) throws IOException {
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
        String input =
            node.path(name("input")).isMissingNode() || node.path(name("input")).isNull()
                ? ""
                : text(node, "input", file, place);
        // the headings of Stanford Alpaca's own training, without its preamble
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
      case CSV -> {
        // datasets often number their labels
        JsonNode label = node.path(name("label"));
        yield labelled(
            text(node, "text", file, place),
            label.isIntegralNumber() ? label.asText() : text(node, "label", file, place),
            file,
            place);
      }
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
      return node.has(name("label")) ? DataFormat.CSV : DataFormat.TEXT;
    }
    List<String> fields = new ArrayList<>();
    node.fieldNames().forEachRemaining(fields::add);
    throw new MalformedFileException(
        file,
        place,
        "fields " + fields,
        "prompt and completion, text, text and label, messages, instruction and output, or conversations (or map the names)");
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
