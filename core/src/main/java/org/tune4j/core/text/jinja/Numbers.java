package org.tune4j.core.text.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Locale;
import java.util.regex.Pattern;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** Python's numbers: integers of any size (Long, or BigInteger beyond its range) and floats. */
final class Numbers {
  /** Python does not read or print longer integers in decimal. */
  static final int MAX_DIGITS = 4300;

  private static final Pattern INTEGER =
      Pattern.compile("\\d++(_\\d++)*+", Pattern.UNICODE_CHARACTER_CLASS);
  private static final Pattern FLOAT =
      Pattern.compile("[+-]?(D(\\.(D)?)?|\\.D)([eE][+-]?D)?".replace("D", "\\d++(?:_\\d++)*+"));

  private Numbers() {}

  static Object normal(BigInteger n) {
    return n.bitLength() < 64 ? (Object) n.longValue() : n;
  }

  /** Returns whether a value is an integer; in Python, booleans are. */
  static boolean isInteger(Object v) {
    return v instanceof Long || v instanceof Boolean || v instanceof BigInteger;
  }

  static boolean isNumber(Object v) {
    return isInteger(v) || v instanceof Double;
  }

  /** Returns a Boolean as a Long, and any other number unchanged. */
  static Object plain(Object v) {
    return v instanceof Boolean b ? (Object) (b ? 1L : 0L) : v;
  }

  static BigInteger big(Object integer) {
    Object v = plain(integer);
    return v instanceof Long n ? BigInteger.valueOf(n) : (BigInteger) v;
  }

  /** Returns the nearest float. */
  static double toDouble(Object number) {
    double d = ((Number) plain(number)).doubleValue();
    if (Double.isInfinite(d) && !(number instanceof Double)) {
      throw Failure.of(Kind.OVERFLOW, "int too large to convert to float");
    }
    return d;
  }

  /** Returns an integer as an index, clamped to the range of a long. */
  static long index(Object v) {
    if (!isInteger(v)) {
      throw Failure.type("'%s' object cannot be interpreted as an integer", Values.typeName(v));
    }
    return plain(v) instanceof Long n ? n : big(v).signum() < 0 ? Long.MIN_VALUE : Long.MAX_VALUE;
  }

  /** Compares two numbers exactly; null if one is NaN. */
  static Integer compare(Object a, Object b) {
    Object x = plain(a);
    Object y = plain(b);
    if (x instanceof Long m && y instanceof Long n) {
      return Long.compare(m, n);
    }
    if (isSpecial(x) || isSpecial(y)) { // finite values are between the infinities
      double d = isSpecial(x) ? (Double) x : 0;
      double e = isSpecial(y) ? (Double) y : 0;
      return Double.isNaN(d) || Double.isNaN(e) ? null : Integer.valueOf(Double.compare(d, e));
    }
    return exact(x).compareTo(exact(y));
  }

  private static boolean isSpecial(Object v) {
    return v instanceof Double d && (Double.isNaN(d) || Double.isInfinite(d));
  }

  private static BigDecimal exact(Object v) {
    return v instanceof Double d ? new BigDecimal(d) : new BigDecimal(big(v));
  }

  /** Returns a hash that is the same for equal numbers. */
  static int hash(Object number) {
    Object v = plain(number);
    return (v instanceof Double d && d == Math.rint(d) && !isSpecial(v) ? integer(d) : v)
        .hashCode();
  }

  /** Returns a float without its fraction. */
  static Object integer(double d) {
    if (isSpecial(d)) {
      throw Failure.of(
          Double.isNaN(d) ? Kind.VALUE : Kind.OVERFLOW, "cannot convert float %s to integer", d);
    }
    return normal(new BigDecimal(d).toBigInteger());
  }

  /** Returns an integer in decimal. */
  static String text(BigInteger n) {
    // a digit has more than 3 bits: rejects long integers before the slow conversion
    if (n.bitLength() > MAX_DIGITS * 4L || n.abs().toString().length() > MAX_DIGITS) {
      throw Failure.value("an integer of more than %d digits", MAX_DIGITS);
    }
    return n.toString();
  }

