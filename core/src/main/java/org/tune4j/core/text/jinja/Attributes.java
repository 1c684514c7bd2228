package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableSet;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/**
 * What {@code a.b}, {@code a[b]} and {@code a[b:c]} give: attributes of Python's types as far as
 * the immutable sandbox allows them, items, and parts.
 */
final class Attributes {
  private static final ImmutableSet<String> LIST_MUTATORS =
      ImmutableSet.of("append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove");
  private static final ImmutableSet<String> DICT_MUTATORS =
      ImmutableSet.of("clear", "pop", "popitem", "setdefault", "update");

  /** Attributes that objects of Python have and that the sandbox forbids. */
  private static final ImmutableSet<String> OF_EVERY_OBJECT =
      ImmutableSet.of(
          "__class__",
          "__delattr__",
          "__dir__",
          "__doc__",
          "__eq__",
          "__format__",
          "__ge__",
          "__getattribute__",
          "__getstate__",
          "__gt__",
          "__hash__",
          "__init__",
          "__init_subclass__",
          "__le__",
          "__lt__",
          "__ne__",
          "__new__",
          "__reduce__",
          "__reduce_ex__",
          "__repr__",
          "__setattr__",
          "__sizeof__",
          "__str__",
          "__subclasshook__");

  private static final ImmutableSet<String> OF_FUNCTIONS =
      ImmutableSet.of(
          "__annotations__",
          "__builtins__",
          "__call__",
          "__closure__",
          "__code__",
          "__defaults__",
          "__dict__",
          "__func__",
          "__get__",
          "__globals__",
          "__kwdefaults__",
          "__module__",
          "__name__",
          "__qualname__",
          "__self__");

  private static final ImmutableSet<String> OF_CONTAINERS =
      ImmutableSet.of(
          "__add__",
          "__class_getitem__",
          "__contains__",
          "__getitem__",
          "__iter__",
          "__len__",
          "__mul__",
          "__reversed__",
          "__rmul__");

  private static final ImmutableSet<String> OF_NUMBERS =
      ImmutableSet.of(
          "__abs__",
          "__add__",
          "__bool__",
          "__float__",
          "__index__",
          "__int__",
          "__mul__",
          "__neg__",
          "__pow__",
          "__round__",
          "__sub__",
          "__truediv__");

  private static final ImmutableSet<String> OF_INTERPRETER =
      ImmutableSet.of(
          "_after",
          "_argument_count",
          "_before",
          "_current",
          "_default_autoescape",
          "_environment",
          "_func",
          "_invoke",
          "_iterable",
          "_iterator",
          "_last_changed_value",
          "_length",
          "_peek_next",
          "_recurse",
          "_to_iterator",
          "_undefined");

  private Attributes() {}

  /** Returns {@code owner.name}: the attribute, else the item. */
  static Object get(Run run, Object owner, String name) {
    if (owner instanceof Undefined u) {
      if (OF_EVERY_OBJECT.contains(name)) {
        return Undefined.unsafe(owner, name);
      }
      throw u.failure();
    }
    Object attribute = attribute(owner, name);
    if (attribute != Frame.MISSING) {
      return attribute;
    }
    if (owner instanceof Map<?, ?> map) {
      Object item = map.get(name);
      if (item != null || map.containsKey(name)) {
        return item;
      }
    }
    return Undefined.element(owner, name);
  }

  /** Returns {@code owner[key]}: the item, else the attribute. */
  static Object item(Run run, Object owner, Object key) {
    if (owner instanceof Undefined u) {
      throw u.failure();
    }
    Object item = itemOrMissing(run, owner, key);
    if (item == Frame.MISSING && Values.isText(key)) {
      item = attribute(owner, Values.text(key));
    }
    return item == Frame.MISSING ? Undefined.element(owner, key) : item;
  }

  private static Object itemOrMissing(Run run, Object owner, Object key) {
    if (owner instanceof Map<?, ?> map) {
      if (key instanceof List || key instanceof Map) {
        return Frame.MISSING; // cannot be a key
      }
      Object k = Values.key(key);
      Object item = map.get(k);
      return item != null || map.containsKey(k) ? item : Frame.MISSING;
    }
    if (!Numbers.isInteger(key) || key instanceof BigInteger) {
      return Frame.MISSING;
    }
    long index = (Long) Numbers.plain(key);
    if (Values.isText(owner)) {
      return character(run, owner, index);
    }
    List<?> items = owner instanceof List<?> l ? l : owner instanceof Tuple t ? t.items() : null;
    int size = items != null ? items.size() : owner instanceof Range r ? r.size() : 0;
    long at = index < 0 ? index + size : index;
    if (at < 0 || at >= size) {
      return Frame.MISSING;
    }
    return items != null ? items.get((int) at) : ((Range) owner).get((int) at);
  }

  private static Object character(Run run, Object owner, long index) {
    String s = Values.text(owner);
    run.scanned(s.length());
    int size = Text.length(s);
    long at = index < 0 ? index + size : index;
    if (at < 0 || at >= size) {
      return Frame.MISSING;
    }
    String c = Text.slice(s, (int) at, (int) at + 1);
    return owner instanceof Markup ? new Markup(c) : c;
  }

