package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Python's view of text: code points, its white space, its cases, its escapes. */
final class Text {
  private Text() {}

  /** Whether Python's {@code str.isspace} holds of a character; all of them are below U+10000. */
  static boolean isSpace(int c) {
    return switch (c) {
      case '\t', '\n', 0x0B, '\f', '\r', 0x1C, 0x1D, 0x1E, 0x1F, ' ', 0x85, 0xA0, 0x1680 -> true;
      case 0x2028, 0x2029, 0x202F, 0x205F, 0x3000 -> true;
      default -> c >= 0x2000 && c <= 0x200A;
    };
  }

  private static boolean isLineBreak(char c) {
    return (c >= '\n' && c <= '\r')
        || (c >= 0x1C && c <= 0x1E)
        || c == 0x85
        || c == 0x2028
        || c == 0x2029;
  }

  static int length(String s) {
    return s.codePointCount(0, s.length());
  }

  /** Returns whether every code point is one UTF-16 unit. */
  static boolean isBasic(String s) {
    for (int i = 0; i < s.length(); i++) {
      if (Character.isSurrogate(s.charAt(i))) {
        return false;
      }
    }
    return true;
  }

  /** Returns code points from start to end, which are within the text. */
  static String slice(String s, int start, int end) {
    if (start >= end) {
      return "";
    }
    if (isBasic(s)) {
      return s.substring(start, end);
    }
    int from = s.offsetByCodePoints(0, start);
    return s.substring(from, s.offsetByCodePoints(from, end - start));
  }

  /** Returns the characters, each a string. */
  static List<Object> characters(String s) {
    List<Object> all = new ArrayList<>(s.length());
    for (int i = 0; i < s.length(); i += Character.charCount(s.codePointAt(i))) {
      all.add(Character.toString(s.codePointAt(i)));
    }
    return all;
  }

  static String reversed(String s) {
    return new StringBuilder(s).reverse().toString();
  }

  /** Compares by code points, as Python orders text. */
  static int compare(String a, String b) {
    int n = Math.min(a.length(), b.length());
    for (int i = 0; i < n; i++) {
      char x = a.charAt(i);
      char y = b.charAt(i);
      if (x != y) {
        // surrogates stand for code points above all others
        boolean sx = Character.isSurrogate(x);
        boolean sy = Character.isSurrogate(y);
        return sx == sy ? Character.compare(x, y) : sx ? 1 : -1;
      }
    }
    return Integer.compare(a.length(), b.length());
  }

  static List<Object> splitLines(String s, boolean keepEnds) {
    List<Object> lines = new ArrayList<>();
    int start = 0;
    for (int i = 0; i < s.length(); i++) {
      char c = s.charAt(i);
      if (isLineBreak(c)) {
        int end = i;
        if (c == '\r' && i + 1 < s.length() && s.charAt(i + 1) == '\n') {
          i++;
        }
        lines.add(s.substring(start, keepEnds ? i + 1 : end));
        start = i + 1;
      }
    }
    if (start < s.length()) {
      lines.add(s.substring(start));
    }
    return lines;
  }

  /** Strips characters of a set, or white space if it is null. */
  static String strip(String s, String set, boolean left, boolean right) {
    int start = 0;
    int end = s.length();
    while (left && start < end) {
      int c = s.codePointAt(start);
      if (!(set == null ? isSpace(c) : set.indexOf(c) >= 0)) {
        break;
      }
      start += Character.charCount(c);
    }
    while (right && end > start) {
      int c = s.codePointBefore(end);
      if (!(set == null ? isSpace(c) : set.indexOf(c) >= 0)) {
        break;
      }
      end -= Character.charCount(c);
    }
    return s.substring(start, end);
  }

