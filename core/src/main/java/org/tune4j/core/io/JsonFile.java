package org.tune4j.core.io;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CoderResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Locale;

/**
 * Reads JSON files that others wrote, and says what is wrong with them: the file, the line, what
 * was found and what was expected. A file is measured before it is read, so that one of any size
 * costs no more than its limit. {@code NaN} and {@code Infinity} are numbers, as Python writes
 * them; of two fields of one name the last counts, as there, unless they are refused. An
 * interrupted thread reads as any other.
 *
 * <p>Fields are taken from {@link JsonFields}, which checks their types.
 */
public final class JsonFile {
  /** Bytes of a configuration; the longest index of shards in use has nine million. */
  public static final long LIMIT = 16L << 20;

  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .build();

  private static final ObjectMapper UNIQUE =
      JSON.copy().enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY);

  private JsonFile() {}

  /**
   * Reads a file of at most {@link #LIMIT} bytes.
   *
   * @throws NoSuchFileException if there is none
   * @throws MalformedFileException if it is longer, no UTF-8 or no JSON
   */
  public static JsonNode read(Path file) throws IOException {
    return read(file, LIMIT);
  }

  /** As {@link #read(Path)}, with a limit in bytes. */
  public static JsonNode read(Path file, long limit) throws IOException {
    return parse(text(file, limit), file);
  }

  /** As {@link #read(Path, long)}, and refuses a field that is there twice. */
  public static JsonNode readUnique(Path file, long limit) throws IOException {
    return parse(UNIQUE, text(file, limit), file, "");
  }

  /** Parses what a file holds; {@code origin} is the file, for messages. */
  public static JsonNode parse(String text, Path origin) throws MalformedFileException {
    return parse(JSON, text, origin, "");
  }

  /** Parses a line of a file that has a value in each; {@code number} counts from 1. */
  public static JsonNode parseLine(String text, Path origin, long number)
      throws MalformedFileException {
    return parse(JSON, text, origin, "line " + number);
  }

  private static JsonNode parse(ObjectMapper mapper, String text, Path origin, String place)
      throws MalformedFileException {
    try {
      return mapper.readTree(text);
    } catch (JsonProcessingException e) {
      String at =
          place.isEmpty() && e.getLocation() != null
              ? "line " + e.getLocation().getLineNr()
              : place;
      throw new MalformedFileException(origin, at, problem(e), "JSON", e);
    }
  }

  /** Describes what a parser met, for those that read token by token. */
  public static String problem(JsonProcessingException e) {
    return "no valid JSON (" + e.getOriginalMessage() + ")";
  }

  /**
   * Reads a text file in UTF-8; a byte order mark is left out.
   *
   * @param limit most bytes
   * @throws NoSuchFileException if there is none
   * @throws MalformedFileException if it is longer or no UTF-8
   */
  public static String text(Path file, long limit) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(
          file.toString(), null, Files.exists(file) ? "it is no file" : "no such file");
    }
    // no channel: an interrupt would close it
    try (InputStream in = new FileInputStream(file.toFile())) {
      byte[] bytes = in.readNBytes((int) Math.min(Integer.MAX_VALUE - 8L, limit + 1));
      if (bytes.length > limit) {
        throw new MalformedFileException(file, "", Files.size(file) + " bytes", "at most " + limit);
      }
      return decode(bytes, file);
    } catch (FileNotFoundException e) {
      throw new IOException("cannot read " + file + ": " + e.getMessage(), e);
    }
  }

  private static String decode(byte[] bytes, Path file) throws MalformedFileException {
    int mark =
        bytes.length > 2
                && bytes[0] == (byte) 0xEF
                && bytes[1] == (byte) 0xBB
                && bytes[2] == (byte) 0xBF
            ? 3
            : 0;
    ByteBuffer in = ByteBuffer.wrap(bytes, mark, bytes.length - mark);
    CharBuffer out = CharBuffer.allocate(in.remaining());
    CoderResult result = UTF_8.newDecoder().decode(in, out, true);
    if (result.isError()) {
      int at = in.position();
      int line = 1;
      for (int i = 0; i < at; i++) {
        line += bytes[i] == '\n' ? 1 : 0;
      }
      throw new MalformedFileException(
          file,
          "line " + line,
          String.format(Locale.ROOT, "byte 0x%02X (at %d), which is no UTF-8", bytes[at], at),
          "text in UTF-8");
    }
    return out.flip().toString();
  }
}
