package org.tune4j.core.text.jinja;

import java.math.BigInteger;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/** Python's {@code format % values}. */
final class PercentFormat {
  private final Run run;
  private final String format;
  private final Object values;
  private final boolean markup;
  private final StringBuilder out = new StringBuilder();
  private int pos;
  private int used;
  private boolean byName;

  private boolean left;
  private boolean plus;
  private boolean space;
  private boolean alternative;
  private boolean zero;

  private PercentFormat(Run run, Object format, Object values) {
    this.run = run;
    this.format = Values.text(format);
    this.values = values;
    markup = format instanceof Markup;
  }

  static Object format(Run run, Object format, Object values) {
    PercentFormat f = new PercentFormat(run, format, values);
    f.all();
    run.made(f.out.length());
    String text = f.out.toString();
    return f.markup ? new Markup(text) : text;
  }

  private void all() {
    while (pos < format.length()) {
      char c = format.charAt(pos++);
      if (c == '%') {
        conversion();
        run.checkSize(out.length());
      } else {
        out.append(c);
      }
    }
    boolean subscriptable =
        values instanceof Map
            || values instanceof List
            || values instanceof Range
            || values instanceof Undefined;
    int given = values instanceof Tuple t ? t.items().size() : 1;
    if (used < given && !(subscriptable && !(values instanceof Tuple)) && !byName) {
      throw Failure.type("not all arguments converted during string formatting");
    }
  }

  private void conversion() {
    Object named = Frame.MISSING;
    if (peek() == '(') {
      named = named();
    }
    left = plus = space = alternative = zero = false;
    while (flag(peek())) {
      pos++;
    }
    int width = number(named);
    if (width < 0) {
      left = true;
      width = -width;
    }
    int precision = -1;
    if (peek() == '.') {
      pos++;
      precision = Math.max(0, number(named));
    }
    if (peek() == 'h' || peek() == 'l' || peek() == 'L') {
      pos++;
    }
    char conversion = peek();
    if (conversion == 0) {
      throw Failure.value("incomplete format");
    }
    pos++;
    if (conversion == '%') {
      out.append('%');
      return;
    }
    if ("diuoxXeEfFgGcrsa".indexOf(conversion) < 0) {
      throw Failure.value(
          "unsupported format character '%s' (0x%x) at index %d",
          conversion, (int) conversion, pos - 1);
    }
    Object v = named == Frame.MISSING ? next() : named;
    run.checkSize((long) width + Math.max(0, precision));
    switch (conversion) {
      case 's', 'r', 'a' -> pad(cut(shown(v, conversion), precision), "", width);
      case 'c' -> pad(character(v), "", width);
      case 'd', 'i', 'u' -> integer(decimal(v, conversion), precision, width);
      case 'o', 'x', 'X' -> {
        if (!Numbers.isInteger(v)) {
          throw Failure.type(
              "%%%s format: an integer is required, not %s", conversion, Values.typeName(v));
        }
        radix(Numbers.big(v), conversion, precision, width);
      }
      default -> {
        double d = toFloat(v);
        String text = Decimals.text(d, conversion, precision < 0 ? 6 : precision, alternative);
        boolean negative = d < 0 || (d == 0 && 1 / d < 0);
        pad(text, sign(negative), width);
      }
    }
  }

  private char peek() {
    return pos < format.length() ? format.charAt(pos) : 0;
  }

  private Object named() {
    int depth = 1;
    int start = ++pos;
    while (depth > 0 && pos < format.length()) {
      char c = format.charAt(pos++);
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    }
    if (depth > 0) {
      throw Failure.value("incomplete format key");
    }
    if (values instanceof Undefined u) {
      throw u.failure();
    }
    if (!(values instanceof Map<?, ?> map)) {
      throw Failure.type("format requires a mapping");
    }
    byName = true;
    String name = format.substring(start, pos - 1);
    if (!map.containsKey(name)) {
      throw Failure.value("no value named %s", Values.quoted(name));
    }
    return map.get(name);
  }

  private boolean flag(char c) {
    switch (c) {
      case '-' -> left = true;
      case '+' -> plus = true;
      case ' ' -> space = true;
      case '#' -> alternative = true;
      case '0' -> zero = true;
      default -> {
        return false;
      }
    }
    return true;
  }

