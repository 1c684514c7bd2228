package org.tune4j.core.text.jinja;

import com.google.errorprone.annotations.FormatMethod;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * Splits a template into text, tags and the tokens within tags, and applies whitespace control:
 * {@code -} and {@code +} at tags, the newline after a block or comment, the indentation before one
 * ({@code trim_blocks} and {@code lstrip_blocks}). Reads each character a bounded number of times.
 */
final class Lexer {
  private static final List<String> OPERATORS =
      List.of(
          "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{",
          "}", ">", "<", "=", ".", ":", "|", ",", ";");

  private final String source;
  private final List<Token> tokens = new ArrayList<>();
  private int pos;

  /** Whether what was read last ended with a newline, so that a line starts here. */
  private boolean lineStarting = true;

  /** How far lines are counted, the line there and where it starts. */
  private int counted;

  private int line = 1;
  private int lineStart;

  private Lexer(String source) {
    this.source = source;
  }

  /** Returns the tokens of a template; the last is {@link TokenType#EOF}. */
  static List<Token> lex(String template) {
    String lines = normalizeNewlines(template);
    // a file's last newline is not part of its text
    Lexer lexer = new Lexer(lines.endsWith("\n") ? lines.substring(0, lines.length() - 1) : lines);
    lexer.root();
    return lexer.tokens;
  }

  private static String normalizeNewlines(String text) {
    return text.indexOf('\r') < 0 ? text : text.replace("\r\n", "\n").replace('\r', '\n');
  }

  private void root() {
    while (pos < source.length()) {
      int tag = nextTag(pos);
      if (tag < 0) {
        add(TokenType.DATA, source.substring(pos), null, pos);
        pos = source.length();
        break;
      }
      char kind = source.charAt(tag + 1);
      int after = tag + 2;
      char sign = after < source.length() ? source.charAt(after) : ' ';
      boolean signed = sign == '-' || sign == '+';
      addText(pos, tag, signed ? sign : ' ', kind == '{');
      pos = signed ? after + 1 : after;
      lineStarting = false;
      switch (kind) {
        case '#' -> comment(tag);
        case '{' -> {
          add(TokenType.VARIABLE_BEGIN, "", null, tag);
          tag("}}", TokenType.VARIABLE_END);
        }
        default -> {
          int raw = rawBegin(pos);
          if (raw >= 0) {
            moveTo(raw);
            raw(tag);
          } else {
            add(TokenType.BLOCK_BEGIN, "", null, tag);
            tag("%}", TokenType.BLOCK_END);
          }
        }
      }
    }
    add(TokenType.EOF, "", null, source.length());
  }

  private int nextTag(int from) {
    for (int i = source.indexOf('{', from); i >= 0; i = source.indexOf('{', i + 1)) {
      if (i + 1 < source.length() && "%{#".indexOf(source.charAt(i + 1)) >= 0) {
        return i;
      }
    }
    return -1;
  }

  /** Adds text before a tag, as the tag's sign and its line's indentation leave it. */
  private void addText(int from, int to, char sign, boolean variable) {
    int end = to;
    if (sign == '-') {
      while (end > from && Text.isSpace(source.charAt(end - 1))) {
        end--;
      }
    } else if (sign != '+' && !variable) {
      int blank = to;
      while (blank > from
          && source.charAt(blank - 1) != '\n'
          && Text.isSpace(source.charAt(blank - 1))) {
        blank--;
      }
      boolean wholeLine = blank > from ? source.charAt(blank - 1) == '\n' : lineStarting;
      if (wholeLine) {
        end = blank;
      }
    }
    if (end > from) {
      add(TokenType.DATA, source.substring(from, end), null, from);
    }
  }

  private void comment(int start) {
    if (pos >= source.length()) {
      return; // as Jinja: a comment that begins at the very end is no error
    }
    int end = source.indexOf("#}", pos);
    if (end < 0) {
      throw failure(start, "Missing end of comment tag");
    }
    boolean signed = end > pos && (source.charAt(end - 1) == '-' || source.charAt(end - 1) == '+');
    moveTo(afterEnd(end + 2, signed ? source.charAt(end - 1) : ' ', true));
  }

  /** Returns where the rest begins after a tag that ends at {@code end}. */
  private int afterEnd(int end, char sign, boolean trimNewline) {
    if (sign == '-') {
      return skipSpace(end);
    }
    boolean newline = end < source.length() && source.charAt(end) == '\n';
    return sign != '+' && trimNewline && newline ? end + 1 : end;
  }

