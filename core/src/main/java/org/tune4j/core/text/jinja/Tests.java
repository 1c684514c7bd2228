package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/** The tests of Jinja, {@code value is test}. */
final class Tests {
  static final ImmutableMap<String, Builtin> ALL = all();

  private Tests() {}

  private static ImmutableMap<String, Builtin> all() {
    Map<String, Builtin> t = new HashMap<>();
    add(t, "odd", "value", (run, v) -> Values.equal(remainder(run, v[0], 2L), 1L));
    add(t, "even", "value", (run, v) -> Values.equal(remainder(run, v[0], 2L), 0L));
    add(t, "divisibleby", "value num", (run, v) -> Values.equal(remainder(run, v[0], v[1]), 0L));
    add(t, "defined", "value", (run, v) -> !(v[0] instanceof Undefined));
    add(t, "undefined", "value", (run, v) -> v[0] instanceof Undefined);
    add(t, "filter", "value", (run, v) -> named(Filters.ALL, v[0]));
    add(t, "test", "value", (run, v) -> named(Tests.ALL, v[0]));
    add(t, "none", "value", (run, v) -> v[0] == null);
    add(t, "boolean", "value", (run, v) -> v[0] instanceof Boolean);
    add(t, "false", "value", (run, v) -> Boolean.FALSE.equals(v[0]));
    add(t, "true", "value", (run, v) -> Boolean.TRUE.equals(v[0]));
    add(t, "integer", "value", (run, v) -> Numbers.isInteger(v[0]) && !(v[0] instanceof Boolean));
    add(t, "float", "value", (run, v) -> v[0] instanceof Double);
    add(t, "lower", "value", (run, v) -> StringMethods.isCase(Values.str(run, v[0]), false));
    add(t, "upper", "value", (run, v) -> StringMethods.isCase(Values.str(run, v[0]), true));
    add(t, "string", "value", (run, v) -> Values.isText(v[0]));
    add(t, "mapping", "value", (run, v) -> v[0] instanceof Map);
    add(t, "number", "value", (run, v) -> Numbers.isNumber(v[0]));
    add(t, "sequence", "value", (run, v) -> isSequence(v[0]));
    add(t, "sameas", "value other", (run, v) -> isSame(v[0], v[1]));
    add(t, "iterable", "value", (run, v) -> Values.iteratorOrNull(v[0]) != null);
    add(
        t,
        "callable",
        "/ value",
        (run, v) -> v[0] instanceof Values.Function1 || v[0] instanceof Undefined);
    add(t, "escaped", "value", (run, v) -> v[0] instanceof Markup);
    add(t, "in", "value seq", (run, v) -> Values.contains(run, v[1], v[0]));
    comparison(t, "==", "==", "eq", "equalto");
    comparison(t, "!=", "!=", "ne");
    comparison(t, ">", ">", "gt", "greaterthan");
    comparison(t, ">=", ">=", "ge");
    comparison(t, "<", "<", "lt", "lessthan");
    comparison(t, "<=", "<=", "le");
    return ImmutableMap.copyOf(t);
  }

  private static void add(
      Map<String, Builtin> into, String name, String signature, Builtin.Body body) {
    into.put(name, Builtin.function(name, signature, body));
  }

  private static void comparison(Map<String, Builtin> into, String operator, String... names) {
    for (String name : names) {
      add(into, name, "/ a b", (run, v) -> Arithmetic.compare(run, operator, v[0], v[1]));
    }
  }

  private static Object remainder(Run run, Object a, Object b) {
    return Arithmetic.binary(run, "%", a, b);
  }

  private static boolean named(Map<String, Builtin> all, Object name) {
    Object key = Values.key(name); // refuses what cannot be a key
    return key instanceof String s && all.containsKey(s);
  }

  private static boolean isSequence(Object v) {
    return Values.isText(v)
        || v instanceof List
        || v instanceof Tuple
        || v instanceof Range
        || v instanceof Map
        || v instanceof Undefined;
  }

  /** Whether two values are one object in Python, as far as that can be relied on. */
  private static boolean isSame(Object a, Object b) {
    if (a == b) {
      return true;
    }
    boolean plain = a instanceof Boolean || a instanceof Long || a instanceof String;
    return (plain || a instanceof Double) && a.equals(b);
  }
}
