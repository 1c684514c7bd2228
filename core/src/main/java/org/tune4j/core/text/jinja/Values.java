package org.tune4j.core.text.jinja;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Python's values and what holds of all of them. A value is null ({@code None}), a Boolean, a Long
 * or BigInteger, a Double, a String, a {@link Markup}, a List, a {@link Tuple}, a Map whose keys
 * are {@link #key}s, a {@link DictView}, a {@link Range}, a {@link Lazy} iterator, an {@link
 * Undefined}, or one of the interpreter's own objects. All but {@link Namespace}, cyclers and
 * joiners are immutable.
 */
final class Values {
  /** Deeper nesting of lists and maps is not compared or printed. */
  private static final int MAX_DEPTH = 300;

  /** Longest value in a message. */
  private static final int MAX_QUOTED = 200;

  private Values() {}

  /** A text that counts as escaped. */
  record Markup(String text) {
    @Override
    public String toString() {
      return text;
    }
  }

  /**
   * A tuple.
   *
   * @param group whether it is a group of {@code groupby}, whose items have names
   */
  record Tuple(List<Object> items, boolean group) {
    Tuple(List<Object> items) {
      this(items, false);
    }

    static Tuple of(Object... items) {
      return new Tuple(Collections.unmodifiableList(Arrays.asList(items)));
    }
  }

  /** The keys, values or items of a dict. */
  record DictView(String type, Map<?, ?> map) {
    Iterator<Object> iterator() {
      return switch (type) {
        case "dict_keys" -> keys(map);
        case "dict_values" -> Collections.<Object>unmodifiableCollection(map.values()).iterator();
        default ->
            mapped(map.entrySet().iterator(), e -> Tuple.of(unkey(e.getKey()), e.getValue()));
      };
    }
  }

  /** An iterator that is consumed by its first use, as a generator is. */
  record Lazy(String type, Iterator<Object> iterator) {}

  /** What a template can call. */
  interface Function1 {
    Object call(Run run, Arguments arguments);

    String typeName();
  }

  /** A dict's key other than a text, equal to every key that Python finds equal. */
  private record Key(Object value) {
    @Override
    public boolean equals(Object other) {
      return other instanceof Key k && Values.equal(value, k.value);
    }

    @Override
    public int hashCode() {
      return hash(value, 0);
    }
  }

  /** Returns a value as a dict has it for a key. */
  static Object key(Object value) {
    if (value instanceof String) {
      return value;
    }
    if (value instanceof Markup m) {
      return m.text;
    }
    hash(value, 0);
    return new Key(value);
  }

  static Object unkey(Object key) {
    return key instanceof Key k ? k.value : key;
  }

  static Iterator<Object> keys(Map<?, ?> map) {
    return mapped(map.keySet().iterator(), Values::unkey);
  }

  static <T> Iterator<Object> mapped(Iterator<T> from, Function<? super T, Object> function) {
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        return from.hasNext();
      }

