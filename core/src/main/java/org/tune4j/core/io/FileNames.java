package org.tune4j.core.io;

import com.google.common.hash.Hashing;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/** File and directory names derived from names that users chose. */
public final class FileNames {
  private static final int MAX_LENGTH = 100;

  private FileNames() {}

  /**
   * Returns a name that every file system accepts. Letters, digits and {@code - _ . +} stay;
   * anything else, and a dot at either end, is percent-encoded as UTF-8, so that different names
   * stay different. A long name is cut and ends in a hash of the whole.
   */
  public static String of(String name) {
    StringBuilder out = new StringBuilder();
    int at = 0;
    while (at < name.length()) {
      int c = name.codePointAt(at);
      int next = at + Character.charCount(c);
      boolean dotAtEitherEnd = c == '.' && (at == 0 || next == name.length());
      if (c < 128 && (Character.isLetterOrDigit(c) || "-_.+".indexOf(c) >= 0) && !dotAtEitherEnd) {
        out.appendCodePoint(c);
      } else {
        for (byte b : Character.toString(c).getBytes(StandardCharsets.UTF_8)) {
          out.append(String.format(Locale.ROOT, "%%%02X", b));
        }
      }
      at = next;
    }
    if (out.length() <= MAX_LENGTH) {
      return out.toString();
    }
    String hash =
        Hashing.sha256().hashString(name, StandardCharsets.UTF_8).toString().substring(0, 16);
    return out.substring(0, MAX_LENGTH - 1 - hash.length()) + "~" + hash;
  }
}
