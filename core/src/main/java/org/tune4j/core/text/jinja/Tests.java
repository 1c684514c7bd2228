package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.Markup;

/** The tests of Jinja, {@code value is test}. */
final class Tests {
  static final ImmutableMap<String, Builtin> ALL = all();

  private Tests() {}

  private static ImmutableMap<String, Builtin> all() {
    Map<String, Builtin> t = new HashMap<>();
    Builtin.add(t, "odd", "value", v -> Values.equal(Operators.binary("%", v[0], 2L), 1L));
    Builtin.add(t, "even", "value", v -> Values.equal(Operators.binary("%", v[0], 2L), 0L));
    Builtin.add(
        t, "divisibleby", "value num", v -> Values.equal(Operators.binary("%", v[0], v[1]), 0L));
    Builtin.add(t, "defined", "value", v -> !(v[0] instanceof Undefined));
    Builtin.add(t, "undefined", "value", v -> v[0] instanceof Undefined);
    Builtin.add(t, "filter", "value", v -> Filters.ALL.containsKey(Values.key(v[0])));
    Builtin.add(t, "test", "value", v -> Tests.ALL.containsKey(Values.key(v[0])));
    Builtin.add(t, "none", "value", v -> v[0] == null);
    Builtin.add(t, "boolean", "value", v -> v[0] instanceof Boolean);
    Builtin.add(t, "false", "value", v -> Boolean.FALSE.equals(v[0]));
    Builtin.add(t, "true", "value", v -> Boolean.TRUE.equals(v[0]));
    Builtin.add(t, "integer", "value", v -> Numbers.isInteger(v[0]) && !(v[0] instanceof Boolean));
    Builtin.add(t, "float", "value", v -> v[0] instanceof Double);
    Builtin.add(t, "lower", "value", v -> Text.isCase(Printing.str(v[0]), false));
    Builtin.add(t, "upper", "value", v -> Text.isCase(Printing.str(v[0]), true));
    Builtin.add(t, "string", "value", v -> Values.isText(v[0]));
    Builtin.add(t, "mapping", "value", v -> v[0] instanceof Map);
    Builtin.add(t, "number", "value", v -> Numbers.isNumber(v[0]));
    Builtin.add(t, "sequence", "value", v -> isSequence(v[0]));
    Builtin.add(t, "sameas", "value other", v -> isSame(v[0], v[1]));
    Builtin.add(t, "iterable", "value", v -> Values.iteratorOrNull(v[0]) != null);
    Builtin.add(
        t, "callable", "/ value", v -> v[0] instanceof Callable || v[0] instanceof Undefined);
    Builtin.add(t, "escaped", "value", v -> v[0] instanceof Markup);
    Builtin.add(t, "in", "value seq", v -> Values.contains(v[1], v[0]));
    comparison(t, "==", "==", "eq", "equalto");
    comparison(t, "!=", "!=", "ne");
    comparison(t, ">", ">", "gt", "greaterthan");
    comparison(t, ">=", ">=", "ge");
    comparison(t, "<", "<", "lt", "lessthan");
    comparison(t, "<=", "<=", "le");
    return ImmutableMap.copyOf(t);
  }

  private static void comparison(Map<String, Builtin> into, String operator, String... names) {
    for (String name : names) {
      Builtin.add(into, name, "/ a b", v -> Operators.compare(operator, v[0], v[1]));
    }
  }

  private static boolean isSequence(Object v) {
    return Values.isText(v) || v instanceof List || v instanceof Map || v instanceof Undefined;
  }

  /** Returns whether two values are the same object in Python, as far as that is reliable. */
  private static boolean isSame(Object a, Object b) {
    boolean plain = List.of(true, 0L, "", 0.0).stream().anyMatch(x -> x.getClass().isInstance(a));
    return a == b || (plain && a.equals(b));
  }
}
