package org.tune4j.core.text.jinja;

import com.google.common.collect.Iterators;
import java.math.BigInteger;
import java.util.AbstractCollection;
import java.util.AbstractList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * Python's values and the operations that all of them have. A value is null ({@code None}), a
 * Boolean, a Long or BigInteger, a Double, a String, a {@link Markup}, a List (also a {@link Tuple}
 * or a {@link Range}), a Map whose keys are {@link #key}s, a {@link DictView}, a {@link Lazy}
 * iterator, an {@link Undefined}, or one of the interpreter's own objects. All but {@link
 * Namespace} and cyclers are immutable.
 */
final class Values {
  /** Lists and maps that are nested more deeply are not compared or printed. */
  private static final int MAX_DEPTH = 300;

  private Values() {}

  /** A string that is considered escaped. */
  record Markup(String text) {
    @Override
    public String toString() {
      return text;
    }
  }

  static final class Tuple extends AbstractList<Object> {
    private final List<Object> items;

    /** Whether this is a group of {@code groupby}, whose items have names. */
    final boolean group;

    private Tuple(List<Object> items, boolean group) {
      this.items = items;
      this.group = group;
    }

    static Tuple of(Object... items) {
      return new Tuple(Arrays.asList(items), false);
    }

    static Tuple of(List<Object> items) {
      return new Tuple(items, false);
    }

    static Tuple group(Object grouper, List<Object> list) {
      return new Tuple(Arrays.asList(grouper, list), true);
    }

    @Override
    public Object get(int index) {
      return items.get(index);
    }

    @Override
    public int size() {
      return items.size();
    }
  }

  /** The keys, values or items of a dict. */
  static final class DictView extends AbstractCollection<Object> {
    final String type;
    private final Map<?, ?> map;

    DictView(String type, Map<?, ?> map) {
      this.type = type;
      this.map = map;
    }

    @Override
    public Iterator<Object> iterator() {
      return switch (type) {
        case "dict_keys" -> keys(map);
        case "dict_values" -> Iterators.transform(map.values().iterator(), v -> v);
        default ->
            Iterators.transform(
                map.entrySet().iterator(), e -> Tuple.of(unkey(e.getKey()), e.getValue()));
      };
    }

    @Override
    public int size() {
      return map.size();
    }
  }

  /** An iterator that is consumed by its first use, like a generator. */
  record Lazy(String type, Iterator<Object> iterator) {}

  /** An object whose attributes a template can set; they outlive the iteration of a loop. */
  record Namespace(Map<Object, Object> attributes) {}

  /** A dict key other than a string, with Python's equality. */
  private record Key(Object value) {
    @Override
    public boolean equals(Object other) {
      return other instanceof Key k && Values.equal(value, k.value, 0);
    }

    @Override
    public int hashCode() {
      return hash(value, 0);
    }
  }

  /** Returns the representation of a value as a dict key. */
  static Object key(Object value) {
    if (isText(value)) {
      return value.toString();
    }
    hash(value, 0); // rejects lists and dicts
    return new Key(value);
  }

  static Object unkey(Object key) {
    return key instanceof Key k ? k.value : key;
  }

  private static Iterator<Object> keys(Map<?, ?> map) {
    return Iterators.transform(map.keySet().iterator(), Values::unkey);
  }

  private static int hash(Object value, int depth) {
    visit(depth);
    if (Numbers.isNumber(value)) {
      return Numbers.hash(value);
    }
    if (value instanceof Tuple t) {
      return t.stream().mapToInt(i -> hash(i, depth + 1)).reduce(1, (a, b) -> 31 * a + b);
    }
    if (value instanceof List || value instanceof Map) {
      throw Failure.type("unhashable type: '%s'", typeName(value));
    }
    return isText(value) ? value.toString().hashCode() : Objects.hashCode(typeName(value));
  }

  /** Counts a part of a value that is compared or hashed. */
  private static void visit(int depth) {
    checkDepth(depth);
    Run.now().visit();
  }

  static void checkDepth(int depth) {
    if (depth > MAX_DEPTH) {
      throw Failure.limit("values are nested more than %d deep", MAX_DEPTH);
    }
  }

  static boolean isText(Object v) {
    return v instanceof String || v instanceof Markup;
  }

  static boolean truth(Object v) {
    if (v instanceof Boolean b) {
      return b;
    }
    if (v instanceof Number n) {
      return n.doubleValue() != 0;
    }
    if (v instanceof String s) {
      return !s.isEmpty();
    }
    Integer size = v == null ? Integer.valueOf(0) : size(v);
    return size == null || size > 0;
  }

  /** Returns the length of a value; null if it has none. */
  static Integer size(Object v) {
    if (v instanceof Collection<?> c) {
      return c.size();
    }
    if (v instanceof Map<?, ?> m) {
      return m.size();
    }
    return isText(v)
        ? Integer.valueOf(Text.length(v.toString()))
        : v instanceof Undefined ? Integer.valueOf(0) : null;
  }

  static int length(Object v) {
    Integer size = size(v);
    if (size == null) {
      throw Failure.type("object of type '%s' has no len()", typeName(v));
    }
    return size;
  }

  /** Returns an iterator over a value; null if there is none. */
  static Iterator<Object> iteratorOrNull(Object v) {
    if (v instanceof Collection<?> c) {
      return Iterators.transform(c.iterator(), x -> x);
    }
    if (v instanceof Map<?, ?> map) {
      return keys(map);
    }
    if (isText(v)) {
      return Iterators.transform(v.toString().codePoints().iterator(), Character::toString);
    }
    return v instanceof Lazy lazy
        ? lazy.iterator
        : v instanceof Undefined ? Collections.emptyIterator() : null;
  }

