package org.tune4j.core.text.jinja;

import com.google.common.base.Splitter;
import com.google.common.collect.AbstractIterator;
import com.google.common.collect.Iterators;
import com.google.common.collect.Lists;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.tune4j.core.text.jinja.Values.DictView;
import org.tune4j.core.text.jinja.Values.Lazy;
import org.tune4j.core.text.jinja.Values.Markup;
import org.tune4j.core.text.jinja.Values.Tuple;

/** The filters on iterables. */
final class SequenceFilters {
  /** Approximate bytes of a generator. */
  private static final int GENERATOR = 300;

  private SequenceFilters() {}

  static void addTo(Map<String, Builtin> f) {
    Builtin.add(f, "batch", "value linecount fill_with?", SequenceFilters::batch);
    Builtin.add(f, "dictsort", "value case_sensitive? by? reverse?", SequenceFilters::dictSort);
    Builtin.add(f, "first", "seq", v -> first(Values.iterator(v[0])));
    Builtin.add(f, "groupby", "value attribute default? case_sensitive?", SequenceFilters::groupBy);
    Builtin.add(f, "items", "value", v -> lazy(() -> pairs(v[0])));
    Builtin.add(f, "join", "value d? attribute?", SequenceFilters::join);
    Builtin.add(f, "last", "seq", v -> last(v[0]));
    Builtin.add(f, "list", "value", v -> Values.list(v[0]));
    f.put("map", Builtin.free("map", SequenceFilters::map));
    Builtin.add(f, "max", "value case_sensitive? attribute?", v -> extreme(v, true));
    Builtin.add(f, "min", "value case_sensitive? attribute?", v -> extreme(v, false));
    f.put("reject", Builtin.free("reject", a -> select(a, false, false)));
    f.put("rejectattr", Builtin.free("rejectattr", a -> select(a, true, false)));
    Builtin.add(f, "reverse", "value", v -> reverse(v[0]));
    f.put("select", Builtin.free("select", a -> select(a, false, true)));
    f.put("selectattr", Builtin.free("selectattr", a -> select(a, true, true)));
    Builtin.add(f, "slice", "value slices fill_with?", SequenceFilters::slice);
    Builtin.add(f, "sort", "value reverse? case_sensitive? attribute?", SequenceFilters::sort);
    Builtin.add(f, "sum", "iterable attribute? start?", SequenceFilters::sum);
    Builtin.add(f, "unique", "value case_sensitive? attribute?", SequenceFilters::unique);
  }

  /** Returns a generator that starts when its first element is requested. */
  private static Lazy lazy(Supplier<Iterator<Object>> begin) {
    Run.now().made(GENERATOR);
    return new Lazy(
        "generator",
        new AbstractIterator<>() {
          private Iterator<Object> items;

          @Override
          protected Object computeNext() {
            if (items == null) {
              items = begin.get();
            }
            Run.now().step();
            return items.hasNext() ? items.next() : endOfData();
          }
        });
  }

  /** Returns a function that looks up an attribute path such as {@code a.b.0}. */
  private static Function<Object, Object> getter(
      Object attribute, Object defaultValue, boolean ignoreCase) {
    List<Object> parts = new ArrayList<>();
    if (Values.isText(attribute)) {
      for (String part : Splitter.on('.').split(attribute.toString())) {
        boolean number = !part.isEmpty() && part.chars().allMatch(Character::isDigit);
        parts.add(number ? Numbers.parseInteger(part, 10) : part);
      }
    } else if (attribute != null && attribute != Scope.MISSING) {
      parts.add(attribute);
    }
    return item -> {
      Object v = item;
      for (Object part : parts) {
        v = Attributes.item(v, part);
        v = v instanceof Undefined && defaultValue != null ? defaultValue : v;
      }
      return ignoreCase ? lowered(v) : v;
    };
  }

  private static Object lowered(Object v) {
    if (v instanceof String s) {
      return Text.lower(s);
    }
    return v instanceof Markup m ? new Markup(Text.lower(m.text())) : v;
  }

  private static Object batch(Object[] v) {
    Object fill = Builtin.absent(v[2], null);
    return lazy(
        () -> {
          List<Object> lines = new ArrayList<>();
          List<Object> line = new ArrayList<>();
          for (Iterator<Object> items = Values.iterator(v[0]); items.hasNext(); ) {
            if (Values.equal((long) line.size(), v[1]) && (lines.isEmpty() || !line.isEmpty())) {
              lines.add(line);
              line = new ArrayList<>();
            }
            line.add(items.next());
            Run.now().step();
            Run.now().madeElements(1, line.size());
          }
          if (fill != null && !line.isEmpty() && Values.order((long) line.size(), v[1]) < 0) {
            long missing = Numbers.index(v[1]) - line.size();
            Run.now().madeElements(missing, missing);
            line.addAll(Collections.nCopies((int) missing, fill));
          }
          if (!line.isEmpty()) {
            lines.add(line);
          }
          return lines.iterator();
        });
  }