      @Override
      public Object next() {
        return function.apply(from.next());
      }
    };
  }

  private static int hash(Object value, int depth) {
    checkDepth(depth);
    Run.visitCurrent();
    if (value instanceof List || value instanceof Map) {
      throw Failure.type("unhashable type: '%s'", typeName(value));
    }
    if (value instanceof Tuple t) {
      int hash = 1;
      for (Object item : t.items) {
        hash = 31 * hash + hash(item, depth + 1);
      }
      return hash;
    }
    if (Numbers.isNumber(value)) {
      return Numbers.hash(value);
    }
    if (isText(value)) {
      return text(value).hashCode();
    }
    return value == null || value instanceof Undefined ? 0 : System.identityHashCode(value);
  }

  static boolean isText(Object v) {
    return v instanceof String || v instanceof Markup;
  }

  /** Returns the text of a String or a Markup. */
  static String text(Object v) {
    return v.toString();
  }

  static boolean truth(Object v) {
    if (v == null || v instanceof Undefined) {
      return false;
    }
    if (v instanceof Boolean b) {
      return b;
    }
    if (v instanceof String s) {
      return !s.isEmpty();
    }
    if (v instanceof Long n) {
      return n != 0;
    }
    if (v instanceof Double d) {
      return d != 0;
    }
    Integer size = size(v);
    return size == null || size > 0;
  }

  /** Returns the length of what has one; null of other values. */
  static Integer size(Object v) {
    if (isText(v)) {
      return Text.length(text(v));
    }
    if (v instanceof Collection<?> c) {
      return c.size();
    }
    if (v instanceof Map<?, ?> m) {
      return m.size();
    }
    if (v instanceof Tuple t) {
      return t.items.size();
    }
    if (v instanceof DictView view) {
      return view.map.size();
    }
    if (v instanceof Range r) {
      return r.size();
    }
    if (v instanceof LoopContext loop) {
      return loop.length();
    }
    return v instanceof Undefined ? Integer.valueOf(0) : null;
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
    if (v instanceof List<?> list) {
      return Collections.<Object>unmodifiableList(list).iterator();
    }
    if (v instanceof Tuple t) {
      return t.items.iterator();
    }
    if (v instanceof Map<?, ?> map) {
      return keys(map);
    }
    if (v instanceof String s) {
      return characters(s);
    }
    if (v instanceof Markup m) {
      return characters(m.text); // plain ones, as in Python
    }
    if (v instanceof DictView view) {
      return view.iterator();
    }
    if (v instanceof Range r) {
      return r.iterator();
    }
    if (v instanceof Lazy lazy) {
      return lazy.iterator;
    }
    if (v instanceof LoopContext loop) {
      return loop.iterator();
    }
    return v instanceof Undefined ? Collections.emptyIterator() : null;
  }

  private static Iterator<Object> characters(String s) {
    return mapped(s.codePoints().iterator(), Character::toString);
  }

  static Iterator<Object> iterator(Object v) {
    Iterator<Object> iterator = iteratorOrNull(v);
    if (iterator == null) {
      throw Failure.type("'%s' object is not iterable", typeName(v));
    }
    return iterator;
  }

  /** Returns the elements of anything that can be iterated over. */
  static List<Object> list(Run run, Object v) {
    if (v instanceof List<?> list) {
      return Collections.unmodifiableList(list);
    }
    if (v instanceof Tuple t) {
      return t.items;
    }
    List<Object> all = new ArrayList<>();
    for (Iterator<Object> i = iterator(v); i.hasNext(); ) {
      all.add(i.next());
      run.step(); // also pays for the element
      run.checkSize(all.size());
    }
    return all;
  }

  /** Whether two values are equal, {@code ==}. */
  static boolean equal(Object a, Object b) {
    return equal(a, b, 0);
  }

  private static boolean equal(Object a, Object b, int depth) {
    checkDepth(depth);
    Run.visitCurrent();
    if (a == null || b == null) {
      return a == b;
    }
    if (Numbers.isNumber(a)) {
      Integer c = Numbers.isNumber(b) ? Numbers.compare(a, b) : null;
      return c != null && c == 0;
    }
    if (isText(a)) {
      return isText(b) && text(a).equals(text(b));
    }
    if (a instanceof List<?> x) {
      return b instanceof List<?> y && equalItems(x, y, depth);
    }
    if (a instanceof Tuple x) {
      return b instanceof Tuple y && equalItems(x.items, y.items, depth);
    }
    if (a instanceof Map<?, ?> x) {
      if (!(b instanceof Map<?, ?> y) || x.size() != y.size()) {
        return false;
      }
      for (Map.Entry<?, ?> e : x.entrySet()) {
        if (!y.containsKey(e.getKey()) || !same(e.getValue(), y.get(e.getKey()), depth + 1)) {
          return false;
        }
      }
      return true;
    }
    if (a instanceof Range x) {
      return b instanceof Range y && x.sameNumbers(y);
    }
    if (a instanceof DictView x && b instanceof DictView y && !x.type.equals("dict_values")) {
      return x.type.equals(y.type)
          && x.map.keySet().equals(y.map.keySet())
          && (x.type.equals("dict_keys") || equal(x.map, y.map, depth + 1));
    }
    return a == b || (a instanceof Undefined && b instanceof Undefined);
  }

  private static boolean equalItems(List<?> a, List<?> b, int depth) {
    if (a.size() != b.size()) {
      return false;
    }
    for (int i = 0; i < a.size(); i++) {
      if (!same(a.get(i), b.get(i), depth + 1)) {
        return false;
      }
    }
    return true;
  }

  /** Whether two values are the same object or equal, as containers compare. */
  private static boolean same(Object a, Object b, int depth) {
    return a == b || equal(a, b, depth);
  }

  /** Returns whether a value is in a container, {@code in}. */
  static boolean contains(Run run, Object container, Object v) {
    if (isText(container)) {
      if (!isText(v)) {
        throw Failure.type("'in <string>' requires string as left operand, not %s", typeName(v));
      }
      run.scanned(text(container).length());
      return text(container).contains(text(v));
    }
    if (container instanceof Map<?, ?> map) {
      return map.containsKey(key(v));
    }
    if (container instanceof DictView view && view.type.equals("dict_keys")) {
      return view.map.containsKey(key(v));
    }
    if (container instanceof Range range && Numbers.isInteger(v)) {
      return range.contains(Numbers.big(v));
    }
    Iterator<Object> items = iteratorOrNull(container);
    if (items == null) {
      throw Failure.type("argument of type '%s' is not iterable", typeName(container));
    }
    long count = 0;
    boolean found = false;
    while (!found && items.hasNext()) {
      found = same(items.next(), v, 0);
      count++;
    }
    run.scanned(8 * count);
    return found;
  }

  /**
   * Compares two values in order.
   *
   * @param operator for the message
   * @return a negative number, 0 or a positive one; null if there is a NaN
   */
  static Integer compare(Object a, Object b, String operator) {
    return compare(a, b, operator, 0);
  }

  private static Integer compare(Object a, Object b, String operator, int depth) {
    checkDepth(depth);
    Run.visitCurrent();
    if (a instanceof Undefined u) {
      throw u.failure();
    }
    if (b instanceof Undefined u) {
      throw u.failure();
    }
    if (Numbers.isNumber(a) && Numbers.isNumber(b)) {
      return Numbers.compare(a, b);
    }
    if (isText(a) && isText(b)) {
      return Text.compare(text(a), text(b));
    }
    List<?> x = a instanceof List<?> l && b instanceof List ? l : null;
    List<?> y = x == null ? null : (List<?>) b;
    if (a instanceof Tuple t && b instanceof Tuple u) {
      x = t.items;
      y = u.items;
    }
    if (x == null) {
      throw Failure.type(
          "'%s' not supported between instances of '%s' and '%s'",
          operator, typeName(a), typeName(b));
    }
    for (int i = 0; i < Math.min(x.size(), y.size()); i++) {
      if (!same(x.get(i), y.get(i), depth + 1)) {
        return compare(x.get(i), y.get(i), operator, depth + 1);
      }
    }
    return Integer.compare(x.size(), y.size());
  }

  /** Returns whether {@code a < b}. */
  static boolean less(Object a, Object b) {
    Integer c = compare(a, b, "<");
    return c != null && c < 0;
  }

  static String typeName(Object v) {
    if (v == null) {
      return "NoneType";
    }
    if (v instanceof Boolean) {
      return "bool";
    }
    if (v instanceof Long || v instanceof BigInteger) {
      return "int";
    }
    if (v instanceof Double) {
      return "float";
    }
    if (v instanceof String) {
      return "str";
    }
    if (v instanceof List) {
      return "list";
    }
    if (v instanceof Map) {
      return "dict";
    }
    if (v instanceof DictView view) {
      return view.type;
    }
    if (v instanceof Lazy lazy) {
      return lazy.type;
    }
    if (v instanceof Function1 f) {
      return f.typeName();
    }
    return v instanceof Tuple || v instanceof Range
        ? Text.lower(v.getClass().getSimpleName())
        : v.getClass().getSimpleName();
  }

  /** Returns a value as it is printed, {@code str(v)}. */
  static String str(Run run, Object v) {
    if (v instanceof String s) {
      return s;
    }
    if (v instanceof Markup m) {
      return m.text;
    }
    return v instanceof Undefined ? "" : repr(run, v);
  }

  /** Returns a value as it is printed within others, {@code repr(v)}. */
  static String repr(Run run, Object v) {
    StringBuilder out = new StringBuilder();
    repr(v, out, run, 0);
    run.made(out.length());
    return out.toString();
  }

  /** Returns the beginning of what a value prints as within others, for messages. */
  static String quoted(Object v) {
    StringBuilder out = new StringBuilder();
    repr(v, out, null, 0);
    if (out.length() > MAX_QUOTED) {
      out.setLength(MAX_QUOTED);
      out.append("...");
    }
    return out.toString();
  }

  private static void repr(Object v, StringBuilder out, Run run, int depth) {
    checkDepth(depth);
    if (run != null) {
      run.visit();
      run.checkSize(out.length());
    } else if (out.length() > MAX_QUOTED) {
      return;
    }
    if (v == null) {
      out.append("None");
    } else if (v instanceof Boolean b) {
      out.append(b ? "True" : "False");
    } else if (v instanceof BigInteger n) {
      out.append(Numbers.text(n));
    } else if (v instanceof Double d) {
      out.append(Numbers.text(d));
    } else if (v instanceof String s) {
      reprText(run == null && s.length() > MAX_QUOTED ? s.substring(0, MAX_QUOTED) : s, out);
    } else if (v instanceof Markup m) {
      out.append("Markup(");
      reprText(m.text, out);
      out.append(')');
    } else if (v instanceof List<?> list) {
      items(list.iterator(), "[", "]", out, run, depth);
    } else if (v instanceof Tuple t) {
      items(t.items.iterator(), "(", t.items.size() == 1 ? ",)" : ")", out, run, depth);
    } else if (v instanceof Map<?, ?> map) {
      reprMap(map, out, run, depth);
    } else if (v instanceof DictView view) {
      items(view.iterator(), view.type + "([", "])", out, run, depth);
    } else if (v instanceof Namespace ns) {
      out.append("<Namespace ");
      reprMap(ns.attributes, out, run, depth + 1);
      out.append('>');
    } else if (v instanceof Lazy lazy) {
      out.append('<').append(lazy.type).append(" object>");
    } else if (v instanceof Undefined) {
      out.append("Undefined");
    } else {
      out.append(v);
    }
  }

  private static void items(
      Iterator<?> items, String open, String close, StringBuilder out, Run run, int depth) {
    out.append(open);
    for (boolean first = true; items.hasNext() && !enough(out, run); first = false) {
      out.append(first ? "" : ", ");
      repr(items.next(), out, run, depth + 1);
    }
    out.append(close);
  }

  private static void reprMap(Map<?, ?> map, StringBuilder out, Run run, int depth) {
    out.append('{');
    boolean first = true;
    for (Map.Entry<?, ?> e : map.entrySet()) {
      if (enough(out, run)) {
        break;
      }
      out.append(first ? "" : ", ");
      first = false;
      repr(unkey(e.getKey()), out, run, depth + 1);
      out.append(": ");
      repr(e.getValue(), out, run, depth + 1);
    }
    out.append('}');
  }

  private static boolean enough(StringBuilder out, Run run) {
    return run == null && out.length() > MAX_QUOTED;
  }

  private static void reprText(String s, StringBuilder out) {
    char quote = s.indexOf('\'') >= 0 && s.indexOf('"') < 0 ? '"' : '\'';
    out.append(quote);
    for (int i = 0; i < s.length(); ) {
      int c = s.codePointAt(i);
      i += Character.charCount(c);
      switch (c) {
        case '\n' -> out.append("\\n");
        case '\t' -> out.append("\\t");
        case '\r' -> out.append("\\r");
        case '\\' -> out.append("\\\\");
        default -> {
          if (c == quote) {
            out.append('\\').append(quote);
          } else if (Text.isPrintable(c)) {
            out.appendCodePoint(c);
          } else {
            Text.escape(c, out);
          }
        }
      }
    }
    out.append(quote);
  }

  static void checkDepth(int depth) {
    if (depth > MAX_DEPTH) {
      throw Failure.limit("values are nested more than %d deep", MAX_DEPTH);
    }
  }
}
