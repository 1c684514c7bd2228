package org.tune4j.core.text.jinja;

/** The escapes of Python's string literals. */
final class Escapes {
  private static final String LETTERS = "abfnrtv\\'\"";
  private static final String MEANINGS = "\u0007\b\f\n\r\t\u000B\\'\"";

  private final String literal;
  private final StringBuilder out = new StringBuilder();

  private Escapes(String literal) {
    this.literal = literal;
  }

  /**
   * Resolves the escapes of a string literal. Jinja first replaces non-ASCII characters by escapes,
   * so that after a backslash, the backslash and the letters of the escape remain.
   */
  static String resolve(String literal) {
    if (literal.indexOf('\\') < 0) {
      return literal;
    }
    Escapes e = new Escapes(literal);
    for (int i = 0; i < literal.length(); i++) {
      if (literal.charAt(i) == '\\') {
        i = e.escape(i + 1); // the lexer leaves no backslash at the end
      } else {
        e.out.append(literal.charAt(i));
      }
    }
    return e.out.toString();
  }

  /**
   * Resolves the escape whose letter is at {@code i}, and returns the index of its last character.
   */
  private int escape(int i) {
    char c = literal.charAt(i);
    int simple = LETTERS.indexOf(c);
    if (simple >= 0) {
      out.append(MEANINGS.charAt(simple));
      return i;
    }
    switch (c) {
      case '\n' -> {
        return i; // a line continuation
      }
      case '0', '1', '2', '3', '4', '5', '6', '7' -> {
        int end = digitsEnd(i, 3, 8);
        out.append((char) Integer.parseInt(literal.substring(i, end), 8));
        return end - 1;
      }
      case 'x' -> {
        return point(i + 1, 2);
      }
      case 'u' -> {
        return point(i + 1, 4);
      }
      case 'U' -> {
        return point(i + 1, 8);
      }
      case 'N' -> {
        return named(i + 1);
      }
      default -> {
        int point = literal.codePointAt(i);
        StringBuilder escape = new StringBuilder();
        append(point, escape);
        out.append('\\').append(c < 128 ? String.valueOf(c) : escape.substring(1));
        return i + Character.charCount(point) - 1;
      }
    }
  }

  private int digitsEnd(int from, int most, int radix) {
    int end = from;
    while (end < Math.min(literal.length(), from + most)
        && literal.charAt(end) < 128
        && Character.digit(literal.charAt(end), radix) >= 0) {
      end++;
    }
    return end;
  }

  private int point(int from, int digits) {
    int end = digitsEnd(from, digits, 16);
    long point = end < from + digits ? -1 : Long.parseLong(literal.substring(from, end), 16);
    if (point < 0 || point > Character.MAX_CODE_POINT) {
      throw Failure.value("an escape that is truncated or not a character");
    }
    out.appendCodePoint((int) point);
    return end - 1;
  }

  private int named(int from) {
    int end = literal.indexOf('}', from);
    if (end < from + 2 || literal.charAt(from) != '{') {
      throw Failure.value("a malformed \\N escape");
    }
    try {
      out.appendCodePoint(Character.codePointOf(literal.substring(from + 1, end)));
    } catch (IllegalArgumentException unknown) {
      throw Failure.value("an unknown character name");
    }
    return end;
  }

  /** Appends a character as an escape sequence. */
  static void append(int c, StringBuilder out) {
    out.append(c < 0x100 ? "\\x" : c < 0x10000 ? "\\u" : "\\U");
    out.append(hex(c < 0x100 ? 2 : c < 0x10000 ? 4 : 8, c));
  }

  static String hex(int digits, int value) {
    String hex = Integer.toHexString(value);
    return "0".repeat(Math.max(0, digits - hex.length())) + hex;
  }
}
