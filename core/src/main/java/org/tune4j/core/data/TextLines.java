package org.tune4j.core.data;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;
import org.tune4j.core.io.MalformedFileException;

/**
 * The lines of a UTF-8 file, decoded one by one, so that a malformed line leaves the others
 * readable. Lines end as in {@link java.io.BufferedReader}.
 */
final class TextLines implements AutoCloseable {
  private static final int BUFFER = 1 << 16;

  private final InputStream in;
  private final CharsetDecoder decoder = UTF_8.newDecoder();
  private final ByteArrayOutputStream line = new ByteArrayOutputStream();
  private final byte[] buffer = new byte[BUFFER];
  private int at;
  private int end;
  private int number;

  private TextLines(InputStream in) {
    this.in = in;
  }

  static TextLines open(Path file) throws IOException {
    return new TextLines(bytes(file));
  }

  /**
   * Returns a file's bytes, decompressed if it is a gzip file, without the byte order mark that
   * spreadsheets put in front of UTF-8.
   *
   * @throws MalformedFileException if they are evidently not text
   */
  static InputStream bytes(Path file) throws IOException {
    InputStream in = new BufferedInputStream(Files.newInputStream(file), BUFFER);
    try {
      if (startsWith(in, 0x1f, 0x8b)) {
        in = new BufferedInputStream(unzipped(file, in), BUFFER);
      }
      String binary =
          startsWith(in, 'P', 'A', 'R', '1')
              ? "a Parquet file"
              : startsWith(in, 'P', 'K', 3, 4)
                  ? "a zip archive or spreadsheet"
                  : startsWith(in, 0x28, 0xb5, 0x2f, 0xfd)
                      ? "a zstd file"
                      : startsWith(in, 'A', 'R', 'R', 'O', 'W', '1')
                              || startsWith(in, 0xff, 0xff, 0xff, 0xff)
                          ? "an Arrow file"
                          : startsWith(in, 0xff, 0xfe) || startsWith(in, 0xfe, 0xff)
                              ? "UTF-16"
                              : "";
      if (!binary.isEmpty()) {
        throw new MalformedFileException(
            file,
            "",
            binary,
            "JSON or comma-separated values in UTF-8, plain or compressed by gzip");
      }
      if (startsWith(in, 0xef, 0xbb, 0xbf)) {
        in.skipNBytes(3);
      }
      return in;
    } catch (IOException | RuntimeException e) {
      in.close();
      throw e;
    }
  }

  private static InputStream unzipped(Path file, InputStream in) throws IOException {
    try {
      return new GZIPInputStream(in, BUFFER);
    } catch (ZipException e) {
      throw new MalformedFileException(
          file, "", "a damaged gzip file (" + e.getMessage() + ")", "an intact one", e);
    }
  }

  private static boolean startsWith(InputStream in, int... magic) throws IOException {
    in.mark(magic.length);
    boolean all = true;
    for (int i = 0; all && i < magic.length; i++) {
      all = in.read() == magic[i];
    }
    in.reset();
    return all;
  }

  /**
   * Returns the next line, without its end; null after the last one.
   *
   * @throws CharacterCodingException if it is not UTF-8; the next call continues after it
   */
  String next() throws IOException {
    if (!more()) {
      return null;
    }
    number++;
    line.reset();
    boolean ended = false;
    while (!ended && more()) {
      int from = at;
      while (at < end && buffer[at] != '\n' && buffer[at] != '\r') {
        at++;
      }
      line.write(buffer, from, at - from);
      ended = at < end;
    }
    if (ended && buffer[at++] == '\r' && more() && buffer[at] == '\n') {
      at++;
    }
    return decoder.decode(ByteBuffer.wrap(line.toByteArray())).toString();
  }

  private boolean more() throws IOException {
    if (at == end) {
      at = 0;
      end = Math.max(0, in.read(buffer));
    }
    return at < end;
  }

  /** Returns the number of the last line that was returned or malformed; the first is 1. */
  int number() {
    return number;
  }

  @Override
  public void close() throws IOException {
    in.close();
  }
}
