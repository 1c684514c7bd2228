package org.tune4j.core.data;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.tune4j.core.io.RecordFile;

/**
 * Rows that were checked, kept in a file until they are accessed as examples. They are parsed by
 * {@link Rows} once more then, so that there is only one way from a row to an example.
 */
final class StoredRows implements AutoCloseable {
  /** How many times larger than their file examples with short rows may be in the heap. */
  private static final int HEAP_FACTOR = 5;

  /** How many times larger the content of a gzip file may be. */
  private static final int GZIP_FACTOR = 8;

  /** Numbers beyond the range of double were read as infinities; this keeps them so. */
  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .disable(JsonWriteFeature.WRITE_NAN_AS_STRINGS)
          .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .build();

  private final Path file;
  private final Columns columns;
  private final RecordFile.Writer writer;

  StoredRows(Path file, Columns columns) throws IOException {
    this.file = file;
    this.columns = columns;
    this.writer = RecordFile.writer();
  }

  /** Returns whether the examples of a file may exceed {@link HeapShare}. */
  static boolean isFor(Path file) throws IOException {
    boolean packed = file.getFileName().toString().endsWith(".gz");
    return Files.size(file) * HEAP_FACTOR * (packed ? GZIP_FACTOR : 1) > HeapShare.bytes();
  }

  /**
   * Appends a row.
   *
   * @param named as in {@link Rows#read}
   */
  void add(String place, JsonNode node, DataFormat format, boolean named) throws IOException {
    ByteArrayOutputStream record = new ByteArrayOutputStream();
    DataOutputStream out = new DataOutputStream(record);
    out.writeUTF(format.name());
    out.writeBoolean(named);
    out.writeUTF(place);
    out.write(JSON.writeValueAsString(node).getBytes(UTF_8));
    writer.append(record.toByteArray());
  }

  /** Returns the examples in the order of their rows, each decoded on access. */
  Stored<Example> finish() throws IOException {
    Path path = file;
    Columns names = columns;
    return Stored.of(writer.finish(), record -> example(path, names, record));
  }

  private static Example example(Path file, Columns columns, byte[] record) {
    try {
      DataInputStream in = new DataInputStream(new ByteArrayInputStream(record));
      DataFormat format = DataFormat.valueOf(in.readUTF());
      boolean named = in.readBoolean();
      String place = in.readUTF();
      JsonNode node = JSON.readTree((InputStream) in);
      return Rows.read(new Row(file, place, "", node, columns), format, named);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void close() throws IOException {
    writer.close();
  }
}