  /** Splits at white space, at most {@code limit} times from the left; negative: without limit. */
  static List<Object> words(String s, long limit) {
    List<Object> words = new ArrayList<>();
    int i = 0;
    while (true) {
      while (i < s.length() && isSpace(s.charAt(i))) {
        i++;
      }
      if (i >= s.length()) {
        return words;
      }
      if (limit >= 0 && words.size() >= limit) {
        words.add(s.substring(i));
        return words;
      }
      int start = i;
      while (i < s.length() && !isSpace(s.charAt(i))) {
        i++;
      }
      words.add(s.substring(start, i));
    }
  }

  static String upper(String s) {
    return s.toUpperCase(Locale.ROOT);
  }

  static String lower(String s) {
    return s.toLowerCase(Locale.ROOT);
  }

  /** Returns the text folded for comparison without case. */
  static String foldCase(String s) {
    StringBuilder out = new StringBuilder(s.length());
    s.codePoints()
        .forEach(
            c -> {
              if (c < 128) {
                out.appendCodePoint(Character.toLowerCase(c));
              } else if (c == 0x131 || (c >= 0x13A0 && c <= 0x13F5)) {
                out.appendCodePoint(c); // dotless i and Cherokee fold to themselves
              } else if (c == 0x1E9E) {
                out.append("ss");
              } else if (c >= 0xAB70 && c <= 0xABBF) {
                out.appendCodePoint(Character.toUpperCase(c));
              } else if (c >= 0x13F8 && c <= 0x13FD) {
                out.appendCodePoint(c - 8);
              } else {
                // one by one, since a final sigma is no other letter here
                String upper = upper(Character.toString(c));
                upper.codePoints().forEach(u -> out.append(lower(Character.toString(u))));
              }
            });
    return out.toString();
  }

  /** Returns a character as the first of a word. */
  static String title(int c) {
    int simple = Character.toTitleCase(c);
    String upper = upper(Character.toString(c));
    int first = upper.codePointAt(0);
    String rest = upper.substring(Character.charCount(first));
    if (simple != c || rest.isEmpty()) {
      return Character.toString(simple); // which need not be upper case
    }
    boolean letters =
        Character.isUpperCase(first) && rest.codePoints().allMatch(Character::isLetter);
    return letters ? Character.toString(first) + lower(rest) : upper;
  }

  static String capitalize(String s) {
    if (s.isEmpty()) {
      return s;
    }
    int first = s.codePointAt(0);
    // the rest is lowered with the first before it, whose presence a final sigma needs
    String lowered = lower(s);
    String loweredFirst = lower(Character.toString(first));
    return title(first) + lowered.substring(Math.min(loweredFirst.length(), lowered.length()));
  }

  /** Returns every word's first letter in title case and the others in lower case. */
  static String titleWords(String s) {
    StringBuilder out = new StringBuilder(s.length());
    String lowered = lower(s);
    boolean sameLength = lowered.length() == s.length();
    boolean inWord = false;
    for (int i = 0; i < s.length(); ) {
      int c = s.codePointAt(i);
      int next = i + Character.charCount(c);
      if (!inWord) {
        out.append(title(c));
      } else {
        out.append(sameLength ? lowered.substring(i, next) : lower(Character.toString(c)));
      }
      inWord = isCased(c);
      i = next;
    }
    return out.toString();
  }

  static String swapCase(String s) {
    StringBuilder out = new StringBuilder(s.length());
    String lowered = lower(s);
    boolean sameLength = lowered.length() == s.length();
    for (int i = 0; i < s.length(); ) {
      int c = s.codePointAt(i);
      int next = i + Character.charCount(c);
      if (Character.isUpperCase(c)) {
        out.append(sameLength ? lowered.substring(i, next) : lower(Character.toString(c)));
      } else if (Character.isLowerCase(c)) {
        out.append(upper(Character.toString(c)));
      } else {
        out.appendCodePoint(c);
      }
      i = next;
    }
    return out.toString();
  }

  static boolean isCased(int c) {
    return Character.isUpperCase(c) || Character.isLowerCase(c) || Character.isTitleCase(c);
  }

