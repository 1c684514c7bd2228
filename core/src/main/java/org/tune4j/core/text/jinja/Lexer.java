package org.tune4j.core.text.jinja;

import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Splits a template into text, tags and the tokens within tags, and applies whitespace control:
 * {@code -} and {@code +} at tags, the newline after a block or comment and the indentation before
 * one ({@code trim_blocks} and {@code lstrip_blocks}). Runs in linear time.
 */
final class Lexer {
  private static final List<String> OPERATORS =
      List.of(
          "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{",
          "}", ">", "<", "=", ".", ":", "|", ",", ";");
  private static final String CLOSING = ")]}";

  private static final Pattern NUMBER =
      Pattern.compile(
          "0[bB][01_]++|0[oO][0-7_]++|0[xX][0-9a-fA-F_]++"
              + "|[0-9][0-9_]*+(\\.[0-9][0-9_]*+)?([eE][+-]?[0-9][0-9_]*+)?");
  private static final Pattern DIGITS = Pattern.compile("[0-9][0-9_]*+");

  private final String source;
  private final List<Token> tokens = new ArrayList<>();
  private int pos;

  /** Whether the input read last ended with a newline, so that a line starts here. */
  private boolean lineStarting = true;

  /** The position up to which lines are counted; its line and the start of that line. */
  private int counted;

  private int line = 1;
  private int lineStart;

  private Lexer(String source) {
    this.source = source;
  }

  /** Returns the tokens of a template; the last is {@link TokenType#EOF}. */
  static List<Token> lex(String template) {
    String lines =
        template.indexOf('\r') < 0 ? template : template.replace("\r\n", "\n").replace('\r', '\n');
    // the final newline of a file is not part of its text
    Lexer lexer = new Lexer(lines.endsWith("\n") ? lines.substring(0, lines.length() - 1) : lines);
    lexer.root();
    return lexer.tokens;
  }

  private void root() {
    while (pos < source.length()) {
      int tag = nextTag(pos);
      if (tag < 0) {
        add(TokenType.DATA, source.substring(pos), null, pos);
        break;
      }
      char kind = source.charAt(tag + 1);
      boolean signed = isSign(tag + 2);
      addText(pos, tag, signed ? source.charAt(tag + 2) : ' ', kind == '{');
      pos = tag + (signed ? 3 : 2);
      lineStarting = false;
      if (kind == '#') {
        comment(tag);
      } else if (kind == '{') {
        add(TokenType.VARIABLE_BEGIN, "", null, tag);
        tag("}}", TokenType.VARIABLE_END);
      } else if (rawBegin() >= 0) {
        moveTo(rawBegin());
        raw(tag);
      } else {
        add(TokenType.BLOCK_BEGIN, "", null, tag);
        tag("%}", TokenType.BLOCK_END);
      }
    }
    add(TokenType.EOF, "", null, source.length());
  }

  private boolean isSign(int at) {
    return at < source.length() && "+-".indexOf(source.charAt(at)) >= 0;
  }

  private int nextTag(int from) {
    for (int i = source.indexOf('{', from); i >= 0; i = source.indexOf('{', i + 1)) {
      if (i + 1 < source.length() && "%{#".indexOf(source.charAt(i + 1)) >= 0) {
        return i;
      }
    }
    return -1;
  }

