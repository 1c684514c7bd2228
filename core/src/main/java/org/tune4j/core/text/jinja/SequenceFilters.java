package org.tune4j.core.text.jinja;

import com.google.common.collect.Iterators;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.tune4j.core.text.jinja.Values.DictView;
import org.tune4j.core.text.jinja.Values.Lazy;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/** The filters on what can be iterated over. */
final class SequenceFilters {
  /** Bytes of a generator, about. */
  private static final int GENERATOR = 300;

  private SequenceFilters() {}

  static void addTo(Map<String, Builtin> f) {
    Filters.add(f, "batch", "value linecount fill_with?", SequenceFilters::batch);
    Filters.add(f, "dictsort", "value case_sensitive? by? reverse?", SequenceFilters::dictSort);
    Filters.add(f, "first", "seq", (run, v) -> first(v[0]));
    Filters.add(f, "groupby", "value attribute default? case_sensitive?", SequenceFilters::groupBy);
    Filters.add(f, "items", "value", (run, v) -> items(v[0]));
    Filters.add(f, "join", "value d? attribute?", SequenceFilters::join);
    Filters.add(f, "last", "seq", (run, v) -> last(v[0]));
    Filters.add(f, "list", "value", (run, v) -> Values.list(run, v[0]));
    f.put("map", Builtin.free("map", SequenceFilters::map));
    Filters.add(f, "max", "value case_sensitive? attribute?", (run, v) -> extreme(run, v, true));
    Filters.add(f, "min", "value case_sensitive? attribute?", (run, v) -> extreme(run, v, false));
    Filters.add(f, "random", "seq", (run, v) -> random(run, v[0]));
    f.put("reject", Builtin.free("reject", (run, a) -> select(run, a, false, false)));
    f.put("rejectattr", Builtin.free("rejectattr", (run, a) -> select(run, a, true, false)));
    Filters.add(f, "reverse", "value", (run, v) -> reverse(run, v[0]));
    f.put("select", Builtin.free("select", (run, a) -> select(run, a, false, true)));
    f.put("selectattr", Builtin.free("selectattr", (run, a) -> select(run, a, true, true)));
    Filters.add(f, "slice", "value slices fill_with?", SequenceFilters::slice);
    Filters.add(f, "sort", "value reverse? case_sensitive? attribute?", SequenceFilters::sort);
    Filters.add(f, "sum", "iterable attribute? start?", SequenceFilters::sum);
    Filters.add(f, "unique", "value case_sensitive? attribute?", SequenceFilters::unique);
  }

  /** An iterator that makes its elements when they are asked for, as a generator of Python does. */
  private abstract static class Generator implements Iterator<Object> {
    private Object next = Frame.MISSING;
    private boolean done;

    /** Returns the next element; {@link Frame#MISSING} at the end. */
    abstract Object produce();

    @Override
    public final boolean hasNext() {
      if (next == Frame.MISSING && !done) {
        boolean failed = true;
        try {
          next = produce();
          failed = false;
        } finally {
          done = failed || next == Frame.MISSING;
        }
      }
      return next != Frame.MISSING;
    }