  static boolean isPrintable(int c) {
    return c == ' '
        || switch (Character.getType(c)) {
          case Character.CONTROL,
              Character.FORMAT,
              Character.SURROGATE,
              Character.PRIVATE_USE,
              Character.UNASSIGNED,
              Character.LINE_SEPARATOR,
              Character.PARAGRAPH_SEPARATOR,
              Character.SPACE_SEPARATOR ->
              false;
          default -> true;
        };
  }

  /** Appends a character as an escape sequence. */
  static void escape(int c, StringBuilder out) {
    if (c < 0x100) {
      out.append("\\x").append(hex(c, 2));
    } else if (c < 0x10000) {
      out.append("\\u").append(hex(c, 4));
    } else {
      out.append("\\U").append(hex(c, 8));
    }
  }

  static String hex(int value, int digits) {
    String hex = Integer.toHexString(value);
    return "0".repeat(Math.max(0, digits - hex.length())) + hex;
  }

  /**
   * Resolves the escapes of a string literal. Jinja first turns characters beyond ASCII into
   * escapes, so that a backslash before one stands for itself and the escape's letters stay.
   */
  static String unescape(String literal) {
    if (literal.indexOf('\\') < 0) {
      return literal;
    }
    StringBuilder out = new StringBuilder(literal.length());
    for (int i = 0; i < literal.length(); i++) {
      char c = literal.charAt(i);
      if (c != '\\') {
        out.append(c);
        continue;
      }
      char e = literal.charAt(++i); // the lexer leaves no backslash at the end
      switch (e) {
        case '\n' -> {
          // a line that goes on
        }
        case '\\', '\'', '"' -> out.append(e);
        case 'a' -> out.append((char) 7);
        case 'b' -> out.append('\b');
        case 'f' -> out.append('\f');
        case 'n' -> out.append('\n');
        case 'r' -> out.append('\r');
        case 't' -> out.append('\t');
        case 'v' -> out.append((char) 0x0B);
        case '0', '1', '2', '3', '4', '5', '6', '7' -> {
          int end = i + 1;
          while (end < literal.length()
              && end < i + 3
              && literal.charAt(end) >= '0'
              && literal.charAt(end) <= '7') {
            end++;
          }
          out.append((char) Integer.parseInt(literal.substring(i, end), 8));
          i = end - 1;
        }
        case 'x' -> i = hexEscape(literal, i, 2, "truncated \\xXX escape", out);
        case 'u' -> i = hexEscape(literal, i, 4, "truncated \\uXXXX escape", out);
        case 'U' -> i = hexEscape(literal, i, 8, "truncated \\UXXXXXXXX escape", out);
        case 'N' -> {
          int end = literal.indexOf('}', i);
          if (end < i + 3 || literal.charAt(i + 1) != '{') {
            throw Failure.value("malformed \\N character escape");
          }
          try {
            out.appendCodePoint(Character.codePointOf(literal.substring(i + 2, end)));
          } catch (IllegalArgumentException unknown) {
            throw Failure.value("unknown Unicode character name");
          }
          i = end;
        }
        default -> {
          out.append('\\');
          if (e < 128) {
            out.append(e);
          } else {
            int point = literal.codePointAt(i);
            StringBuilder escape = new StringBuilder();
            escape(point, escape);
            out.append(escape, 1, escape.length());
            i += Character.charCount(point) - 1;
          }
        }
      }
    }
    return out.toString();
  }

  private static int hexEscape(
      String literal, int letter, int digits, String message, StringBuilder out) {
    int end = letter + 1;
    while (end < literal.length()
        && end <= letter + digits
        && literal.charAt(end) < 128
        && Character.digit(literal.charAt(end), 16) >= 0) {
      end++;
    }
    if (end != letter + digits + 1) {
      throw Failure.value("%s", message);
    }
    long point = Long.parseLong(literal.substring(letter + 1, end), 16);
    if (point > Character.MAX_CODE_POINT) {
      throw Failure.value("illegal Unicode character");
    }
    out.appendCodePoint((int) point);
    return end - 1;
  }
}