  private int skipSpace(int from) {
    int i = from;
    while (i < source.length() && Text.isSpace(source.charAt(i))) {
      i++;
    }
    return i;
  }

  /** Returns where raw text begins if the tag is {@code raw}, else -1. */
  private int rawBegin(int from) {
    int i = skipSpace(from);
    if (!source.startsWith("raw", i)) {
      return -1;
    }
    i = skipSpace(i + 3);
    if (source.startsWith("-%}", i)) {
      return skipSpace(i + 3);
    }
    return source.startsWith("%}", i) ? i + 2 : -1;
  }

  private void raw(int start) {
    if (pos >= source.length()) {
      return; // as with comments
    }
    for (int i = source.indexOf("{%", pos); i >= 0; i = source.indexOf("{%", i + 2)) {
      int at = i + 2;
      char sign = at < source.length() ? source.charAt(at) : ' ';
      boolean signed = sign == '-' || sign == '+';
      at = skipSpace(signed ? at + 1 : at);
      if (!source.startsWith("endraw", at)) {
        continue;
      }
      at = skipSpace(at + 6);
      char endSign = at < source.length() ? source.charAt(at) : ' ';
      boolean endSigned = endSign == '-' || endSign == '+';
      if (!source.startsWith("%}", endSigned ? at + 1 : at)) {
        continue;
      }
      addText(pos, i, signed ? sign : ' ', /* variable= */ false);
      moveTo(afterEnd(at + (endSigned ? 3 : 2), endSigned ? endSign : ' ', true));
      return;
    }
    throw failure(start, "Missing end of raw directive");
  }

  private void moveTo(int to) {
    if (to > pos) {
      lineStarting = source.charAt(to - 1) == '\n';
    }
    pos = to;
  }

  /** Reads the tokens of a tag. */
  private void tag(String end, TokenType endType) {
    boolean block = endType == TokenType.BLOCK_END;
    Deque<Character> open = new ArrayDeque<>();
    while (pos < source.length()) {
      char c = source.charAt(pos);
      if (open.isEmpty()) {
        boolean signed = c == '-' || (block && c == '+');
        if (source.startsWith(end, signed ? pos + 1 : pos)) {
          add(endType, "", null, pos);
          moveTo(afterEnd(pos + (signed ? 3 : 2), signed ? c : ' ', block));
          return;
        }
      }
      int start = pos;
      if (Text.isSpace(c)) {
        pos = skipSpace(pos);
      } else if (c >= '0' && c <= '9') {
        number();
      } else if (isNamePart(source.codePointAt(pos))) {
        name();
      } else if (c == '\'' || c == '"') {
        string(c);
      } else {
        operator(open);
      }
      lineStarting = source.charAt(pos - 1) == '\n';
      if (pos == start) {
        throw new AssertionError("no progress at " + pos);
      }
    }
  }

  private static boolean isNamePart(int c) {
    return c == '_'
        || Character.isLetterOrDigit(c)
        || Character.getType(c) == Character.OTHER_NUMBER
        || (c > 127 && Character.isUnicodeIdentifierPart(c) && !Character.isIdentifierIgnorable(c));
  }

  private void name() {
    int start = pos;
    boolean valid = true;
    while (pos < source.length() && isNamePart(source.codePointAt(pos))) {
      int c = source.codePointAt(pos);
      valid &=
          c == '_'
              || (pos == start
                  ? Character.isUnicodeIdentifierStart(c)
                  : Character.isUnicodeIdentifierPart(c));
      pos += Character.charCount(c);
    }
    if (!valid) {
      throw failure(start, "Invalid character in identifier");
    }
    add(TokenType.NAME, source.substring(start, pos), null, start);
  }