  /** Returns an attribute; {@link Frame#MISSING} if there is none of that name. */
  static Object attribute(Object owner, String name) {
    if (owner instanceof Namespace ns) {
      if (name.equals("__class__")) {
        return Undefined.unsafe(owner, name);
      }
      Object value = ns.attributes.get(name);
      if (value == null && !ns.attributes.containsKey(name)) {
        return Frame.MISSING;
      }
      return name.startsWith("_") ? Undefined.unsafe(owner, name) : value;
    }
    if (name.startsWith("_")) {
      return hasHidden(owner, name) ? Undefined.unsafe(owner, name) : Frame.MISSING;
    }
    if (Values.isText(owner)) {
      return StringMethods.attribute(owner, name);
    }
    if (owner instanceof Map) {
      return DICT_MUTATORS.contains(name)
          ? Undefined.unsafe(owner, name)
          : CollectionMethods.dict(owner, name);
    }
    if (owner instanceof List) {
      return LIST_MUTATORS.contains(name)
          ? Undefined.unsafe(owner, name)
          : CollectionMethods.sequence(owner, name);
    }
    if (owner instanceof Tuple || owner instanceof Range) {
      return CollectionMethods.sequence(owner, name);
    }
    if (Numbers.isNumber(owner)) {
      return CollectionMethods.number(owner, name);
    }
    if (owner instanceof LoopContext loop) {
      return loop.attribute(name);
    }
    if (owner instanceof Macro macro) {
      return macro.attribute(name);
    }
    if (owner instanceof Statement.Blocks blocks) {
      return blocks.attribute(name);
    }
    if (owner instanceof Globals.Cycler cycler) {
      return cycler.attribute(name);
    }
    if (owner instanceof Globals.Joiner joiner) {
      return joiner.attribute(name);
    }
    return Frame.MISSING;
  }

  /** Whether an object of Python has an attribute that begins with an underscore. */
  private static boolean hasHidden(Object owner, String name) {
    if (OF_EVERY_OBJECT.contains(name)) {
      return true;
    }
    if (owner instanceof Values.Function1) {
      return OF_FUNCTIONS.contains(name) || OF_INTERPRETER.contains(name);
    }
    return Numbers.isNumber(owner)
        ? OF_NUMBERS.contains(name)
        : owner != null && OF_CONTAINERS.contains(name);
  }

  /** Returns {@code owner[start:stop:step]}; each may be null. */
  static Object slice(Run run, Object owner, Object start, Object stop, Object step) {
    if (owner instanceof Undefined u) {
      throw u.failure();
    }
    boolean sequence = owner instanceof List || owner instanceof Tuple || owner instanceof Range;
    if (!sequence && !Values.isText(owner)) {
      throw owner instanceof Map
          ? Failure.type("unhashable type: 'slice'")
          : Failure.type("'%s' object is not subscriptable", Values.typeName(owner));
    }
    for (Object index : new Object[] {start, stop, step}) {
      if (index != null && !Numbers.isInteger(index)) {
        throw Failure.type("slice indices must be integers or None or have an __index__ method");
      }
    }
    int size = Values.length(owner);
    long by = step == null ? 1 : Arithmetic.longIndex(step);
    if (by == 0) {
      throw Failure.value("slice step cannot be zero");
    }
    long lowest = by > 0 ? 0 : -1;
    long highest = by > 0 ? size : size - 1L;
    long from = start == null ? (by > 0 ? lowest : highest) : bound(start, size, lowest, highest);
    long to = stop == null ? (by > 0 ? highest : lowest) : bound(stop, size, lowest, highest);
    long span = by > 0 ? to - from : from - to;
    int count = span <= 0 ? 0 : (int) ((span - 1) / Math.abs(by) + 1);
    if (owner instanceof Range range) {
      return range.slice(from, to, by, count);
    }
    if (Values.isText(owner)) {
      String part = part(run, Values.text(owner), from, by, count);
      return owner instanceof Markup ? new Markup(part) : part;
    }
    List<Object> items = Values.list(run, owner);
    List<Object> part;
    if (by == 1) {
      part = items.subList((int) (count == 0 ? 0 : from), (int) (count == 0 ? 0 : from + count));
    } else {
      run.madeElements(count, count);
      part = new ArrayList<>(count);
      for (int i = 0; i < count; i++) {
        part.add(items.get((int) (from + i * by)));
      }
    }
    return owner instanceof Tuple ? new Tuple(part) : part;
  }

  private static long bound(Object index, int size, long lowest, long highest) {
    long i = Arithmetic.longIndex(index);
    return Math.max(lowest, Math.min(highest, i < 0 ? Math.max(i, -size - 1L) + size : i));
  }

  private static String part(Run run, String s, long from, long by, int count) {
    run.scanned(s.length());
    if (count == 0) {
      return "";
    }
    run.made(count);
    if (by == 1) {
      return Text.slice(s, (int) from, (int) from + count);
    }
    int[] points = s.codePoints().toArray();
    StringBuilder out = new StringBuilder(count);
    for (int i = 0; i < count; i++) {
      out.appendCodePoint(points[(int) (from + i * by)]);
    }
    return out.toString();
  }
}
