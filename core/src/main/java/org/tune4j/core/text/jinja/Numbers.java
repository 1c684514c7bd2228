package org.tune4j.core.text.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.regex.Pattern;

/** Python's numbers: integers of any size (Long, or BigInteger beyond its range) and floats. */
final class Numbers {
  /** Python reads and prints no longer integers in decimal. */
  static final int MAX_DIGITS = 4300;

  private static final BigInteger MIN = BigInteger.valueOf(Long.MIN_VALUE);
  private static final BigInteger MAX = BigInteger.valueOf(Long.MAX_VALUE);
  private static final BigInteger EXACT = BigInteger.ONE.shiftLeft(53);

  private static final Pattern FLOAT =
      Pattern.compile(
          "[+-]?(\\d[\\d_]*+(\\.(\\d[\\d_]*+)?)?|\\.\\d[\\d_]*+)([eE][+-]?\\d[\\d_]*+)?");

  private Numbers() {}

  static Object normal(BigInteger n) {
    return n.compareTo(MIN) >= 0 && n.compareTo(MAX) <= 0 ? (Object) n.longValue() : n;
  }

  /** Whether a value is an integer; Python's booleans are. */
  static boolean isInteger(Object v) {
    return v instanceof Long || v instanceof Boolean || v instanceof BigInteger;
  }

  static boolean isNumber(Object v) {
    return isInteger(v) || v instanceof Double;
  }

  /** Returns a Long for a Boolean, and any other number as it is. */
  static Object plain(Object v) {
    return v instanceof Boolean b ? (Object) (b ? 1L : 0L) : v;
  }

  static BigInteger big(Object integer) {
    Object v = plain(integer);
    return v instanceof Long n ? BigInteger.valueOf(n) : (BigInteger) v;
  }

  /** Returns the nearest float. */
  static double toDouble(Object number) {
    Object v = plain(number);
    if (v instanceof Double d) {
      return d;
    }
    if (v instanceof Long n) {
      return n;
    }
    double d = ((BigInteger) v).doubleValue();
    if (Double.isInfinite(d)) {
      throw Failure.overflow("int too large to convert to float");
    }
    return d;
  }

  /** Returns the quotient of two integers as the nearest float. */
  static double quotient(BigInteger a, BigInteger b) {
    if (a.abs().compareTo(EXACT) <= 0 && b.abs().compareTo(EXACT) <= 0) {
      return a.doubleValue() / b.doubleValue();
    }
    double q = new BigDecimal(a).divide(new BigDecimal(b), new MathContext(60)).doubleValue();
    if (Double.isInfinite(q)) {
      throw Failure.overflow("integer division result too large for a float");
    }
    return q;
  }

  /** Compares two numbers exactly; with a NaN, null. */
  static Integer compare(Object a, Object b) {
    Object x = plain(a);
    Object y = plain(b);
    if (x instanceof Long m && y instanceof Long n) {
      return Long.compare(m, n);
    }
    if (x instanceof Double d && y instanceof Double e) {
      return Double.isNaN(d) || Double.isNaN(e) ? null : d < e ? -1 : d > e ? 1 : 0;
    }
    if (x instanceof Double d) {
      Integer c = compare(y, d);
      return c == null ? null : Integer.valueOf(-c);
    }
    if (y instanceof Double d) {
      if (Double.isNaN(d)) {
        return null;
      }
      if (Double.isInfinite(d)) {
        return d > 0 ? -1 : 1;
      }
      return new BigDecimal(big(x)).compareTo(new BigDecimal(d));
    }
    return big(x).compareTo(big(y));
  }

  /** Returns a hash that equal numbers share. */
  static int hash(Object number) {
    Object v = plain(number);
    if (v instanceof Double d && d == Math.rint(d) && !Double.isInfinite(d)) {
      v = integer(d);
    }
    return v.hashCode();
  }

  /** Returns a float without its fraction. */
  static Object integer(double d) {
    if (Double.isNaN(d)) {
      throw Failure.value("cannot convert float NaN to integer");
    }
    if (Double.isInfinite(d)) {
      throw Failure.overflow("cannot convert float infinity to integer");
    }
    return Math.abs(d) < 9e18 ? (Object) (long) d : normal(new BigDecimal(d).toBigInteger());
  }

  /** Returns an integer in decimal. */
  static String text(BigInteger n) {
    // a digit has more than 3 bits, which spares the conversion of what is refused
    if (n.bitLength() > MAX_DIGITS * 4L || n.abs().toString().length() > MAX_DIGITS) {
      throw Failure.value(
          "Exceeds the limit (%d digits) for integer string conversion", MAX_DIGITS);
    }
    return n.toString();
  }

  /** Returns the shortest text that reads as the same float, in Python's layout. */
  static String text(double d) {
    if (Double.isNaN(d)) {
      return "nan";
    }
    if (Double.isInfinite(d)) {
      return d > 0 ? "inf" : "-inf";
    }
    if (d == 0) {
      return 1 / d < 0 ? "-0.0" : "0.0";
    }
    BigDecimal shortest = shortest(Math.abs(d));
    String digits = shortest.unscaledValue().toString();
    int end = digits.length();
    while (end > 1 && digits.charAt(end - 1) == '0') {
      end--;
    }
    int point = digits.length() - shortest.scale(); // digits before the decimal point
    digits = digits.substring(0, end);
    StringBuilder out = new StringBuilder(d < 0 ? "-" : "");
    if (point > 16 || point <= -4) {
      out.append(digits.charAt(0));
      if (digits.length() > 1) {
        out.append('.').append(digits, 1, digits.length());
      }
      int exponent = point - 1;
      out.append('e').append(exponent < 0 ? '-' : '+');
      return out.append(Math.abs(exponent) < 10 ? "0" : "").append(Math.abs(exponent)).toString();
    }
    if (point <= 0) {
      out.append("0.").append("0".repeat(-point)).append(digits);
    } else if (point >= digits.length()) {
      out.append(digits).append("0".repeat(point - digits.length())).append(".0");
    } else {
      out.append(digits, 0, point).append('.').append(digits, point, digits.length());
    }
    return out.toString();
  }

