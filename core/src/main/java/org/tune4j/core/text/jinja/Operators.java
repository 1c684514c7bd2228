package org.tune4j.core.text.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.tune4j.core.text.jinja.TemplateException.Kind;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/** Python's operators. */
final class Operators {
  /** Larger integers (about 30,000 digits) are rejected; Python prints 4,300 digits at most. */
  private static final int MAX_BITS = 100_000;

  /** Operations on integers up to this size are done in longs, as no result overflows. */
  private static final long SMALL = 1L << 31;

  private static final long EXACT = 1L << 53;
  private static final Set<String> DIVISIONS = Set.of("/", "//", "%");

  private Operators() {}

  static Object binary(String operator, Object a, Object b) {
    if (operator.equals("%") && Values.isText(a)) {
      return Format.percent(a, b);
    }
    Values.defined(a);
    Values.defined(b);
    if (Numbers.isNumber(a) && Numbers.isNumber(b)) {
      if (!Values.truth(b) && DIVISIONS.contains(operator)) {
        throw Failure.of(Kind.ZERODIVISION, "division or modulo by zero");
      }
      return a instanceof Double || b instanceof Double
          ? (Object) floats(operator, Numbers.toDouble(a), Numbers.toDouble(b))
          : integers(operator, Numbers.plain(a), Numbers.plain(b));
    }
    if (operator.equals("+") && Values.isText(a) && Values.isText(b)) {
      return joined(a, b);
    }
    boolean same = Values.typeName(a).equals(Values.typeName(b)) && isSequence(a);
    if (operator.equals("+") && same && a instanceof List<?> x && b instanceof List<?> y) {
      List<Object> all = joined(x, y);
      return a instanceof Tuple ? Tuple.of(all) : all;
    }
    if (operator.equals("*") && isSequence(a) && Numbers.isInteger(b)) {
      return repeated(a, b);
    }
    if (operator.equals("*") && isSequence(b) && Numbers.isInteger(a)) {
      return repeated(b, a);
    }
    throw Failure.type(
        "unsupported operand type(s) for %s: '%s' and '%s'",
        operator, Values.typeName(a), Values.typeName(b));
  }

  private static boolean isSequence(Object v) {
    return Values.isText(v) || (v instanceof List && !(v instanceof Range));
  }

  private static Object joined(Object a, Object b) {
    boolean plain = a instanceof String && b instanceof String;
    String x = plain ? (String) a : Filters.escaped(a);
    String y = plain ? (String) b : Filters.escaped(b);
    Run.now().made((long) x.length() + y.length());
    return plain ? x.concat(y) : new Markup(x + y);
  }

  private static List<Object> joined(List<?> a, List<?> b) {
    long size = (long) a.size() + b.size();
    Run.now().madeElements(size, size);
    List<Object> all = new ArrayList<>((int) size);
    all.addAll(a);
    all.addAll(b);
    return all;
  }

  private static Object repeated(Object v, Object times) {
    if (times instanceof BigInteger) {
      throw Failure.of(Kind.OVERFLOW, "cannot fit 'int' into an index-sized integer");
    }
    long count = Math.max(0, Math.min(Numbers.index(times), Integer.MAX_VALUE));
    if (Values.isText(v)) {
      String s = v.toString();
      Run.now().made(s.length() * count);
      String all = s.isEmpty() ? "" : s.repeat((int) count);
      return v instanceof Markup ? new Markup(all) : all;
    }
    List<Object> items = Values.list(v);
    long size = items.size() * count;
    Run.now().madeElements(size, size);
    List<Object> all = new ArrayList<>((int) size);
    for (long i = 0; !items.isEmpty() && i < count; i++) {
      all.addAll(items);
    }
    return v instanceof Tuple ? Tuple.of(all) : all;
  }

  private static double floats(String operator, double a, double b) {
    return switch (operator) {
      case "+" -> a + b;
      case "-" -> a - b;
      case "*" -> a * b;
      case "/" -> a / b;
      case "//" -> floorDivided(a, b);
      case "%" -> modulo(a, b);
      default -> power(a, b);
    };
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
    if (b == 0 || a == 1 || (a == -1 && Double.isInfinite(b))) {
      return 1; // also for NaN
    }
    double p = Math.pow(a, b);
    boolean finite = Double.isFinite(a) && Double.isFinite(b);
    if (finite && Double.isNaN(p)) {
      throw Failure.unsupported("a negative number to a fractional power");
    }
    if (finite && Double.isInfinite(p)) {
      throw Failure.of(Kind.OVERFLOW, "the power is too large for a float");
    }
    return p;
  }