  private void number() {
    int start = pos;
    boolean afterDot = start > 0 && source.charAt(start - 1) == '.';
    int end = afterDot ? -1 : floatEnd(start);
    if (end >= 0) {
      String digits = source.substring(start, end).replace("_", "");
      add(TokenType.FLOAT, "", Double.parseDouble(digits), start);
      pos = end;
      return;
    }
    int radix = 10;
    if (source.charAt(start) == '0' && start + 1 < source.length()) {
      radix =
          switch (source.charAt(start + 1)) {
            case 'b', 'B' -> 2;
            case 'o', 'O' -> 8;
            case 'x', 'X' -> 16;
            default -> 10;
          };
    }
    int from = start;
    if (radix != 10) {
      end = digits(start + 2, radix, /* underscoreFirst= */ true);
      from = start + 2;
      if (end == start + 2) {
        radix = 10;
        from = start;
      }
    }
    if (radix == 10) {
      // a number that begins with 0 is zero
      end = source.charAt(start) == '0' ? digits(start, 1, false) : digits(start, 10, false);
    }
    String digits = source.substring(from, end).replace("_", "");
    if (radix == 10 && digits.length() > Numbers.MAX_DIGITS) {
      throw new Failure(
          TemplateException.Kind.VALUE,
          "an integer of %d digits; at most %d are read"
              .formatted(digits.length(), Numbers.MAX_DIGITS),
          place(start));
    }
    add(TokenType.INTEGER, "", Numbers.normal(new java.math.BigInteger(digits, radix)), start);
    pos = end;
  }

  /** Returns the end of digits with single underscores between them; radix 1 knows zero only. */
  private int digits(int from, int radix, boolean underscoreFirst) {
    int i = from;
    boolean first = !underscoreFirst;
    while (true) {
      int d = i;
      if (!first && d < source.length() && source.charAt(d) == '_') {
        d++;
      }
      if (d >= source.length() || !isDigit(source.charAt(d), radix)) {
        return i;
      }
      i = d + 1;
      first = false;
    }
  }

  private static boolean isDigit(char c, int radix) {
    return radix == 1 ? c == '0' : c < 128 && Character.digit(c, radix) >= 0;
  }

  /** Returns the end of a float literal that begins here, or -1. */
  private int floatEnd(int start) {
    int i = digits(start, 10, false);
    boolean fraction = false;
    if (i + 1 < source.length() && source.charAt(i) == '.' && isDigit(source.charAt(i + 1), 10)) {
      i = digits(i + 1, 10, false);
      fraction = true;
    }
    if (i < source.length() && (source.charAt(i) == 'e' || source.charAt(i) == 'E')) {
      int e = i + 1;
      if (e < source.length() && (source.charAt(e) == '+' || source.charAt(e) == '-')) {
        e++;
      }
      int end = digits(e, 10, false);
      if (end > e) {
        return end;
      }
    }
    return fraction ? i : -1;
  }

  private void string(char quote) {
    int start = pos;
    int i = pos + 1;
    while (i < source.length() && source.charAt(i) != quote) {
      i += source.charAt(i) == '\\' ? 2 : 1;
    }
    if (i >= source.length()) {
      throw failure(start, "unexpected char %s at %d", Values.quoted(String.valueOf(quote)), start);
    }
    String text = source.substring(start + 1, i);
    try {
      add(TokenType.STRING, "", Text.unescape(text), start);
    } catch (Failure e) {
      throw failure(start, "%s", e.getMessage());
    }
    pos = i + 1;
  }

  private void operator(Deque<Character> open) {
    int start = pos;
    String operator =
        OPERATORS.stream().filter(o -> source.startsWith(o, start)).findFirst().orElse(null);
    if (operator == null) {
      throw failure(
          start,
          "unexpected char %s at %d",
          Values.quoted(Character.toString(source.codePointAt(start))),
          source.codePointCount(0, start));
    }
    switch (operator) {
      case "{" -> open.push('}');
      case "(" -> open.push(')');
      case "[" -> open.push(']');
      case "}", ")", "]" -> {
        if (open.isEmpty()) {
          throw failure(start, "unexpected '%s'", operator);
        }
        char expected = open.pop();
        if (expected != operator.charAt(0)) {
          throw failure(start, "unexpected '%s', expected '%s'", operator, expected);
        }
      }
      default -> {
        // no bracket
      }
    }
    add(TokenType.OPERATOR, operator, null, start);
    pos = start + operator.length();
  }

  private void add(TokenType type, String text, Object value, int at) {
    count(at);
    tokens.add(new Token(type, text, value, line, at - lineStart + 1));
  }

  private void count(int at) {
    for (; counted < at; counted++) {
      if (source.charAt(counted) == '\n') {
        line++;
        lineStart = counted + 1;
      }
    }
  }

  private Node place(int at) {
    count(at);
    return new Place(new Token(TokenType.EOF, "", null, line, at - lineStart + 1));
  }

  @FormatMethod
  private Failure failure(int at, String format, Object... arguments) {
    return new Failure(TemplateException.Kind.SYNTAX, format.formatted(arguments), place(at));
  }

  /** A place without anything. */
  private static final class Place extends Node {
    Place(Token at) {
      super(at);
    }
  }
}