  /** Returns the shortest text that reads as the same float, in Python's layout. */
  static String text(double d) {
    if (isSpecial(d)) {
      return Double.isNaN(d) ? "nan" : d > 0 ? "inf" : "-inf";
    }
    if (d == 0) {
      return 1 / d < 0 ? "-0.0" : "0.0";
    }
    BigDecimal shortest = shortest(Math.abs(d)).stripTrailingZeros();
    String digits = shortest.unscaledValue().toString();
    int point = digits.length() - shortest.scale(); // digits before the decimal point
    String text;
    if (point > 16 || point <= -4) {
      String fraction = digits.length() > 1 ? "." + digits.substring(1) : "";
      text = digits.charAt(0) + fraction + String.format(Locale.ROOT, "e%+03d", point - 1);
    } else {
      text = shortest.toPlainString() + (point >= digits.length() ? ".0" : "");
    }
    return d < 0 ? "-" + text : text;
  }

  /**
   * Before version 19, Java's own conversion of a float does not always return the shortest text.
   */
  private static BigDecimal shortest(double d) {
    BigDecimal exact = new BigDecimal(d);
    for (int precision = 1; precision < 17; precision++) {
      BigDecimal below = exact.round(new MathContext(precision, RoundingMode.DOWN));
      BigDecimal above = exact.round(new MathContext(precision, RoundingMode.UP));
      boolean lower = below.doubleValue() == d;
      boolean upper = above.doubleValue() == d;
      if (lower && upper) {
        return exact.round(new MathContext(precision, RoundingMode.HALF_EVEN));
      }
      if (lower || upper) {
        return lower ? below : above;
      }
    }
    return exact.round(new MathContext(17, RoundingMode.HALF_EVEN));
  }

  /** Rounds half to even at some digits after the point, as Python's {@code round(x, n)}. */
  static Object round(Object number, long digits) {
    if (number instanceof Double d) {
      if (isSpecial(d) || d == 0 || digits > 330) {
        return d;
      }
      if (digits < -330) {
        return 0.0 * d;
      }
      double rounded =
          new BigDecimal(d).setScale((int) digits, RoundingMode.HALF_EVEN).doubleValue();
      if (Double.isInfinite(rounded)) {
        throw Failure.of(Kind.OVERFLOW, "rounded value too large to represent");
      }
      return rounded == 0 ? (Object) (0.0 * d) : rounded;
    }
    if (digits >= 0) {
      return plain(number);
    }
    return -digits > MAX_DIGITS * 10L
        ? (Object) 0L
        : normal(
            exact(plain(number)).setScale((int) digits, RoundingMode.HALF_EVEN).toBigInteger());
  }

  /** Reads an integer as Python's {@code int(text, base)}. */
  static Object parseInteger(String text, long base) {
    String digits = Text.strip(text, null, true, true);
    String sign = digits.startsWith("-") || digits.startsWith("+") ? digits.substring(0, 1) : "";
    digits = digits.substring(sign.length());
    int prefix =
        "bBoOxX".indexOf(digits.length() > 2 && digits.startsWith("0") ? digits.charAt(1) : ' ');
    boolean prefixed = prefix >= 0 && base == new int[] {2, 8, 16}[prefix / 2];
    digits = prefixed ? digits.substring(digits.charAt(2) == '_' ? 3 : 2) : digits;
    if (base != 10 && base != 16 && base != 8 && base != 2) {
      throw Failure.unsupported("the base %d of integers", base);
    }
    boolean valid =
        base == 10
            ? INTEGER.matcher(digits).matches()
            : digits.matches("[0-9a-fA-F]++(_[0-9a-fA-F]++)*+")
                && digits
                    .replace("_", "")
                    .chars()
                    .allMatch(c -> Character.digit(c, (int) base) >= 0);
    if (!valid || digits.length() > MAX_DIGITS) {
      throw Failure.value("%s is not an integer of base %d", Printing.quoted(text), base);
    }
    BigInteger n = new BigInteger(digits.replace("_", ""), (int) base);
    return normal(sign.equals("-") ? n.negate() : n);
  }

  /** Reads a float as Python's {@code float(text)}. */
  static double parseFloat(String text) {
    StringBuilder ascii = new StringBuilder();
    Text.strip(text, null, true, true)
        .codePoints()
        .forEach(c -> ascii.appendCodePoint(Text.isDecimal(c) ? '0' + Character.digit(c, 10) : c));
    if (FLOAT.matcher(ascii).matches()) {
      return Double.parseDouble(ascii.toString().replace("_", ""));
    }
    String name = Text.lower(ascii.toString());
    double sign = name.startsWith("-") ? -1 : 1;
    return switch (name.replaceFirst("^[+-]", "")) {
      case "inf", "infinity" -> sign * Double.POSITIVE_INFINITY;
      case "nan" -> Double.NaN;
      default -> throw Failure.value("%s is not a float", Printing.quoted(text));
    };
  }
}
