package org.tune4j.core.text.jinja;

import java.math.BigInteger;

/**
 * Python's format specifications, {@code [[fill]align][sign][z][#][0][width][,][.precision][type]}.
 */
final class FormatSpec {
  private final Run run;
  private final String spec;
  private String fill = " ";
  private char align;
  private char sign = '-';
  private boolean positiveZero;
  private boolean alternative;
  private int width;
  private char grouping;
  private int precision = -1;
  private char type;

  private FormatSpec(Run run, String spec) {
    this.run = run;
    this.spec = spec;
  }

  /** Returns {@code format(v, spec)}. */
  static String format(Run run, Object v, String spec) {
    if (spec.isEmpty()) {
      return Values.str(run, v);
    }
    if (!Values.isText(v) && !Numbers.isNumber(v)) {
      throw Failure.type("unsupported format string passed to %s.__format__", Values.typeName(v));
    }
    FormatSpec f = new FormatSpec(run, spec);
    f.parse(v);
    run.made((long) f.width + Math.max(0, f.precision));
    if (Values.isText(v)) {
      return f.text(Values.text(v));
    }
    boolean asFloat = v instanceof Double || (f.type != 0 && "eEfFgG%".indexOf(f.type) >= 0);
    return asFloat ? f.floating(Numbers.toDouble(v), v) : f.integer(Numbers.big(v));
  }

  private void parse(Object v) {
    int i = 0;
    int first = spec.isEmpty() ? 0 : Character.charCount(spec.codePointAt(0));
    if (spec.length() > first && "<>=^".indexOf(spec.charAt(first)) >= 0) {
      fill = spec.substring(0, first);
      align = spec.charAt(first);
      i = first + 1;
    } else if ("<>=^".indexOf(spec.charAt(0)) >= 0) {
      align = spec.charAt(0);
      i = 1;
    }
    boolean filled = i > 1;
    if (i < spec.length() && "+- ".indexOf(spec.charAt(i)) >= 0) {
      sign = spec.charAt(i++);
      if (Values.isText(v)) {
        throw Failure.value("Sign not allowed in string format specifier");
      }
    }
    if (at(i) == 'z') {
      positiveZero = true;
      i++;
    }
    if (at(i) == '#') {
      alternative = true;
      i++;
      if (Values.isText(v)) {
        throw Failure.value("Alternate form (#) not allowed in string format specifier");
      }
    }
    if (at(i) == '0' && !filled) {
      fill = "0";
      align = align == 0 && !Values.isText(v) ? '=' : align;
      i++;
    }
    int end = digitsEnd(i);
    width = number(i, end);
    i = end;
    while (at(i) == ',' || at(i) == '_') {
      if (grouping != 0) {
        throw Failure.value("Cannot specify both ',' and '_'.");
      }
      grouping = at(i++);
    }
    if (at(i) == '.') {
      end = digitsEnd(i + 1);
      if (end == i + 1) {
        throw Failure.value("Format specifier missing precision");
      }
      precision = number(i + 1, end);
      i = end;
    }
    if (spec.length() - i > 1) {
      throw Failure.value("Invalid format specifier");
    }
    type = at(i);
    String types = Values.isText(v) ? "s" : v instanceof Double ? "eEfFgGn%" : "bcdoxXneEfFgG%";
    if (type != 0 && types.indexOf(type) < 0) {
      throw Failure.value(
          "Unknown format code '%s' for object of type '%s'", type, Values.typeName(v));
    }
    if (Values.isText(v)) {
      if (align == '=') {
        throw Failure.value("'=' alignment not allowed in string format specifier");
      }
      if (grouping != 0) {
        throw Failure.value("Cannot specify '%s' with 's'.", grouping);
      }
    } else if (grouping == ',' && type != 0 && "bcoxXn".indexOf(type) >= 0) {
      throw Failure.value("Cannot specify ',' with '%s'.", type);
    } else if (grouping == '_' && (type == 'c' || type == 'n')) {
      throw Failure.value("Cannot specify '_' with '%s'.", type);
    }
  }

  private char at(int i) {
    return i < spec.length() ? spec.charAt(i) : 0;
  }

  private int digitsEnd(int i) {
    int end = i;
    while (at(end) >= '0' && at(end) <= '9') {
      end++;
    }
    return end;
  }

