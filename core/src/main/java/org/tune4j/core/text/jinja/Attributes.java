package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.DictView;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Namespace;
import org.tune4j.core.text.jinja.Values.Tuple;

/**
 * Evaluates {@code a.b}, {@code a[b]} and {@code a[b:c]}: attributes of Python's types as far as
 * the immutable sandbox allows, items and slices.
 */
final class Attributes {
  /** Placeholder for methods that change an object, which the sandbox forbids. */
  private static final Builtin MUTATOR = Builtin.function("mutator", "", v -> v);

  /** Attributes of Python's types that are not supported; for numbers, those of any number type. */
  private static final String UNSUPPORTED =
      " dict.fromkeys range.start range.stop range.step dict_keys.isdisjoint dict_items.isdisjoint"
          + " number.real number.imag number.conjugate number.as_integer_ratio number.is_integer"
          + " number.hex number.numerator number.denominator number.bit_length number.bit_count ";

  private static final ImmutableMap<String, Builtin> DICT = dict();
  private static final ImmutableMap<String, Builtin> SEQUENCE = sequence();
  private static final ImmutableMap<String, Builtin> LIST = list();

  private Attributes() {}

  private static ImmutableMap<String, Builtin> dict() {
    Map<String, Builtin> d = new HashMap<>();
    Builtin.add(d, "get", "/ self key default?", Attributes::dictGet);
    for (String name : List.of("items", "keys", "values")) {
      Builtin.add(d, name, "/ self", v -> new DictView("dict_" + name, (Map<?, ?>) v[0]));
    }
    Builtin.add(d, "copy", "/ self", v -> v[0]);
    List.of("clear", "pop", "popitem", "setdefault", "update").forEach(n -> d.put(n, MUTATOR));
    return ImmutableMap.copyOf(d);
  }

  private static Object dictGet(Object[] v) {
    Map<?, ?> map = (Map<?, ?>) v[0];
    Object key = Values.key(v[1]);
    return map.containsKey(key) ? map.get(key) : Builtin.absent(v[2], null);
  }

  private static ImmutableMap<String, Builtin> sequence() {
    Map<String, Builtin> s = new HashMap<>();
    Builtin.add(
        s,
        "count",
        "/ self value",
        v -> Values.list(v[0]).stream().filter(x -> Values.equal(x, v[1])).count());
    Builtin.add(s, "index", "/ self value", v -> index(Values.list(v[0]), v[1]));
    return ImmutableMap.copyOf(s);
  }

  private static ImmutableMap<String, Builtin> list() {
    Map<String, Builtin> l = new HashMap<>(SEQUENCE);
    Builtin.add(l, "copy", "/ self", v -> v[0]);
    List.of("append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove")
        .forEach(n -> l.put(n, MUTATOR));
    return ImmutableMap.copyOf(l);
  }

  private static Object index(List<Object> items, Object value) {
    for (int i = 0; i < items.size(); i++) {
      if (Values.equal(items.get(i), value)) {
        return (long) i;
      }
    }
    throw Failure.value("%s is not in the sequence", Printing.quoted(value));
  }

  /** Returns {@code owner.name}: the attribute, or else the item. */
  static Object get(Object owner, String name) {
    Object value = attribute(Values.defined(owner), name);
    value = value == Scope.MISSING ? itemOrMissing(owner, name) : value;
    return value == Scope.MISSING ? absent(owner, name) : value;
  }

  /** Returns {@code owner[key]}: the item, or else the attribute. */
  static Object item(Object owner, Object key) {
    Object value = itemOrMissing(Values.defined(owner), key);
    if (value == Scope.MISSING && Values.isText(key)) {
      value = attribute(owner, key.toString());
    }
    return value == Scope.MISSING ? absent(owner, key) : value;
  }

  private static Undefined absent(Object owner, Object key) {
    String kind = Numbers.isNumber(owner) ? "number" : Values.typeName(owner);
    if (key instanceof String name && UNSUPPORTED.contains(" " + kind + "." + name + " ")) {
      throw Failure.unsupported("%s.%s", Values.typeName(owner), name);
    }
    return Undefined.element(owner, key);
  }