  /** Java's own text of a float is not always the shortest before version 19. */
  private static BigDecimal shortest(double d) {
    BigDecimal exact = new BigDecimal(d);
    for (int precision = 1; precision < 17; precision++) {
      BigDecimal below = exact.round(new MathContext(precision, RoundingMode.DOWN));
      BigDecimal above = exact.round(new MathContext(precision, RoundingMode.UP));
      boolean lower = below.doubleValue() == d;
      boolean upper = above.doubleValue() == d;
      if (lower && upper) {
        int c = exact.subtract(below).compareTo(above.subtract(exact));
        return c < 0
            ? below
            : c > 0 ? above : exact.round(new MathContext(precision, RoundingMode.HALF_EVEN));
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
      if (Double.isNaN(d) || Double.isInfinite(d) || d == 0 || digits > 330) {
        return d;
      }
      if (digits < -330) {
        return 0.0 * d;
      }
      double rounded =
          new BigDecimal(d).setScale((int) digits, RoundingMode.HALF_EVEN).doubleValue();
      if (Double.isInfinite(rounded)) {
        throw Failure.overflow("rounded value too large to represent");
      }
      return rounded == 0 ? (Object) (0.0 * d) : rounded;
    }
    Object n = plain(number);
    if (digits >= 0) {
      return n;
    }
    if (-digits > MAX_DIGITS * 10L) {
      return 0L;
    }
    return normal(
        new BigDecimal(big(n)).setScale((int) digits, RoundingMode.HALF_EVEN).toBigInteger());
  }

  /** Reads an integer as Python's {@code int(text, base)}. */
  static Object parseInteger(String text, long base) {
    if (base != 0 && (base < 2 || base > 36)) {
      throw Failure.value("int() base must be >= 2 and <= 36, or 0");
    }
    String s = asciiDigits(Text.strip(text, null, true, true));
    int i = 0;
    boolean negative = false;
    if (i < s.length() && (s.charAt(i) == '-' || s.charAt(i) == '+')) {
      negative = s.charAt(i++) == '-';
    }
    int radix = (int) base;
    boolean prefixed = false;
    if (s.length() > i + 1 && s.charAt(i) == '0') {
      int prefix =
          switch (s.charAt(i + 1)) {
            case 'b', 'B' -> 2;
            case 'o', 'O' -> 8;
            case 'x', 'X' -> 16;
            default -> 0;
          };
      if (prefix != 0 && (base == 0 || base == prefix)) {
        radix = prefix;
        i += 2;
        prefixed = true;
        if (i < s.length() && s.charAt(i) == '_') {
          i++;
        }
      }
    }
    if (radix == 0) {
      radix = 10;
    }
    String digits = s.substring(i);
    boolean valid = !digits.isEmpty() && !digits.contains("__");
    for (int k = 0; k < digits.length(); k++) {
      char c = digits.charAt(k);
      boolean between = k > 0 && k + 1 < digits.length();
      valid &= c == '_' ? between : c < 128 && Character.digit(c, radix) >= 0;
    }
    digits = digits.replace("_", "");
    // without a base, 010 could be meant as octal
    if (valid && base == 0 && !prefixed && digits.startsWith("0")) {
      valid = digits.chars().allMatch(c -> c == '0');
    }
    if (!valid) {
      throw Failure.value("invalid literal for int() with base %d: %s", base, Values.quoted(text));
    }
    if (digits.length() > MAX_DIGITS && Integer.bitCount(radix) != 1) {
      throw Failure.value(
          "Exceeds the limit (%d digits) for integer string conversion", MAX_DIGITS);
    }
    BigInteger n = new BigInteger(digits, radix);
    return normal(negative ? n.negate() : n);
  }

  /** Reads a float as Python's {@code float(text)}. */
  static double parseFloat(String text) {
    String s = asciiDigits(Text.strip(text, null, true, true));
    if (FLOAT.matcher(s).matches()) {
      boolean separated = true;
      for (int i = s.indexOf('_'); i >= 0; i = s.indexOf('_', i + 1)) {
        separated &=
            i + 1 < s.length()
                && Character.isDigit(s.charAt(i - 1))
                && Character.isDigit(s.charAt(i + 1));
      }
      if (separated) {
        return Double.parseDouble(s.replace("_", ""));
      }
    }
    String name = Text.lower(s).replaceFirst("^[+-]", "");
    double sign = s.startsWith("-") ? -1 : 1;
    if (name.equals("inf") || name.equals("infinity")) {
      return sign * Double.POSITIVE_INFINITY;
    }
    if (name.equals("nan")) {
      return Double.NaN;
    }
    throw Failure.value("could not convert string to float: %s", Values.quoted(text));
  }

  /** Returns the text with all kinds of decimal digits as 0 to 9. */
  private static String asciiDigits(String s) {
    if (s.chars().allMatch(c -> c < 128)) {
      return s;
    }
    StringBuilder out = new StringBuilder();
    s.codePoints()
        .forEach(
            c ->
                out.appendCodePoint(
                    c > 127 && Character.getType(c) == Character.DECIMAL_DIGIT_NUMBER
                        ? '0' + Character.digit(c, 10)
                        : c));
    return out.toString();
  }
}