  private int number(int from, int to) {
    if (to - from > 9) {
      throw Failure.value("Too many decimal digits in format string");
    }
    int n = from == to ? 0 : Integer.parseInt(spec.substring(from, to));
    run.checkSize(n);
    return n;
  }

  private String text(String s) {
    String cut = precision < 0 || precision >= Text.length(s) ? s : Text.slice(s, 0, precision);
    return aligned("", cut, align == 0 ? '<' : align);
  }

  private String integer(BigInteger n) {
    if (precision >= 0) {
      throw Failure.value("Precision not allowed in integer format specifier");
    }
    if (positiveZero) {
      throw Failure.value("Negative zero coercion (z) not allowed in format specifier");
    }
    if (type == 'c') {
      if (sign != '-') {
        throw Failure.value("Sign not allowed with integer format specifier 'c'");
      }
      if (n.signum() < 0 || n.bitLength() > 21 || n.intValue() > Character.MAX_CODE_POINT) {
        throw Failure.overflow("%%c arg not in range(0x110000)");
      }
      return aligned("", Character.toString(n.intValue()), align == 0 ? '<' : align);
    }
    int radix =
        switch (type) {
          case 'b' -> 2;
          case 'o' -> 8;
          case 'x', 'X' -> 16;
          default -> 10;
        };
    String digits = radix == 10 ? Numbers.text(n.abs()) : n.abs().toString(radix);
    String prefix = alternative && radix != 10 ? "0" + type : "";
    digits = type == 'X' ? Text.upper(digits) : digits;
    return numeric(signOf(n.signum() < 0) + prefix, digits, "", radix == 10 ? 3 : 4);
  }

  private String floating(double d, Object v) {
    double value = type == '%' ? d * 100 : d;
    String digits;
    if (type == 0 && precision < 0) {
      digits = Numbers.text(Math.abs(value));
    } else if (type == 0 && v instanceof Double) {
      digits =
          Double.isNaN(value) || Double.isInfinite(value)
              ? Numbers.text(Math.abs(value))
              : Decimals.general(Math.abs(value), Math.max(1, precision), alternative, true);
    } else {
      char conversion = type == '%' ? 'f' : type == 'n' ? 'g' : type;
      digits = Decimals.text(value, conversion, precision < 0 ? 6 : precision, alternative);
    }
    boolean negative = value < 0 || (value == 0 && 1 / value < 0);
    if (positiveZero && digits.chars().noneMatch(c -> c >= '1' && c <= '9')) {
      negative &= !digits.chars().allMatch(c -> c == '0' || c == '.');
    }
    int end = 0;
    while (end < digits.length() && Character.isDigit(digits.charAt(end))) {
      end++;
    }
    String rest = digits.substring(end) + (type == '%' ? "%" : "");
    return numeric(signOf(negative), digits.substring(0, end), rest, 3);
  }

  private String signOf(boolean negative) {
    return negative ? "-" : sign == '-' ? "" : String.valueOf(sign);
  }

  private String numeric(String prefix, String digits, String rest, int group) {
    String whole = digits;
    if (grouping != 0 && !digits.isEmpty()) {
      // zeros that fill up are grouped as well
      int least = fill.equals("0") && align == '=' ? width - prefix.length() - rest.length() : 0;
      whole = grouped(digits, group, least);
    }
    char side = align == 0 ? '>' : align;
    return aligned(prefix, whole + rest, side);
  }

  private String grouped(String digits, int group, int least) {
    StringBuilder reversed = new StringBuilder();
    int count = 0;
    for (int i = digits.length() - 1; i >= 0 || reversed.length() < least; i--) {
      if (count > 0 && count % group == 0) {
        reversed.append(grouping);
      }
      reversed.append(i >= 0 ? digits.charAt(i) : '0');
      count++;
    }
    return reversed.reverse().toString();
  }

  private String aligned(String prefix, String text, char side) {
    int missing = width - Text.length(prefix) - Text.length(text);
    if (missing <= 0) {
      return prefix + text;
    }
    return switch (side) {
      case '<' -> prefix + text + fill.repeat(missing);
      case '^' -> fill.repeat(missing / 2) + prefix + text + fill.repeat(missing - missing / 2);
      case '=' -> prefix + fill.repeat(missing) + text;
      default -> fill.repeat(missing) + prefix + text;
    };
  }
}