  /**
   * Adds the text before a tag, stripped according to the tag's sign and the indentation of its
   * line.
   */
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
      end = wholeLine ? blank : to;
    }
    if (end > from) {
      add(TokenType.DATA, source.substring(from, end), null, from);
    }
  }

  private void comment(int start) {
    if (pos >= source.length()) {
      return; // as in Jinja, a comment that starts at the very end is not an error
    }
    int end = source.indexOf("#}", pos);
    if (end < 0) {
      throw failure(start, "unterminated comment");
    }
    moveTo(afterTag(end + 2, end > pos && isSign(end - 1) ? source.charAt(end - 1) : ' '));
  }

  /** Returns the start of the text after a block or comment that ends here. */
  private int afterTag(int end, char sign) {
    if (sign == '-') {
      return skipSpace(end);
    }
    return sign != '+' && source.startsWith("\n", end) ? end + 1 : end;
  }

  private int skipSpace(int from) {
    int i = from;
    while (i < source.length() && Text.isSpace(source.charAt(i))) {
      i++;
    }
    return i;
  }

  /** Returns the start of the raw text if the tag is {@code raw}, else -1. */
  private int rawBegin() {
    int i = skipSpace(pos);
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
      return; // not an error, as for comments
    }
    for (int i = source.indexOf("{%", pos); i >= 0; i = source.indexOf("{%", i + 2)) {
      char sign = isSign(i + 2) ? source.charAt(i + 2) : ' ';
      int at = skipSpace(sign == ' ' ? i + 2 : i + 3);
      if (!source.startsWith("endraw", at)) {
        continue;
      }
      at = skipSpace(at + 6);
      char endSign = isSign(at) ? source.charAt(at) : ' ';
      at += endSign == ' ' ? 0 : 1;
      if (source.startsWith("%}", at)) {
        addText(pos, i, sign, /* variable= */ false);
        moveTo(afterTag(at + 2, endSign));
        return;
      }
    }
    throw failure(start, "unterminated raw block");
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
      boolean signed = c == '-' || (block && c == '+');
      if (open.isEmpty() && source.startsWith(end, signed ? pos + 1 : pos)) {
        add(endType, "", null, pos);
        int after = pos + (signed ? 3 : 2);
        moveTo(block || signed ? afterTag(after, signed ? c : ' ') : after);
        return;
      }
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
    while (pos < source.length() && isNamePart(source.codePointAt(pos))) {
      pos += Character.charCount(source.codePointAt(pos));
    }
    String name = source.substring(start, pos);
    if (!Text.isIdentifier(name)) {
      throw failure(start, "a name with an invalid character");
    }
    add(TokenType.NAME, name.intern(), null, start);
  }

  private void number() {
    boolean afterDot = pos > 0 && source.charAt(pos - 1) == '.';
    Matcher m = (afterDot ? DIGITS : NUMBER).matcher(source).region(pos, source.length());
    if (!m.lookingAt()) {
      throw new AssertionError("no number at " + pos);
    }
    String text = m.group();
    String digits = text.replace("_", "").toLowerCase(Locale.ROOT);
    boolean prefixed =
        digits.length() > 1 && Character.isLetter(digits.charAt(1)) && !digits.startsWith("e", 1);
    boolean real = !afterDot && !prefixed && (m.group(1) != null || m.group(2) != null);
    boolean zero = digits.chars().allMatch(c -> c == '0');
    boolean separated =
        !text.endsWith("_") && !text.contains("__") && !(real && text.matches(".*_[.eE].*"));
    if (!separated || (!real && !prefixed && digits.startsWith("0") && !zero)) {
      throw failure(pos, "'" + text + "' is not a number");
    }
    Object value;
    if (real) {
      value = Double.parseDouble(digits);
    } else if (prefixed) {
      int radix = digits.charAt(1) == 'b' ? 2 : digits.charAt(1) == 'o' ? 8 : 16;
      value = Numbers.normal(new BigInteger(digits.substring(2), radix));
    } else {
      if (digits.length() > Numbers.MAX_DIGITS) {
        throw Failure.at(
            place(pos), TemplateException.Kind.VALUE, "an integer of %d digits", digits.length());
      }
      value = Numbers.normal(new BigInteger(digits));
    }
    add(TokenType.NUMBER, "", value, pos);
    pos = m.end();
  }

  private void string(char quote) {
    int start = pos;
    int i = pos + 1;
    while (i < source.length() && source.charAt(i) != quote) {
      i += source.charAt(i) == '\\' ? 2 : 1;
    }
    if (i >= source.length()) {
      throw failure(start, "unterminated string");
    }
    try {
      add(TokenType.STRING, "", Escapes.resolve(source.substring(start + 1, i)), start);
    } catch (Failure e) {
      throw failure(start, e.getMessage());
    }
    pos = i + 1;
  }

  private void operator(Deque<Character> open) {
    int start = pos;
    String operator =
        OPERATORS.stream().filter(o -> source.startsWith(o, start)).findFirst().orElse(null);
    if (operator == null) {
      throw failure(start, "unexpected '" + Character.toString(source.codePointAt(start)) + "'");
    }
    int bracket = "([{".indexOf(operator);
    if (bracket >= 0) {
      open.push(CLOSING.charAt(bracket));
    } else if (CLOSING.contains(operator) && (open.isEmpty() || open.pop() != operator.charAt(0))) {
      throw failure(start, "unexpected '" + operator + "'");
    }
    add(TokenType.OPERATOR, operator, null, start);
    pos = start + operator.length();
  }

  private void add(TokenType type, String text, Object value, int at) {
    Token place = place(at);
    tokens.add(new Token(type, text, value, place.line(), place.column()));
  }

  private Token place(int at) {
    for (; counted < at; counted++) {
      if (source.charAt(counted) == '\n') {
        line++;
        lineStart = counted + 1;
      }
    }
    return new Token(TokenType.EOF, "", null, line, at - lineStart + 1);
  }

  private Failure failure(int at, String message) {
    return Failure.syntax(place(at), "%s", message);
  }
}
