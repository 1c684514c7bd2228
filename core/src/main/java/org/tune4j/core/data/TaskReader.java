package org.tune4j.core.data;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.base.Ascii;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.apache.commons.csv.CSVFormat;
import org.apache.commons.csv.CSVParser;
import org.apache.commons.csv.CSVRecord;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;

/**
 * Reads examples in any {@link DataFormat}. If none is given, CSV is detected by the file's name,
 * any other format by each row's fields; null counts as absent.
 *
 * <p>Errors name the file, the line and the field. The first bad row is an error, unless {@link
 * #skippingBadRows} leaves such rows out. A field that any format knows is either used or refused
 * by name; fields that no format knows or that repeat others are counted in the {@link FileReport}.
 *
 * <p>Files are read row by row. If the examples would take more than a sixteenth of the maximum
 * heap size (or the system property {@value HeapShare#PROPERTY}, in bytes), they are kept in a
 * {@link org.tune4j.core.io.RecordFile temporary file} and read on access, so that files may be
 * larger than the heap.
 */
public final class TaskReader {
  private static final ObjectReader ELEMENT =
      Rows.JSON.reader().without(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private final DataFormat format;
  private final Columns columns;
  private final boolean skipBadRows;
  private final Consumer<Example> requirement;

  private TaskReader(
      DataFormat format, Columns columns, boolean skipBadRows, Consumer<Example> requirement) {
    this.format = format;
    this.columns = columns;
    this.skipBadRows = skipBadRows;
    this.requirement = requirement;
  }

  /** Returns a reader that detects the format. */
  public static TaskReader detecting() {
    return new TaskReader(null, Columns.NONE, false, e -> {});
  }

  /** Returns a reader of one format; fields of other formats are ignored and counted. */
  public static TaskReader of(DataFormat format) {
    return new TaskReader(format, Columns.NONE, false, e -> {});
  }

  /**
   * Returns a reader of files in which a field, such as {@code completion} or {@code content}, has
   * another name.
   *
   * @throws IllegalArgumentException if no format has such a field
   */
  public TaskReader column(String field, String nameInFile) {
    return new TaskReader(format, columns.with(field, nameInFile), skipBadRows, requirement);
  }

  /**
   * Returns a reader that leaves out bad rows and lists them in the {@link FileReport}: rows that
   * are not JSON or not UTF-8, lack a field, have a field of the wrong type or one that is refused,
   * or have nothing to learn. A file whose rows cannot be told apart (a broken JSON array, unclosed
   * quotes in CSV) is still an error, and so is one with only bad rows.
   */
  public TaskReader skippingBadRows() {
    return new TaskReader(format, columns, true, requirement);
  }

  /**
   * Returns a reader with a further requirement on examples, such as that a model's chat template
   * renders them; a row that fails it is bad.
   *
   * @param check throws an {@link IllegalArgumentException} that says what is wrong
   */
  public TaskReader requiring(Consumer<Example> check) {
    return new TaskReader(format, columns, skipBadRows, requirement.andThen(check));
  }

  /**
   * Reads a file; {@link #readAll} also reports what was not used.
   *
   * @throws NoSuchFileException if there is none
   * @throws MalformedFileException if it is empty, or a row is malformed
   */
  public List<Example> read(Path file) throws IOException {
    return readAll(file).examples();
  }

  /**
   * The content of a file.
   *
   * @param examples immutable; of a large file, each access reads from disk
   * @param labelled whether the format says that completions are labels
   * @param report what else the file has
   */
  public record Contents(List<Example> examples, boolean labelled, FileReport report) {}

  /**
   * Reads a file.
   *
   * @throws NoSuchFileException if there is none
   * @throws MalformedFileException if it is empty, or a row is malformed
   */
  public Contents readAll(Path file) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(file.toString(), null, "no such task file");
    }
    try (StoredRows stored = StoredRows.isFor(file) ? new StoredRows(file, columns) : null) {
      return new Reading(file, stored).contents();
    }
  }

  /** Reads one file. */
  private final class Reading {
    private final Path file;
    private final StoredRows stored; // null where examples stay in the heap
    private final List<Example> inHeap = new ArrayList<>();
    private final BitSet unlabelled = new BitSet(); // indices of examples
    private int read;
    private final Map<String, Integer> unused = new LinkedHashMap<>();
    private final List<String> firstBad = new ArrayList<>();
    private int labelled;
    private int bad;

    Reading(Path file, StoredRows stored) {
      this.file = file;
      this.stored = stored;
    }

    Contents contents() throws IOException {
      try {
        String name = Ascii.toLowerCase(file.getFileName().toString()).replaceFirst("\\.gz$", "");
        boolean json = name.endsWith(".json") || name.endsWith(".jsonl");
        if (format == DataFormat.CSV ? !json : format == null && name.endsWith(".csv")) {
          readCsv();
        } else if (isArray()) {
          readArray();
        } else {
          readLines();
        }
      } catch (CharacterCodingException e) {
        throw notUtf8(e);
      } catch (UncheckedIOException e) {
        if (e.getCause() instanceof CharacterCodingException cause) {
          throw notUtf8(cause);
        }
        throw e.getCause();
      }
      List<Example> examples = stored == null ? inHeap : stored.finish();
      if (labelled > 0 && !unlabelled.isEmpty()) {
        examples = requireLabels(examples);
      }
      int rows = examples.size() + bad;
      if (examples.isEmpty()) {
        throw new MalformedFileException(
            file,
            "",
            bad == 0 ? "no examples" : "only bad rows, the first: " + firstBad.get(0),
            "at least one");
      }
      return new Contents(
          Stored.copyOf(examples),
          labelled == examples.size(),
          new FileReport(
              file, rows, bad, ImmutableList.copyOf(firstBad), ImmutableMap.copyOf(unused)));
    }

    private BufferedReader reader() throws IOException {
      return new BufferedReader(new InputStreamReader(TextLines.bytes(file), UTF_8.newDecoder()));
    }

    /** JSON files may have one array or one row per line, whatever their extension. */
    private boolean isArray() throws IOException {
      try (InputStream in = TextLines.bytes(file)) {
        int c = in.read();
        while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
          c = in.read();
        }
        return c == '[';
      }
    }

    private void readLines() throws IOException {
      try (TextLines lines = TextLines.open(file)) {
        while (true) {
          String line;
          try {
            line = lines.next();
          } catch (CharacterCodingException e) {
            refuse(notUtf8(lines.number(), e));
            continue;
          }
          if (line == null) {
            return;
          }
          if (!line.isBlank()) {
            try {
              String place = "line " + lines.number();
              add(place, "", parse(place, line));
            } catch (MalformedFileException e) {
              refuse(e);
            }
          }
        }
      }
    }

    private JsonNode parse(String place, String line) throws IOException {
      try {
        return Rows.JSON.readTree(line);
      } catch (JsonProcessingException e) {
        throw notJson(
            e.getLocation() == null ? place : place + ", column " + e.getLocation().getColumnNr(),
            e);
      }
    }

    private void readArray() throws IOException {
      try (JsonParser parser = Rows.JSON.createParser(reader())) {
        parser.nextToken();
        for (int i = 1; parser.nextToken() != JsonToken.END_ARRAY; i++) {
          String line = " (line " + parser.currentTokenLocation().getLineNr() + ")";
          JsonNode element = ELEMENT.readTree(parser);
          try {
            add("element " + i, line, element);
          } catch (MalformedFileException e) {
            refuse(e);
          }
        }
        if (parser.nextToken() != null) {
          throw new MalformedFileException(
              file,
              "line " + parser.currentTokenLocation().getLineNr(),
              "more after the array",
              "one array, or one object per line");
        }
      } catch (JsonProcessingException e) {
        throw notJson("line " + e.getLocation().getLineNr(), e);
      }
    }

    private MalformedFileException notJson(String place, JsonProcessingException e) {
      return new MalformedFileException(
          file, place, JsonFile.problem(e), "one JSON object per line, or an array of objects", e);
    }

    private void readCsv() throws IOException {
      try (CSVParser parser =
          CSVParser.builder().setReader(reader()).setFormat(CSVFormat.DEFAULT).get()) {
        Iterator<CSVRecord> records = parser.iterator();
        if (!hasNext(parser, records)) {
          return;
        }
        List<String> header = records.next().toList();
        requireColumn(header, columns.name("text"));
        requireColumn(header, columns.name("label"));
        while (hasNext(parser, records)) {
          CSVRecord record = records.next();
          long end = parser.getCurrentLineNumber();
          long within =
              record.stream().mapToLong(v -> v.chars().filter(c -> c == '\n').count()).sum();
          String place = "line " + (end - within);
          try {
            if (record.size() != header.size()) {
              throw new MalformedFileException(
                  file, place, record.size() + " fields", header.size() + ", as in the header");
            }
            ObjectNode row = Rows.JSON.createObjectNode();
            for (int i = 0; i < header.size(); i++) {
              row.put(header.get(i), record.get(i));
            }
            add(place, "", row, DataFormat.CSV);
          } catch (MalformedFileException e) {
            refuse(e);
          }
        }
      }
    }

    private boolean hasNext(CSVParser parser, Iterator<CSVRecord> records) throws IOException {
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

    private void requireColumn(List<String> header, String name) throws IOException {
      int at = header.indexOf(name);
      if (at < 0 || header.lastIndexOf(name) != at) {
        throw new MalformedFileException(
            file, "line 1", "the columns " + header, "one column '" + name + "'");
      }
    }

    private void add(String place, String line, JsonNode node) throws IOException {
      add(place, line, node, format);
    }

    private void add(String place, String line, JsonNode node, DataFormat named)
        throws IOException {
      Row row = new Row(file, place, line, node, columns);
      DataFormat found = named == null ? Rows.detect(row) : named;
      Example example;
      try {
        example = Rows.read(row, found, named != null);
        requirement.accept(example);
      } catch (IllegalArgumentException e) {
        throw row.bad("an unusable row (" + e.getMessage() + ")", "a usable one", e);
      }
      if (stored == null) {
        inHeap.add(example);
      } else {
        stored.add(place, node, found, named != null);
      }
      row.unused().forEach((field, n) -> unused.merge(field, n, Integer::sum));
      if (found == DataFormat.CSV) {
        labelled++;
      } else if (found == DataFormat.TEXT) {
        unlabelled.set(read);
      }
      read++;
    }

    /** Refuses texts without a label in a file whose other rows have one. */
    private List<Example> requireLabels(List<Example> examples) throws MalformedFileException {
      for (int i = unlabelled.nextSetBit(0); i >= 0; i = unlabelled.nextSetBit(i + 1)) {
        refuse(
            new MalformedFileException(
                file,
                examples.get(i).origin().substring(file.toString().length() + 2)
                    + ", field '"
                    + columns.name("label")
                    + "'",
                "nothing",
                "a label, which %d other rows have".formatted(labelled)));
      }
      int[] others = IntStream.range(0, read).filter(i -> !unlabelled.get(i)).toArray();
      return Stored.select(examples, others);
    }

    private void refuse(MalformedFileException e) throws MalformedFileException {
      if (!skipBadRows) {
        throw e;
      }
      bad++;
      if (firstBad.size() < FileReport.LISTED) {
        firstBad.add(e.getMessage());
      }
    }

    private MalformedFileException notUtf8(CharacterCodingException cause) throws IOException {
      try (TextLines lines = TextLines.open(file)) {
        try {
          while (lines.next() != null) {
            // skips to the line that cannot be decoded
          }
        } catch (CharacterCodingException e) {
          return notUtf8(lines.number(), cause);
        }
        return notUtf8(lines.number(), cause);
      }
    }

    private MalformedFileException notUtf8(int line, CharacterCodingException cause) {
      return new MalformedFileException(
          file, "line " + line, "bytes that are not UTF-8", "UTF-8 text", cause);
    }
  }
}
