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
 * Reads JSON files written by other programs; errors name the file, the line, what was found and
 * what was expected. No more than a limit is read, whatever the file's size. As in Python, {@code
 * NaN} and {@code Infinity} are numbers, and of duplicate fields the last one counts unless they
 * are refused. Works in an interrupted thread too.
 *
 * <p>{@link JsonFields} reads fields and checks their types.
 */
public final class JsonFile {
  /** Most bytes of a configuration file; the largest shard indices in use have nine million. */
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
   * @throws MalformedFileException if it is longer, not UTF-8 or not JSON
   */
  public static JsonNode read(Path file) throws IOException {
    return read(file, LIMIT);
  }

  /** Like {@link #read(Path)}, with a limit in bytes. */
  public static JsonNode read(Path file, long limit) throws IOException {
    return parse(text(file, limit), file);
  }

  /** Like {@link #read(Path, long)}, but refuses duplicate fields. */
  public static JsonNode readUnique(Path file, long limit) throws IOException {
    return parse(UNIQUE, text(file, limit), file, "");
  }

  /** Parses the content of a file; {@code origin} is named in messages. */
  public static JsonNode parse(String text, Path origin) throws MalformedFileException {
    return parse(JSON, text, origin, "");
  }

  /** Parses a line of a JSON-lines file; {@code number} counts from 1. */
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

  /** Describes a parser's error; for readers that work token by token. */
  public static String problem(JsonProcessingException e) {
    return "no valid JSON (" + e.getOriginalMessage() + ")";
  }

  /**
   * Reads a UTF-8 text file, without its byte order mark if it has one.
   *
   * @param limit most bytes
   * @throws NoSuchFileException if there is none
   * @throws MalformedFileException if it is longer or not UTF-8
   */
  public static String text(Path file, long limit) throws IOException {
    if (!Files.isRegularFile(file)) {
      throw new NoSuchFileException(
          file.toString(), null, Files.exists(file) ? "it is not a file" : "no such file");
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
          String.format(Locale.ROOT, "byte 0x%02X (at %d), which is not UTF-8", bytes[at], at),
          "text in UTF-8");
    }
    return out.flip().toString();
  }
}