  private static Object slice(Object[] v) {
    Object fill = Builtin.absent(v[2], null);
    return lazy(
        () -> {
          List<Object> all = Values.list(v[0]);
          Operators.binary("//", (long) all.size(), v[1]);
          long slices = Numbers.index(v[1]);
          List<Object> parts = new ArrayList<>();
          int from = 0;
          for (long slice = 0; slice < slices; slice++) {
            boolean longer = slice < all.size() % slices;
            int to = from + (int) (all.size() / slices) + (longer ? 1 : 0);
            List<Object> part = new ArrayList<>(all.subList(from, to));
            if (fill != null && !longer) {
              part.add(fill);
            }
            parts.add(part);
            from = to;
            Run.now().step();
            Run.now().madeElements(part.size(), parts.size());
          }
          return parts.iterator();
        });
  }

  /** Sorts by keys; stable, also in reverse. */
  private static List<Object> sorted(
      List<Object> items, Function<Object, Object> key, boolean reverse) {
    List<Object[]> keyed = new ArrayList<>();
    items.forEach(item -> keyed.add(new Object[] {key.apply(item), item}));
    Run.now().madeElements(3L * items.size(), items.size());
    Comparator<Object[]> order = (a, b) -> Values.order(a[0], b[0]);
    keyed.sort(reverse ? order.reversed() : order);
    return new ArrayList<>(Lists.transform(keyed, k -> k[1]));
  }

  private static Object sort(Object[] v) {
    boolean ignoreCase = !Filters.truth(v[2]);
    List<Function<Object, Object>> getters = new ArrayList<>();
    if (Values.isText(v[3])) {
      for (String part : Splitter.on(',').split(v[3].toString())) {
        getters.add(getter(part, null, ignoreCase));
      }
    } else {
      getters.add(getter(v[3], null, ignoreCase));
    }
    return sorted(
        Values.list(v[0]),
        item -> Arrays.asList(getters.stream().map(g -> g.apply(item)).toArray()),
        Filters.truth(v[1]));
  }

  private static Object dictSort(Object[] v) {
    Object by = Builtin.absent(v[2], "key");
    if (!Values.equal(by, "key") && !Values.equal(by, "value")) {
      throw Failure.runtime("You can only sort by either \"key\" or \"value\"");
    }
    List<Object> items = Lists.newArrayList(pairs(Values.defined(v[0])));
    long at = Values.equal(by, "key") ? 0 : 1;
    return sorted(items, getter(at, null, !Filters.truth(v[1])), Filters.truth(v[3]));
  }

  private static Iterator<Object> pairs(Object v) {
    if (!(v instanceof Map<?, ?> map)) {
      if (v instanceof Undefined) {
        return Collections.emptyIterator();
      }
      throw Failure.type("Can only get item pairs from a mapping.");
    }
    return new DictView("dict_items", map).iterator();
  }

  private static Object first(Iterator<Object> items) {
    return items.hasNext() ? items.next() : Undefined.because("the sequence is empty");
  }

  private static Object last(Object v) {
    if (Values.size(v) == null) {
      throw Failure.type("'%s' object is not reversible", Values.typeName(v));
    }
    return first(Lists.reverse(Values.list(v)).iterator());
  }

  private static Object reverse(Object v) {
    if (Values.isText(v)) {
      String reversed = Text.reversed(v.toString());
      Run.now().made(reversed.length());
      return v instanceof Markup ? new Markup(reversed) : reversed;
    }
    if (Values.iteratorOrNull(v) == null) {
      throw Failure.runtime("argument must be iterable");
    }
    List<Object> items = Lists.reverse(Values.list(v));
    return v instanceof Lazy ? items : new Lazy("reversed", items.iterator());
  }

  private static Object join(Object[] v) {
    Function<Object, Object> get = getter(v[2], null, false);
    Iterator<Object> items = Values.iterator(v[0]);
    String separator = Printing.str(Builtin.absent(v[1], ""));
    StringBuilder out = new StringBuilder();
    for (boolean first = true; items.hasNext(); first = false) {
      out.append(first ? "" : separator).append(Printing.str(get.apply(items.next())));
      Run.now().step();
      Run.now().checkSize(out.length());
    }
    Run.now().made(out.length());
    return out.toString();
  }

  private static Object map(Arguments a) {
    return overItems(
        a,
        rest -> {
          Function<Object, Object> change = mapping(rest);
          return items -> Iterators.transform(items, change::apply);
        });
  }

