package org.tune4j.core.text.jinja;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.TemplateException.Kind;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/** Python's operators. */
final class Arithmetic {
  /** Larger integers (about 30,000 digits) are refused; Python prints 4,300 digits at most. */
  private static final int MAX_BITS = 100_000;

  private Arithmetic() {}

  /** Returns a value as an integer where Python wants an index; true is 1. */
  static Object index(Object v) {
    if (v instanceof Undefined u) {
      throw Failure.type("'%s' object cannot be interpreted as an integer", Values.typeName(u));
    }
    if (!Numbers.isInteger(v)) {
      throw Failure.type("'%s' object cannot be interpreted as an integer", Values.typeName(v));
    }
    return Numbers.plain(v);
  }

  /** Returns an index as a long, at the ends of its range if it is beyond. */
  static long longIndex(Object v) {
    Object n = index(v);
    return n instanceof Long l
        ? l
        : ((BigInteger) n).signum() < 0 ? Long.MIN_VALUE : Long.MAX_VALUE;
  }

  static Object binary(Run run, String operator, Object a, Object b) {
    if (operator.equals("%") && Values.isText(a)) {
      return PercentFormat.format(run, a, b);
    }
    if (a instanceof Undefined u) {
      throw u.failure();
    }
    if (b instanceof Undefined u) {
      throw u.failure();
    }
    if (Numbers.isNumber(a) && Numbers.isNumber(b)) {
      return a instanceof Double || b instanceof Double
          ? (Object) floats(operator, Numbers.toDouble(a), Numbers.toDouble(b))
          : integers(run, operator, Numbers.plain(a), Numbers.plain(b));
    }
    Object result =
        switch (operator) {
          case "+" -> concatenated(run, a, b);
          case "*" -> Numbers.isInteger(b) ? repeated(run, a, b) : repeated(run, b, a);
          default -> Frame.MISSING;
        };
    if (result == Frame.MISSING) {
      throw unsupported(operator, a, b);
    }
    return result;
  }

  private static Failure unsupported(String operator, Object a, Object b) {
    String left = Values.typeName(a);
    String right = Values.typeName(b);
    if (operator.equals("+") && (Values.isText(a) || a instanceof List || a instanceof Tuple)) {
      return Failure.type("can only concatenate %s (not \"%s\") to %s", left, right, left);
    }
    if (operator.equals("*") && (isSequence(a) || isSequence(b))) {
      return Failure.type(
          "can't multiply sequence by non-int of type '%s'", isSequence(a) ? right : left);
    }
    return Failure.type(
        "unsupported operand type(s) for %s: '%s' and '%s'",
        operator.equals("**") ? "** or pow()" : operator, left, right);
  }

  private static boolean isSequence(Object v) {
    return Values.isText(v) || v instanceof List || v instanceof Tuple;
  }

  private static Object concatenated(Run run, Object a, Object b) {
    if (a instanceof String x && b instanceof String y) {
      run.made((long) x.length() + y.length());
      return x.concat(y);
    }
    if (Values.isText(a) && Values.isText(b)) {
      String x = Filters.escaped(run, a);
      String y = Filters.escaped(run, b);
      run.made((long) x.length() + y.length());
      return new Markup(x + y);
    }
    if (a instanceof List<?> x && b instanceof List<?> y) {
      return joined(run, x, y);
    }
    if (a instanceof Tuple x && b instanceof Tuple y) {
      return new Tuple(joined(run, x.items(), y.items()));
    }
    return Frame.MISSING;
  }

  private static List<Object> joined(Run run, List<?> a, List<?> b) {
    long size = (long) a.size() + b.size();
    run.madeElements(size, size);
    List<Object> all = new ArrayList<>((int) size);
    all.addAll(a);
    all.addAll(b);
    return all;
  }

  private static Object repeated(Run run, Object v, Object times) {
    if (!isSequence(v) || !Numbers.isInteger(times)) {
      return Frame.MISSING;
    }
    if (times instanceof BigInteger) {
      throw Failure.overflow("cannot fit 'int' into an index-sized integer");
    }
    long count = Math.max(0, longIndex(times));
    if (Values.isText(v)) {
      String s = Values.text(v);
      run.made(product(s.length(), count));
      String all = s.isEmpty() ? "" : s.repeat((int) count);
      return v instanceof Markup ? new Markup(all) : all;
    }
    List<?> items = v instanceof Tuple t ? t.items() : (List<?>) v;
    long size = product(items.size(), count);
    run.madeElements(size, size);
    List<Object> all = new ArrayList<>((int) size);
    for (long i = 0; !items.isEmpty() && i < count; i++) {
      all.addAll(items);
    }
    return v instanceof Tuple ? new Tuple(all) : all;
  }