  static Iterator<Object> iterator(Object v) {
    Iterator<Object> iterator = iteratorOrNull(v);
    if (iterator == null) {
      throw Failure.type("'%s' object is not iterable", typeName(v));
    }
    return iterator;
  }

  /** Returns the elements of an iterable. */
  static List<Object> list(Object v) {
    if (v instanceof List<?> l) {
      return Collections.unmodifiableList(l);
    }
    List<Object> all = new ArrayList<>();
    for (Iterator<Object> i = iterator(v); i.hasNext(); ) {
      all.add(i.next());
      Run.now().step(); // also pays for the element
      Run.now().checkSize(all.size());
    }
    return all;
  }

  /** Returns {@code a == b}. */
  static boolean equal(Object a, Object b) {
    return equal(a, b, 0);
  }

  private static boolean equal(Object a, Object b, int depth) {
    visit(depth);
    if (Numbers.isNumber(a) && Numbers.isNumber(b)) {
      Integer c = Numbers.compare(a, b);
      return c != null && c == 0;
    }
    if (isText(a) && isText(b)) {
      return a.toString().equals(b.toString());
    }
    if (a instanceof List<?> x && b instanceof List<?> y) {
      boolean sameType = typeName(a).equals(typeName(b));
      return sameType && x.size() == y.size() && difference(x, y, depth) < 0;
    }
    if (a instanceof Map<?, ?> x && b instanceof Map<?, ?> y) {
      return x.size() == y.size()
          && x.keySet().stream()
              .allMatch(k -> y.containsKey(k) && same(x.get(k), y.get(k), depth + 1));
    }
    if (a != b && a instanceof DictView && b instanceof DictView) {
      throw Failure.unsupported("to compare views of dicts");
    }
    return a == b || (a instanceof Undefined && b instanceof Undefined);
  }

  /** Returns the first index at which two lists differ; -1 if one is a prefix of the other. */
  private static int difference(List<?> a, List<?> b, int depth) {
    for (int i = 0; i < Math.min(a.size(), b.size()); i++) {
      if (!same(a.get(i), b.get(i), depth + 1)) {
        return i;
      }
    }
    return -1;
  }

  /** Returns whether two values are identical or equal, which is how containers compare. */
  private static boolean same(Object a, Object b, int depth) {
    return a == b || equal(a, b, depth);
  }

  /** Returns {@code v in container}. */
  static boolean contains(Object container, Object v) {
    if (isText(container)) {
      if (!isText(v)) {
        throw Failure.type("'in <string>' requires string as left operand, not %s", typeName(v));
      }
      Run.now().scanned(container.toString().length());
      return container.toString().contains(v.toString());
    }
    if (container instanceof Map<?, ?> map) {
      return map.containsKey(key(v));
    }
    if (container instanceof DictView view && view.type.equals("dict_keys")) {
      return view.map.containsKey(key(v));
    }
    long count = 0;
    boolean found = false;
    for (Iterator<Object> items = iterator(container); !found && items.hasNext(); count++) {
      found = same(items.next(), v, 0);
    }
    Run.now().scanned(8 * count);
    return found;
  }

  /**
   * Compares the order of two values.
   *
   * @param operator for the message
   * @return a negative number, 0 or a positive one; null if one is NaN
   */
  static Integer compare(Object a, Object b, String operator) {
    return compare(a, b, operator, 0);
  }

  private static Integer compare(Object a, Object b, String operator, int depth) {
    visit(depth);
    defined(a);
    defined(b);
    if (Numbers.isNumber(a) && Numbers.isNumber(b)) {
      return Numbers.compare(a, b);
    }
    if (isText(a) && isText(b)) {
      return Text.compare(a.toString(), b.toString());
    }
    boolean same = typeName(a).equals(typeName(b)) && !(a instanceof Range);
    if (!same || !(a instanceof List<?> x) || !(b instanceof List<?> y)) {
      throw Failure.type(
          "'%s' not supported between instances of '%s' and '%s'",
          operator, typeName(a), typeName(b));
    }
    int at = difference(x, y, depth);
    return at < 0
        ? Integer.valueOf(Integer.compare(x.size(), y.size()))
        : compare(x.get(at), y.get(at), operator, depth + 1);
  }

  /** Compares two values to sort them. */
  static int order(Object a, Object b) {
    Run.now().step();
    Integer c = compare(a, b, "<");
    if (c == null) {
      throw Failure.unsupported("to sort NaN");
    }
    return c;
  }

  /** Returns a value after checking that it is not undefined. */
  static Object defined(Object v) {
    if (v instanceof Undefined u) {
      throw u.failure();
    }
    return v;
  }

  static String typeName(Object v) {
    if (v == null) {
      return "NoneType";
    }
    if (v instanceof Long || v instanceof BigInteger) {
      return "int";
    }
    if (v instanceof DictView view) {
      return view.type;
    }
    if (v instanceof Lazy lazy) {
      return lazy.type;
    }
    if (v instanceof Callable c) {
      return c.typeName();
    }
    String name = v.getClass().getSimpleName();
    return switch (name) {
      case "Boolean" -> "bool";
      case "Double" -> "float";
      case "String" -> "str";
      case "Tuple", "Range" -> Text.lower(name);
      default -> v instanceof List ? "list" : v instanceof Map ? "dict" : name;
    };
  }
}