  /**
   * Returns a generator over the items of the first argument; the other arguments define how to
   * start it.
   */
  private static Lazy overItems(
      Arguments a, Function<Arguments, Function<Iterator<Object>, Iterator<Object>>> begin) {
    if (a.positional().isEmpty()) {
      throw Failure.type("missing 1 required positional argument: 'value'");
    }
    Object value = a.positional().get(0);
    return lazy(
        () ->
            Values.truth(value)
                ? begin.apply(a.rest()).apply(Values.iterator(value))
                : Collections.emptyIterator());
  }

  private static Function<Object, Object> mapping(Arguments a) {
    if (a.positional().isEmpty() && a.named().containsKey("attribute")) {
      Map<String, Object> named = new HashMap<>(a.named());
      Object attribute = named.remove("attribute");
      Object defaultValue = named.remove("default");
      if (!named.isEmpty()) {
        throw Failure.runtime("Unexpected keyword argument %s", named.keySet());
      }
      return getter(attribute, defaultValue, false);
    }
    if (a.positional().isEmpty()) {
      throw Failure.runtime("map requires a filter argument");
    }
    Object name = a.positional().get(0);
    return item -> named(Filters.ALL, "filter", name).call(a.rest().prepend(item));
  }

  private static Builtin named(Map<String, Builtin> all, String what, Object name) {
    Builtin found = Values.key(name) instanceof String s ? all.get(s) : null;
    if (found == null) {
      throw Globals.unknown(null, what, Printing.quoted(name));
    }
    return found;
  }

  private static Object select(Arguments a, boolean byAttribute, boolean keep) {
    return overItems(
        a,
        rest -> {
          Predicate<Object> test = test(rest, byAttribute);
          return items ->
              Iterators.filter(
                  items,
                  item -> {
                    Run.now().step();
                    return test.test(item) == keep;
                  });
        });
  }

  private static Predicate<Object> test(Arguments a, boolean byAttribute) {
    if (byAttribute && a.positional().isEmpty()) {
      throw Failure.runtime("Missing parameter for attribute name");
    }
    Function<Object, Object> get = getter(byAttribute ? a.positional().get(0) : null, null, false);
    Arguments rest = byAttribute ? a.rest() : a;
    if (rest.positional().isEmpty()) {
      return item -> Values.truth(get.apply(item));
    }
    Object name = rest.positional().get(0);
    return item -> {
      Arguments values = rest.rest().prepend(get.apply(item));
      return Values.truth(named(Tests.ALL, "test", name).call(values));
    };
  }

  private static Object extreme(Object[] v, boolean largest) {
    Iterator<Object> items = Values.iterator(v[0]);
    Function<Object, Object> key = getter(v[2], null, !Filters.truth(v[1]));
    Object best = first(items);
    while (items.hasNext()) {
      Object item = items.next();
      int c = Values.order(key.apply(item), key.apply(best));
      if (largest ? c > 0 : c < 0) {
        best = item;
      }
    }
    return best;
  }

  private static Object groupBy(Object[] v) {
    Object defaultValue = Builtin.absent(v[2], null);
    Function<Object, Object> key = getter(v[1], defaultValue, !Filters.truth(v[3]));
    Function<Object, Object> shown = getter(v[1], defaultValue, false);
    List<Object> groups = new ArrayList<>();
    List<Object> group = null;
    Object groupKey = null;
    for (Object item : sorted(Values.list(v[0]), key, false)) {
      Object k = key.apply(item);
      if (group == null || !Values.equal(groupKey, k)) {
        group = new ArrayList<>();
        groupKey = k;
        groups.add(Tuple.group(shown.apply(item), group));
      }
      group.add(item);
    }
    return groups;
  }

  private static Object sum(Object[] v) {
    Function<Object, Object> get = getter(v[1], null, false);
    Object sum = Builtin.absent(v[2], 0L);
    Iterator<Object> items = Values.iterator(v[0]);
    if (Values.isText(sum)) {
      throw Failure.type("sum() can't sum strings [use ''.join(seq) instead]");
    }
    while (items.hasNext()) {
      Run.now().step();
      sum = Operators.binary("+", sum, get.apply(items.next()));
    }
    return sum;
  }

  private static Object unique(Object[] v) {
    Function<Object, Object> key = getter(v[2], null, !Filters.truth(v[1]));
    return lazy(
        () -> {
          Set<Object> seen = new HashSet<>();
          return Iterators.filter(
              Values.iterator(v[0]),
              item -> {
                Run.now().madeElements(1, seen.size());
                return seen.add(Values.key(key.apply(item)));
              });
        });
  }
}
