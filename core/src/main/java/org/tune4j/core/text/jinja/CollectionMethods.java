package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.DictView;
import org.tune4j.core.text.jinja.Values.Tuple;

/** The attributes of dicts, lists, tuples, ranges and numbers that change nothing. */
final class CollectionMethods {
  private static final ImmutableMap<String, Builtin> DICT =
      ImmutableMap.of(
          "get",
          Builtin.function(
              "get",
              "/ self key default?",
              (run, v) -> {
                Object key = Values.key(v[1]);
                Map<?, ?> map = (Map<?, ?>) v[0];
                return map.containsKey(key) ? map.get(key) : v[2] == Frame.MISSING ? null : v[2];
              }),
          "items",
          Builtin.function(
              "items", "/ self", (run, v) -> new DictView("dict_items", (Map<?, ?>) v[0])),
          "keys",
          Builtin.function(
              "keys", "/ self", (run, v) -> new DictView("dict_keys", (Map<?, ?>) v[0])),
          "values",
          Builtin.function(
              "values", "/ self", (run, v) -> new DictView("dict_values", (Map<?, ?>) v[0])),
          "copy",
          Builtin.function("copy", "/ self", (run, v) -> v[0]),
          "fromkeys",
          Builtin.function(
              "fromkeys",
              "/ self keys value?",
              (run, v) -> {
                Map<Object, Object> map = new LinkedHashMap<>();
                for (Iterator<Object> i = Values.iterator(v[1]); i.hasNext(); run.step()) {
                  map.put(Values.key(i.next()), v[2] == Frame.MISSING ? null : v[2]);
                }
                run.madeElements(map.size(), map.size());
                return map;
              }));

  private static final ImmutableMap<String, Builtin> SEQUENCE =
      ImmutableMap.of(
          "count",
          Builtin.function(
              "count",
              "/ self value",
              (run, v) -> {
                List<Object> items = Values.list(run, v[0]);
                run.scanned(8L * items.size());
                return items.stream().filter(x -> Values.equal(x, v[1])).count();
              }),
          "index",
          Builtin.function("index", "/ self value start? stop?", CollectionMethods::index));

  private static final Builtin COPY = Builtin.function("copy", "/ self", (run, v) -> v[0]);

  private CollectionMethods() {}

  static Object dict(Object owner, String name) {
    return bound(DICT.get(name), owner);
  }

  static Object sequence(Object owner, String name) {
    if (owner instanceof List && name.equals("copy")) {
      return COPY.bind(owner);
    }
    if (owner instanceof Range r) {
      switch (name) {
        case "start" -> {
          return Numbers.normal(r.start());
        }
        case "stop" -> {
          return Numbers.normal(r.stop());
        }
        case "step" -> {
          return Numbers.normal(r.step());
        }
        default -> {
          // a method
        }
      }
    }
    if (owner instanceof Tuple t && t.group()) {
      int at = List.of("grouper", "list").indexOf(name);
      if (at >= 0) {
        return t.items().get(at);
      }
    }
    return bound(SEQUENCE.get(name), owner);
  }

  private static Object bound(Builtin method, Object owner) {
    return method == null ? Frame.MISSING : method.bind(owner);
  }

  private static Object index(Run run, Object[] v) {
    List<Object> items = Values.list(run, v[0]);
    run.scanned(8L * items.size());
    long from = v[2] == Frame.MISSING ? 0 : position(v[2], items.size());
    long to = v[3] == Frame.MISSING ? items.size() : position(v[3], items.size());
    for (long i = from; i < Math.min(to, items.size()); i++) {
      if (Values.equal(items.get((int) i), v[1])) {
        return i;
      }
    }
    throw Failure.value("%s is not in the sequence", Values.quoted(v[1]));
  }

  private static long position(Object index, int size) {
    long i = Arithmetic.longIndex(index);
    return i < 0 ? Math.max(0, Math.max(i, -size) + size) : i;
  }

  static Object number(Object owner, String name) {
    Object n = Numbers.plain(owner);
    boolean isFloat = n instanceof Double;
    Object result =
        switch (name) {
          case "real" -> n;
          case "imag" -> isFloat ? (Object) 0.0 : 0L;
          case "conjugate" -> method(name, n);
          case "as_integer_ratio" -> Builtin.function(name, "/", (run, v) -> ratio(n));
          default -> isFloat ? floating((Double) n, name) : integer(Numbers.big(n), name);
        };
    return result;
  }

  private static Object floating(double d, String name) {
    return name.equals("is_integer")
        ? method(name, d == Math.rint(d) && !Double.isInfinite(d))
        : Frame.MISSING;
  }

  private static Object integer(BigInteger n, String name) {
    return switch (name) {
      case "numerator" -> Numbers.normal(n);
      case "denominator" -> 1L;
      case "bit_length" -> method(name, (long) n.abs().bitLength());
      case "bit_count" -> method(name, (long) n.abs().bitCount());
      default -> Frame.MISSING;
    };
  }

  private static Builtin method(String name, Object result) {
    return Builtin.function(name, "/", (run, v) -> result);
  }

  private static Object ratio(Object n) {
    if (!(n instanceof Double d)) {
      return Tuple.of(n, 1L);
    }
    Numbers.integer(d); // refuses what is not finite
    BigDecimal exact = new BigDecimal(d);
    BigInteger below = BigInteger.TEN.pow(Math.max(0, exact.scale()));
    BigInteger above = exact.multiply(new BigDecimal(below)).toBigIntegerExact();
    BigInteger common = above.gcd(below);
    return Tuple.of(Numbers.normal(above.divide(common)), Numbers.normal(below.divide(common)));
  }
}