  private static Object integers(String operator, Object a, Object b) {
    if (a instanceof Long x && b instanceof Long y && small(x) && small(y)) {
      Long result =
          switch (operator) {
            case "+" -> x + y;
            case "-" -> x - y;
            case "*" -> x * y;
            case "//" -> Math.floorDiv(x, y);
            case "%" -> Math.floorMod(x, y);
            default -> null;
          };
      if (result != null) {
        return result;
      }
    }
    BigInteger x = Numbers.big(a);
    BigInteger y = Numbers.big(b);
    Run.now().scanned(((long) x.bitLength() * y.bitLength()) >> 10);
    Run.now().made((x.bitLength() + y.bitLength()) / 8);
    BigInteger result =
        switch (operator) {
          case "+" -> x.add(y);
          case "-" -> x.subtract(y);
          case "*" -> {
            checkBits((long) x.bitLength() + y.bitLength());
            yield x.multiply(y);
          }
          case "//" -> {
            BigInteger[] parts = x.divideAndRemainder(y);
            boolean down = parts[1].signum() != 0 && parts[1].signum() != y.signum();
            yield down ? parts[0].subtract(BigInteger.ONE) : parts[0];
          }
          case "%" -> {
            BigInteger rest = x.mod(y.abs());
            yield y.signum() < 0 && rest.signum() != 0 ? rest.add(y) : rest;
          }
          case "**" -> y.signum() < 0 ? null : power(x, y);
          default -> null;
        };
    if (result == null) {
      return operator.equals("/")
          ? quotient(x, y)
          : power(Numbers.toDouble(a), Numbers.toDouble(b));
    }
    checkBits(result.bitLength());
    return Numbers.normal(result);
  }

  private static boolean small(long n) {
    return -SMALL < n && n < SMALL;
  }

  /** Returns the quotient of two integers as the nearest float. */
  private static double quotient(BigInteger a, BigInteger b) {
    if (a.abs().max(b.abs()).compareTo(BigInteger.valueOf(EXACT)) <= 0) {
      return a.doubleValue() / b.doubleValue();
    }
    double q = new BigDecimal(a).divide(new BigDecimal(b), new MathContext(60)).doubleValue();
    if (Double.isInfinite(q)) {
      throw Failure.of(Kind.OVERFLOW, "integer division result too large for a float");
    }
    return q;
  }

  private static BigInteger power(BigInteger x, BigInteger y) {
    if (x.abs().bitLength() <= 1) { // -1, 0 and 1
      return y.signum() == 0 || y.testBit(0) ? x.pow(y.signum()) : x.multiply(x);
    }
    long bits = y.bitLength() > 31 ? Long.MAX_VALUE : (x.abs().bitLength() - 1L) * y.intValue();
    checkBits(bits);
    Run.now().scanned(bits);
    Run.now().made(bits / 8);
    return x.pow(y.intValue());
  }

  private static void checkBits(long bits) {
    if (bits > MAX_BITS) {
      throw Failure.limit("an integer of more than %d bits", MAX_BITS);
    }
  }

  static Object unary(String operator, Object v) {
    if (!Numbers.isNumber(Values.defined(v))) {
      throw Failure.type("bad operand type for unary %s: '%s'", operator, Values.typeName(v));
    }
    Object n = Numbers.plain(v);
    if (operator.equals("+")) {
      return n;
    }
    if (n instanceof Double d) {
      return -d;
    }
    return n instanceof Long x && small(x) ? -x : Numbers.normal(Numbers.big(n).negate());
  }

  /** Returns whether {@code a operator b} holds. */
  static boolean compare(String operator, Object a, Object b) {
    if (operator.equals("in") || operator.equals("not in")) {
      return Values.contains(b, a) == operator.equals("in");
    }
    Run.now().scanned(weight(a));
    if (operator.equals("==") || operator.equals("!=")) {
      return Values.equal(a, b) == operator.equals("==");
    }
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

  private static long weight(Object v) {
    if (Values.isText(v)) {
      return v.toString().length();
    }
    return v instanceof List<?> l ? 8L * l.size() : v instanceof Map<?, ?> m ? 8L * m.size() : 0;
  }
}