  /** Returns a product that stays far below overflow. */
  private static long product(long size, long count) {
    return size == 0 ? 0 : size * Math.min(count, Integer.MAX_VALUE);
  }

  private static double floats(String operator, double a, double b) {
    switch (operator) {
      case "+" -> {
        return a + b;
      }
      case "-" -> {
        return a - b;
      }
      case "*" -> {
        return a * b;
      }
      case "/" -> {
        if (b == 0) {
          throw Failure.of(Kind.ZERODIVISION, "float division by zero");
        }
        return a / b;
      }
      case "//" -> {
        if (b == 0) {
          throw Failure.of(Kind.ZERODIVISION, "float floor division by zero");
        }
        return floorDivided(a, b);
      }
      case "%" -> {
        if (b == 0) {
          throw Failure.of(Kind.ZERODIVISION, "float modulo");
        }
        return modulo(a, b);
      }
      default -> {
        return power(a, b);
      }
    }
  }

  private static double modulo(double a, double b) {
    double m = a % b;
    if (m == 0) {
      return Math.copySign(0.0, b);
    }
    return (m < 0) == (b < 0) ? m : m + b;
  }

  private static double floorDivided(double a, double b) {
    double m = a % b;
    double d = (a - m) / b;
    if (m != 0 && (m < 0) != (b < 0)) {
      d -= 1;
    }
    if (d == 0) {
      return Math.copySign(0.0, a / b);
    }
    double floor = Math.floor(d);
    return d - floor > 0.5 ? floor + 1 : floor;
  }

  private static double power(double a, double b) {
    if (a == 0 && b < 0) {
      throw Failure.of(Kind.ZERODIVISION, "0.0 cannot be raised to a negative power");
    }
    if (b == 0 || a == 1) {
      return 1; // also of NaN
    }
    if (a == -1 && Double.isInfinite(b)) {
      return 1;
    }
    if (a < 0 && !Double.isInfinite(a) && !Double.isInfinite(b) && b != Math.rint(b)) {
      throw Failure.value("a negative number to a fractional power is complex, which is not known");
    }
    double p = Math.pow(a, b);
    if (Double.isInfinite(p) && !Double.isInfinite(a) && !Double.isInfinite(b)) {
      throw Failure.overflow("(34, 'Numerical result out of range')");
    }
    return p;
  }

  private static Object integers(Run run, String operator, Object a, Object b) {
    if (a instanceof Long x && b instanceof Long y) {
      Object small = longs(operator, x, y);
      if (small != null) {
        return small;
      }
    }
    BigInteger x = Numbers.big(a);
    BigInteger y = Numbers.big(b);
    run.scanned(((long) x.bitLength() * y.bitLength()) >> 10);
    run.made((x.bitLength() + y.bitLength()) / 8);
    boolean divides = operator.equals("/") || operator.equals("//") || operator.equals("%");
    if (divides && y.signum() == 0) {
      throw Failure.of(
          Kind.ZERODIVISION,
          operator.equals("/")
              ? "division by zero"
              : operator.equals("//")
                  ? "integer division or modulo by zero"
                  : "integer modulo by zero");
    }
    switch (operator) {
      case "+" -> {
        return bounded(x.add(y));
      }
      case "-" -> {
        return bounded(x.subtract(y));
      }
      case "*" -> {
        checkBits((long) x.bitLength() + y.bitLength());
        return Numbers.normal(x.multiply(y));
      }
      case "/" -> {
        return Numbers.quotient(x, y);
      }
      case "//" -> {
        BigInteger[] parts = x.divideAndRemainder(y);
        boolean down = parts[1].signum() != 0 && parts[1].signum() != y.signum();
        return Numbers.normal(down ? parts[0].subtract(BigInteger.ONE) : parts[0]);
      }
      case "%" -> {
        BigInteger rest = x.mod(y.abs());
        return Numbers.normal(y.signum() < 0 && rest.signum() != 0 ? rest.add(y) : rest);
      }
      default -> {
        return power(run, x, y);
      }
    }
  }