    @Override
    public final Object next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      Object result = next;
      next = Frame.MISSING;
      return result;
    }
  }

  /** Returns a generator over another iterable, both begun when the first element is asked for. */
  private static Lazy generator(
      Run run, Supplier<Iterator<Object>> source, Function<Iterator<Object>, Object> produce) {
    run.made(GENERATOR);
    return new Lazy(
        "generator",
        new Generator() {
          private Iterator<Object> items;

          @Override
          Object produce() {
            if (items == null) {
              items = source.get();
            }
            run.step();
            return produce.apply(items);
          }
        });
  }

  /** Returns what looks up an attribute's path, such as {@code a.b.0}. */
  private static Function<Object, Object> getter(
      Run run, Object attribute, Object defaultValue, boolean ignoreCase) {
    List<Object> parts = parts(attribute);
    return item -> {
      Object v = item;
      for (Object part : parts) {
        v = Attributes.item(run, v, part);
        if (defaultValue != null && v instanceof Undefined) {
          v = defaultValue;
        }
      }
      return ignoreCase ? lowered(v) : v;
    };
  }

  private static List<Object> parts(Object attribute) {
    if (attribute == null) {
      return List.of();
    }
    if (!Values.isText(attribute)) {
      return List.of(attribute);
    }
    List<Object> parts = new ArrayList<>();
    for (String part : Values.text(attribute).split("\\.", -1)) {
      boolean number = !part.isEmpty() && part.chars().allMatch(Character::isDigit);
      parts.add(number ? Numbers.parseInteger(part, 10) : part);
    }
    return parts;
  }

  private static Object lowered(Object v) {
    if (v instanceof String s) {
      return Text.lower(s);
    }
    return v instanceof Markup m ? new Markup(Text.lower(m.text())) : v;
  }

  private static Object batch(Run run, Object[] v) {
    Object fill = Filters.absent(v[2], null);
    boolean[] begun = {false};
    return generator(
        run,
        () -> Values.iterator(v[0]),
        items -> {
          List<Object> line = new ArrayList<>();
          if (!begun[0] && items.hasNext() && Values.equal(0L, v[1])) {
            begun[0] = true;
            return line; // lines of no elements: an empty one, then all the rest, as in Python
          }
          while (items.hasNext() && !(Values.equal((long) line.size(), v[1]) && !line.isEmpty())) {
            line.add(items.next());
            run.step();
            run.madeElements(1, line.size());
          }
          if (line.isEmpty()) {
            return Frame.MISSING;
          }
          if (fill != null && Arithmetic.compare(run, "<", (long) line.size(), v[1])) {
            long missing = Arithmetic.longIndex(v[1]) - line.size();
            run.madeElements(missing, missing);
            line.addAll(Collections.nCopies((int) missing, fill));
          }
          return line;
        });
  }

  private static Object slice(Run run, Object[] v) {
    Object fill = Filters.absent(v[2], null);
    return new Lazy(
        "generator",
        new Generator() {
          private List<Object> all;
          private long slices;
          private long slice;
          private long offset;

          @Override
          Object produce() {
            if (all == null) {
              all = Values.list(run, v[0]);
              Arithmetic.binary(run, "//", (long) all.size(), v[1]);
              slices = Arithmetic.longIndex(v[1]);
            }
            if (slice >= slices) {
              return Frame.MISSING;
            }
            run.step();
            long each = all.size() / slices;
            long more = all.size() % slices;
            long start = offset + slice * each;
            if (slice < more) {
              offset++;
            }
            long end = offset + (slice + 1) * each;
            List<Object> part = new ArrayList<>(all.subList((int) start, (int) end));
            if (fill != null && slice >= more) {
              part.add(fill);
            }
            run.madeElements(part.size(), part.size());
            slice++;
            return part;
          }
        });
  }

  private static List<Object> sorted(
      Run run, List<Object> items, Function<Object, Object> key, boolean reverse) {
    List<Object[]> keyed = new ArrayList<>();
    for (Object item : items) {
      keyed.add(new Object[] {key.apply(item), item});
    }
    run.madeElements(2L * items.size(), items.size());
    if (reverse) {
      Collections.reverse(keyed); // what is equal keeps its order
    }
    mergeSort(run, keyed);
    if (reverse) {
      Collections.reverse(keyed);
    }
    List<Object> result = new ArrayList<>();
    keyed.forEach(k -> result.add(k[1]));
    return result;
  }

  /** Sorts by "less" alone, which need not be an order: NaN is not. */
  private static void mergeSort(Run run, List<Object[]> items) {
    if (items.size() < 2) {
      return;
    }
    List<Object[]> left = new ArrayList<>(items.subList(0, items.size() / 2));
    List<Object[]> right = new ArrayList<>(items.subList(items.size() / 2, items.size()));
    mergeSort(run, left);
    mergeSort(run, right);
    int l = 0;
    int r = 0;
    for (int i = 0; i < items.size(); i++) {
      run.step();
      boolean fromRight =
          l == left.size() || (r < right.size() && Values.less(right.get(r)[0], left.get(l)[0]));
      items.set(i, fromRight ? right.get(r++) : left.get(l++));
    }
  }

  private static Object sort(Run run, Object[] v) {
    boolean ignoreCase = !Filters.truth(v[2]);
    Object attribute = Filters.absent(v[3], null);
    List<Function<Object, Object>> getters = new ArrayList<>();
    if (Values.isText(attribute)) {
      for (String part : Values.text(attribute).split(",", -1)) {
        getters.add(getter(run, part, null, ignoreCase));
      }
    } else {
      getters.add(getter(run, attribute, null, ignoreCase));
    }
    Function<Object, Object> key =
        item -> {
          List<Object> keys = new ArrayList<>();
          getters.forEach(g -> keys.add(g.apply(item)));
          return keys;
        };
    return sorted(run, Values.list(run, v[0]), key, Filters.truth(v[1]));
  }

  private static Object dictSort(Run run, Object[] v) {
    Object by = Filters.absent(v[2], "key");
    int at = Values.equal(by, "key") ? 0 : Values.equal(by, "value") ? 1 : -1;
    if (at < 0) {
      throw Filters.argument("You can only sort by either \"key\" or \"value\"");
    }
    boolean ignoreCase = !Filters.truth(v[1]);
    List<Object> items = Values.list(run, dictItems(v[0]));
    return sorted(
        run,
        items,
        item -> {
          Object k = ((Tuple) item).items().get(at);
          return ignoreCase ? lowered(k) : k;
        },
        Filters.truth(v[3]));
  }

  private static DictView dictItems(Object v) {
    if (v instanceof Undefined u) {
      throw u.failure();
    }
    if (!(v instanceof Map<?, ?> map)) {
      throw Failure.type("'%s' object has no attribute 'items'", Values.typeName(v));
    }
    return new DictView("dict_items", map);
  }

  private static Object items(Object v) {
    return new Lazy(
        "generator",
        new Generator() {
          private Iterator<Object> items;

          @Override
          Object produce() {
            if (items == null) {
              if (!(v instanceof Undefined) && !(v instanceof Map)) {
                throw Failure.type("Can only get item pairs from a mapping.");
              }
              items = v instanceof Map ? dictItems(v).iterator() : Collections.emptyIterator();
            }
            return items.hasNext() ? items.next() : Frame.MISSING;
          }
        });
  }

  private static Object first(Object v) {
    Iterator<Object> items = Values.iterator(v);
    return items.hasNext() ? items.next() : Undefined.because("No first item, sequence was empty.");
  }

  /** Returns an iterator from the end; null if the value cannot be reversed. */
  private static Iterator<Object> reversed(Run run, Object v) {
    boolean reversible =
        Values.isText(v)
            || v instanceof List
            || v instanceof Tuple
            || v instanceof Range
            || v instanceof Map
            || v instanceof DictView;
    if (!reversible) {
      return null;
    }
    List<Object> items = new ArrayList<>(Values.list(run, v));
    Collections.reverse(items);
    return items.iterator();
  }

  private static Object last(Object v) {
    if (v instanceof List<?> l && !l.isEmpty()) {
      return l.get(l.size() - 1);
    }
    if (v instanceof Undefined) {
      // reversed() asks for its length, then for items of that length, of which there are none
      return Undefined.because("No last item, sequence was empty.");
    }
    if (Values.size(v) == null || v instanceof LoopContext) {
      throw Failure.type("'%s' object is not reversible", Values.typeName(v));
    }
    Object last = Undefined.because("No last item, sequence was empty.");
    for (Iterator<Object> i = Values.iterator(v); i.hasNext(); ) {
      last = i.next();
    }
    return last;
  }

  private static Object reverse(Run run, Object v) {
    if (Values.isText(v)) {
      String reversed = Text.reversed(Values.text(v));
      run.made(reversed.length());
      return v instanceof Markup ? new Markup(reversed) : reversed;
    }
    Iterator<Object> reversed = reversed(run, v);
    if (reversed != null) {
      return new Lazy("reversed", reversed);
    }
    if (Values.iteratorOrNull(v) == null) {
      throw Filters.argument("argument must be iterable");
    }
    List<Object> items = new ArrayList<>(Values.list(run, v));
    Collections.reverse(items);
    return v instanceof Undefined ? new Lazy("reversed", items.iterator()) : items;
  }

  private static Object random(Run run, Object v) {
    int size = Values.length(v);
    if (size == 0) {
      return Undefined.because("No random item, sequence was empty.");
    }
    return Attributes.item(run, v, (long) ThreadLocalRandom.current().nextInt(size));
  }

  private static Object join(Run run, Object[] v) {
    Object attribute = Filters.absent(v[2], null);
    Function<Object, Object> get = getter(run, attribute, null, false);
    Iterator<Object> items = Values.iterator(v[0]);
    String separator = Values.str(run, Filters.absent(v[1], ""));
    StringBuilder out = new StringBuilder();
    for (boolean firstItem = true; items.hasNext(); firstItem = false) {
      out.append(firstItem ? "" : separator).append(Values.str(run, get.apply(items.next())));
      run.step();
      run.checkSize(out.length());
    }
    run.made(out.length());
    return out.toString();
  }

  private static Object map(Run run, Arguments a) {
    Object value = value(a);
    Arguments rest = a.drop(1);
    return generator(
        run,
        () -> {
          if (!Values.truth(value)) {
            return Collections.emptyIterator();
          }
          Function<Object, Object> function = mapping(run, rest); // fails before the value does
          return Iterators.transform(Values.iterator(value), function::apply);
        },
        items -> items.hasNext() ? items.next() : Frame.MISSING);
  }

  private static Object value(Arguments a) {
    if (a.positional().isEmpty()) {
      throw Failure.type("missing 1 required positional argument: 'value'");
    }
    return a.positional().get(0);
  }

  private static Function<Object, Object> mapping(Run run, Arguments a) {
    if (a.positional().isEmpty() && a.named().containsKey("attribute")) {
      Map<String, Object> named = new HashMap<>(a.named());
      Object attribute = named.remove("attribute");
      Object defaultValue = named.remove("default");
      if (!named.isEmpty()) {
        throw Filters.argument(
            "Unexpected keyword argument %s", Values.quoted(named.keySet().iterator().next()));
      }
      return getter(run, attribute, defaultValue, false);
    }
    if (a.positional().isEmpty()) {
      throw Filters.argument("map requires a filter argument");
    }
    Arguments rest = a.drop(1);
    Object name = a.positional().get(0);
    return item -> named(Filters.ALL, "filter", name).call(run, rest.prepend(item));
  }

  private static Builtin named(Map<String, Builtin> all, String what, Object name) {
    Object key = Values.key(name);
    Builtin found = key instanceof String s ? all.get(s) : null;
    if (found == null) {
      throw Failure.runtime("No %s named %s.", what, Values.quoted(name));
    }
    return found;
  }

  private static Object select(Run run, Arguments a, boolean byAttribute, boolean keep) {
    Object value = value(a);
    Arguments rest = a.drop(1);
    return generator(
        run,
        () -> {
          if (!Values.truth(value)) {
            return Collections.emptyIterator();
          }
          Predicate<Object> test = test(run, rest, byAttribute); // fails before the value does
          return Iterators.filter(
              Values.iterator(value),
              item -> {
                run.step();
                return test.test(item) == keep;
              });
        },
        items -> items.hasNext() ? items.next() : Frame.MISSING);
  }

  private static Predicate<Object> test(Run run, Arguments a, boolean byAttribute) {
    Function<Object, Object> get = item -> item;
    Arguments rest = a;
    if (byAttribute) {
      if (a.positional().isEmpty()) {
        throw Filters.argument("Missing parameter for attribute name");
      }
      get = getter(run, a.positional().get(0), null, false);
      rest = a.drop(1);
    }
    Function<Object, Object> getter = get;
    if (rest.positional().isEmpty()) {
      return item -> Values.truth(getter.apply(item));
    }
    Object name = rest.positional().get(0);
    Arguments of = rest.drop(1);
    return item -> {
      Object v = getter.apply(item);
      return Values.truth(named(Tests.ALL, "test", name).call(run, of.prepend(v)));
    };
  }

  private static Object extreme(Run run, Object[] v, boolean largest) {
    Iterator<Object> items = Values.iterator(v[0]);
    if (!items.hasNext()) {
      return Undefined.because("No aggregated item, sequence was empty.");
    }
    Function<Object, Object> key =
        getter(run, Filters.absent(v[2], null), null, !Filters.truth(v[1]));
    Object best = items.next();
    Object bestKey = key.apply(best);
    while (items.hasNext()) {
      Object item = items.next();
      Object k = key.apply(item);
      run.step();
      if (largest ? Values.less(bestKey, k) : Values.less(k, bestKey)) {
        best = item;
        bestKey = k;
      }
    }
    return best;
  }

  private static Object groupBy(Run run, Object[] v) {
    boolean ignoreCase = !Filters.truth(v[3]);
    Object defaultValue = Filters.absent(v[2], null);
    Function<Object, Object> key = getter(run, v[1], defaultValue, ignoreCase);
    Function<Object, Object> shown = getter(run, v[1], defaultValue, false);
    List<Object> groups = new ArrayList<>();
    List<Object> group = null;
    Object groupKey = null;
    for (Object item : sorted(run, Values.list(run, v[0]), key, false)) {
      Object k = key.apply(item);
      if (group == null || !Values.equal(groupKey, k)) {
        group = new ArrayList<>();
        groupKey = k;
        groups.add(new Tuple(Collections.unmodifiableList(asList(shown.apply(item), group)), true));
      }
      group.add(item);
    }
    return groups;
  }

  private static List<Object> asList(Object a, Object b) {
    List<Object> list = new ArrayList<>();
    list.add(a);
    list.add(b);
    return list;
  }

  private static Object sum(Run run, Object[] v) {
    Function<Object, Object> get = getter(run, Filters.absent(v[1], null), null, false);
    Object sum = Filters.absent(v[2], 0L);
    Iterator<Object> items = Values.iterator(v[0]);
    if (Values.isText(sum)) {
      throw Failure.type("sum() can't sum strings [use ''.join(seq) instead]");
    }
    while (items.hasNext()) {
      run.step();
      sum = Arithmetic.binary(run, "+", sum, get.apply(items.next()));
    }
    return sum;
  }

  private static Object unique(Run run, Object[] v) {
    Function<Object, Object> key =
        getter(run, Filters.absent(v[2], null), null, !Filters.truth(v[1]));
    Set<Object> seen = new HashSet<>();
    return generator(
        run,
        () -> Values.iterator(v[0]),
        items -> {
          while (items.hasNext()) {
            Object item = items.next();
            run.madeElements(1, seen.size());
            if (seen.add(Values.key(key.apply(item)))) {
              return item;
            }
          }
          return Frame.MISSING;
        });
  }
}