  private static Object itemOrMissing(Object owner, Object key) {
    if (owner instanceof Map<?, ?> map) {
      if ((key instanceof List && !(key instanceof Tuple)) || key instanceof Map) {
        return Scope.MISSING; // unhashable, so not a key
      }
      Object k = Values.key(key);
      Object item = map.get(k);
      return item != null || map.containsKey(k) ? item : Scope.MISSING;
    }
    if (!Numbers.isInteger(key) || !(owner instanceof List || Values.isText(owner))) {
      return Scope.MISSING;
    }
    int size = Values.length(owner);
    long index = Numbers.index(key);
    int at = (int) Math.max(-1, Math.min(size, index < 0 ? index + size : index));
    if (at < 0 || at >= size) {
      return Scope.MISSING;
    }
    return owner instanceof List<?> l ? l.get(at) : part(owner, at, 1, 1);
  }

  /** Returns an attribute; {@link Scope#MISSING} if there is none. */
  static Object attribute(Object owner, String name) {
    if (owner instanceof Namespace ns && !name.startsWith("_")) {
      return ns.attributes().containsKey(name) ? ns.attributes().get(name) : Scope.MISSING;
    }
    boolean internal = name.startsWith("__") && name.endsWith("__");
    if (internal && owner instanceof Map<?, ?> map && map.containsKey(name)) {
      throw Failure.unsupported("the key '%s'", name);
    }
    if (internal) {
      return Undefined.unsafe(owner, name);
    }
    if (owner instanceof Owner o) {
      return o.attribute(name);
    }
    if (owner instanceof Tuple t && t.group && List.of("grouper", "list").contains(name)) {
      return t.get(name.equals("grouper") ? 0 : 1);
    }
    Builtin method = methods(owner).get(name);
    if (method == MUTATOR) {
      return Undefined.unsafe(owner, name);
    }
    return method == null ? Scope.MISSING : method.bind(owner);
  }

  private static ImmutableMap<String, Builtin> methods(Object owner) {
    if (owner instanceof Map) {
      return DICT;
    }
    if (Values.isText(owner)) {
      return StringMethods.ALL;
    }
    boolean fixed = owner instanceof Tuple || owner instanceof Range;
    return fixed ? SEQUENCE : owner instanceof List ? LIST : ImmutableMap.of();
  }

  /** An object of the interpreter with attributes. */
  interface Owner {
    /** Returns an attribute; {@link Scope#MISSING} if there is none. */
    Object attribute(String name);
  }

  /** Returns {@code owner[start:stop:step]}; each may be null. */
  static Object slice(Object owner, Object start, Object stop, Object step) {
    if (!(Values.defined(owner) instanceof List) && !Values.isText(owner)) {
      throw Failure.type("'%s' object has no slices", Values.typeName(owner));
    }
    int size = Values.length(owner);
    long by = step == null ? 1 : Numbers.index(step);
    if (by == 0) {
      throw Failure.value("slice step cannot be zero");
    }
    long lowest = by > 0 ? 0 : -1;
    long highest = by > 0 ? size : size - 1L;
    long from = start == null ? (by > 0 ? lowest : highest) : bound(start, size, lowest, highest);
    long to = stop == null ? (by > 0 ? highest : lowest) : bound(stop, size, lowest, highest);
    long span = by > 0 ? to - from : from - to;
    int count = span <= 0 ? 0 : (int) ((span - 1) / Math.abs(by) + 1);
    return owner instanceof Range range
        ? range.slice(from, to, by, count)
        : part(owner, from, by, count);
  }

  private static long bound(Object index, int size, long lowest, long highest) {
    long i = Numbers.index(index);
    return Math.max(lowest, Math.min(highest, i < 0 ? Math.max(i, -size - 1L) + size : i));
  }

  /** Returns {@code count} items or characters, from an index on with a step. */
  private static Object part(Object owner, long from, long by, int count) {
    if (owner instanceof List<?> items) {
      Run.now().madeElements(count, count);
      List<Object> part = new ArrayList<>(count);
      for (int i = 0; i < count; i++) {
        part.add(items.get((int) (from + i * by)));
      }
      return owner instanceof Tuple ? Tuple.of(part) : part;
    }
    String s = owner.toString();
    Run.now().scanned(s.length());
    Run.now().made(count);
    String part;
    if (by == 1 || count == 0) {
      part = Text.slice(s, (int) from, (int) from + count);
    } else {
      int[] points = s.codePoints().toArray();
      StringBuilder out = new StringBuilder(count);
      for (int i = 0; i < count; i++) {
        out.appendCodePoint(points[(int) (from + i * by)]);
      }
      part = out.toString();
    }
    return owner instanceof Markup ? new Markup(part) : part;
  }
}