  /** Returns the result if it is within a long; null else. */
  private static Object longs(String operator, long x, long y) {
    switch (operator) {
      case "+" -> {
        long sum = x + y;
        return ((x ^ sum) & (y ^ sum)) < 0 ? null : (Object) sum;
      }
      case "-" -> {
        long difference = x - y;
        return ((x ^ y) & (x ^ difference)) < 0 ? null : (Object) difference;
      }
      case "*" -> {
        long high = Math.multiplyHigh(x, y);
        long low = x * y;
        return (high == 0 && low >= 0) || (high == -1 && low < 0) ? (Object) low : null;
      }
      case "//" -> {
        return y == 0 || y == -1 ? null : (Object) Math.floorDiv(x, y);
      }
      case "%" -> {
        return y == 0 || y == -1 ? null : (Object) Math.floorMod(x, y);
      }
      default -> {
        return null;
      }
    }
  }

  private static Object power(Run run, BigInteger x, BigInteger y) {
    if (y.signum() < 0) {
      if (x.signum() == 0) {
        throw Failure.of(Kind.ZERODIVISION, "0.0 cannot be raised to a negative power");
      }
      return power(Numbers.toDouble(x), Numbers.toDouble(y));
    }
    if (x.abs().compareTo(BigInteger.ONE) <= 0) {
      boolean one = y.signum() == 0 || !y.testBit(0);
      return Numbers.normal(one ? x.abs().max(y.signum() == 0 ? BigInteger.ONE : x.abs()) : x);
    }
    long bits = y.bitLength() > 31 ? Long.MAX_VALUE : (x.abs().bitLength() - 1L) * y.intValue();
    checkBits(bits);
    run.scanned(bits);
    run.made(bits / 8);
    return Numbers.normal(x.pow(y.intValue()));
  }

  private static Object bounded(BigInteger n) {
    checkBits(n.bitLength());
    return Numbers.normal(n);
  }

  private static void checkBits(long bits) {
    if (bits > MAX_BITS) {
      throw Failure.limit("an integer of more than %d bits", MAX_BITS);
    }
  }

  static Object unary(String operator, Object v) {
    if (v instanceof Undefined u) {
      throw u.failure();
    }
    if (!Numbers.isNumber(v)) {
      throw Failure.type("bad operand type for unary %s: '%s'", operator, Values.typeName(v));
    }
    Object n = Numbers.plain(v);
    if (operator.equals("+")) {
      return n;
    }
    if (n instanceof Double d) {
      return -d;
    }
    return n instanceof Long x && x != Long.MIN_VALUE
        ? (Object) (-x)
        : Numbers.normal(Numbers.big(n).negate());
  }

  /** Returns whether {@code a operator b} holds. */
  static boolean compare(Run run, String operator, Object a, Object b) {
    switch (operator) {
      case "==" -> {
        run.scanned(weight(a));
        return Values.equal(a, b);
      }
      case "!=" -> {
        run.scanned(weight(a));
        return !Values.equal(a, b);
      }
      case "in" -> {
        return Values.contains(run, b, a);
      }
      case "not in" -> {
        return !Values.contains(run, b, a);
      }
      default -> {
        run.scanned(weight(a));
        Integer c = Values.compare(a, b, operator);
        if (c == null) {
          return false;
        }
        return switch (operator) {
          case "<" -> c < 0;
          case "<=" -> c <= 0;
          case ">" -> c > 0;
          default -> c >= 0;
        };
      }
    }
  }

  private static long weight(Object v) {
    if (Values.isText(v)) {
      return Values.text(v).length();
    }
    return v instanceof List<?> l ? 8L * l.size() : v instanceof Map<?, ?> m ? 8L * m.size() : 0;
  }

  /** Returns the texts of values, one after the other: {@code a ~ b}. */
  static Object concat(Run run, List<Object> values) {
    StringBuilder out = new StringBuilder();
    for (Object v : values) {
      out.append(Values.str(run, v));
      run.checkSize(out.length());
    }
    run.made(out.length());
    return out.toString();
  }
}