  private int number(Object named) {
    if (peek() == '*') {
      pos++;
      Object v = named == Frame.MISSING ? next() : Frame.MISSING;
      if (!Numbers.isInteger(v)) {
        throw Failure.type("* wants int");
      }
      long n = Arithmetic.longIndex(v);
      run.checkSize(Math.abs(n));
      return (int) n;
    }
    long n = 0;
    while (peek() >= '0' && peek() <= '9') {
      n = n * 10 + (format.charAt(pos++) - '0');
      if (n > Integer.MAX_VALUE) {
        throw Failure.value("width or precision too big");
      }
    }
    return (int) n;
  }

  private Object next() {
    if (values instanceof Tuple t) {
      if (used < t.items().size()) {
        return t.items().get(used++);
      }
    } else if (used == 0) {
      used++;
      return values;
    }
    throw Failure.type("not enough arguments for format string");
  }

  private String shown(Object v, char conversion) {
    if (conversion == 's') {
      return markup ? Filters.escaped(run, v) : Values.str(run, v);
    }
    String repr = Values.repr(run, v);
    repr = conversion == 'a' ? ascii(repr) : repr;
    return markup ? Filters.escaped(run, repr) : repr;
  }

  /** Returns a text whose characters beyond ASCII are escapes. */
  static String ascii(String s) {
    StringBuilder all = new StringBuilder();
    s.codePoints()
        .forEach(
            c -> {
              if (c < 128) {
                all.appendCodePoint(c);
              } else {
                Text.escape(c, all);
              }
            });
    return all.toString();
  }

  private static String cut(String s, int precision) {
    return precision < 0 || precision >= Text.length(s) ? s : Text.slice(s, 0, precision);
  }

  private static String character(Object v) {
    if (Values.isText(v) && Text.length(Values.text(v)) == 1) {
      return Values.text(v);
    }
    if (!Numbers.isInteger(v)) {
      throw Failure.type("%%c requires int or char");
    }
    long point = Arithmetic.longIndex(v);
    if (point < 0 || point > Character.MAX_CODE_POINT) {
      throw Failure.overflow("%%c arg not in range(0x110000)");
    }
    return Character.toString((int) point);
  }

  private static BigInteger decimal(Object v, char conversion) {
    if (v instanceof Undefined u) {
      throw u.failure();
    }
    if (v instanceof Double d) {
      return Numbers.big(Numbers.integer(d));
    }
    if (!Numbers.isInteger(v)) {
      throw Failure.type(
          "%%%s format: a real number is required, not %s", conversion, Values.typeName(v));
    }
    return Numbers.big(v);
  }

  private static double toFloat(Object v) {
    if (v instanceof Undefined u) {
      throw u.failure();
    }
    if (!Numbers.isNumber(v)) {
      throw Failure.type("must be real number, not %s", Values.typeName(v));
    }
    return Numbers.toDouble(v);
  }

  private String sign(boolean negative) {
    return negative ? "-" : plus ? "+" : space ? " " : "";
  }

  private void integer(BigInteger n, int precision, int width) {
    String digits = Numbers.text(n.abs());
    digits = "0".repeat(Math.max(0, precision - digits.length())) + digits;
    pad(digits, sign(n.signum() < 0), width);
  }

  private void radix(BigInteger n, char conversion, int precision, int width) {
    String digits = n.abs().toString(conversion == 'o' ? 8 : 16);
    digits = "0".repeat(Math.max(0, precision - digits.length())) + digits;
    String prefix = alternative ? "0" + conversion : "";
    pad(conversion == 'X' ? Text.upper(digits) : digits, sign(n.signum() < 0) + prefix, width);
  }

  /** Appends a sign and a text, filled up to a width. */
  private void pad(String text, String sign, int width) {
    boolean number = "diuoxXeEfFgG".indexOf(format.charAt(pos - 1)) >= 0;
    int missing = Math.max(0, width - Text.length(text) - sign.length());
    if (left) {
      out.append(sign).append(text).append(" ".repeat(missing));
    } else if (zero && number) {
      out.append(sign).append("0".repeat(missing)).append(text);
    } else {
      out.append(" ".repeat(missing)).append(sign).append(text);
    }
  }
}
