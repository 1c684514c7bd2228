package org.tune4j.core.text.jinja;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;

/** Floats as {@code %e}, {@code %f} and {@code %g} print them. */
final class Decimals {
  /** More digits than any float has. */
  private static final int MAX_PRECISION = 1100;

  private Decimals() {}

  /** Returns the absolute value of a float in the layout of a conversion, of any case. */
  static String text(double value, char conversion, int precision, boolean alternative) {
    double d = Math.abs(value);
    boolean upper = Character.isUpperCase(conversion);
    if (Double.isNaN(d) || Double.isInfinite(d)) {
      String name = Double.isNaN(d) ? "nan" : "inf";
      return upper ? Text.upper(name) : name;
    }
    int digits = Math.min(precision, MAX_PRECISION);
    String s =
        switch (Character.toLowerCase(conversion)) {
          case 'e' -> scientific(d, digits, alternative);
          case 'f' -> fixed(d, digits, alternative);
          default -> general(d, Math.max(1, digits), alternative, /* dotZero= */ false);
        };
    return upper ? Text.upper(s) : s;
  }

  private static String fixed(double d, int precision, boolean alternative) {
    String s = new BigDecimal(d).setScale(precision, RoundingMode.HALF_EVEN).toPlainString();
    return alternative && precision == 0 ? s + "." : s;
  }

  private static String scientific(double d, int precision, boolean alternative) {
    BigDecimal rounded =
        new BigDecimal(d).round(new MathContext(precision + 1, RoundingMode.HALF_EVEN));
    String digits = rounded.unscaledValue().toString();
    int exponent = d == 0 ? 0 : digits.length() - 1 - rounded.scale();
    digits = (digits + "0".repeat(precision + 1)).substring(0, precision + 1);
    return mantissa(digits, alternative) + exponent(exponent);
  }

  private static String mantissa(String digits, boolean alternative) {
    if (digits.length() == 1) {
      return alternative ? digits + "." : digits;
    }
    return digits.charAt(0) + "." + digits.substring(1);
  }

  private static String exponent(int exponent) {
    int e = Math.abs(exponent);
    return "e" + (exponent < 0 ? "-" : "+") + (e < 10 ? "0" : "") + e;
  }

  /**
   * Returns the shorter of both layouts with so many significant digits.
   *
   * @param dotZero whether a float without a fraction ends with {@code .0}
   */
  static String general(double d, int precision, boolean alternative, boolean dotZero) {
    BigDecimal rounded =
        new BigDecimal(d).round(new MathContext(precision, RoundingMode.HALF_EVEN));
    String digits = rounded.unscaledValue().toString();
    int exponent = d == 0 ? 0 : digits.length() - 1 - rounded.scale();
    digits = (digits + "0".repeat(precision)).substring(0, precision);
    if (!alternative) {
      int end = digits.length();
      while (end > 1 && digits.charAt(end - 1) == '0') {
        end--;
      }
      digits = digits.substring(0, end);
    }
    if (exponent < -4 || exponent >= precision - (dotZero ? 1 : 0)) {
      if (d != 0 || exponent != 0 || !dotZero) {
        return exponent < -4 || exponent >= precision - (dotZero ? 1 : 0)
            ? mantissa(digits, alternative) + exponent(exponent)
            : digits;
      }
    }
    String s;
    if (exponent < 0) {
      s = "0." + "0".repeat(-exponent - 1) + digits;
    } else if (digits.length() > exponent + 1) {
      s = digits.substring(0, exponent + 1) + "." + digits.substring(exponent + 1);
    } else {
      s =
          digits
              + "0".repeat(exponent + 1 - digits.length())
              + (alternative ? "." : dotZero ? ".0" : "");
    }
    return s;
  }
}
