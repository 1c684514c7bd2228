package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** The functions that every template has, with transformers' two. */
final class Globals {
  static final ImmutableMap<String, Builtin> ALL =
      ImmutableMap.<String, Builtin>builder()
          .put("range", Builtin.free("range", (run, a) -> range(a)))
          .put("dict", Builtin.free("dict", Globals::dict))
          .put("namespace", Builtin.free("namespace", (run, a) -> new Namespace(dict(run, a))))
          .put("cycler", Builtin.free("cycler", (run, a) -> new Cycler(a.positional())))
          .put(
              "joiner",
              Builtin.function("joiner", "sep?", (run, v) -> new Joiner(absent(v[0], ", "))))
          .put(
              "lipsum",
              Builtin.free(
                  "lipsum",
                  (run, a) -> {
                    throw Failure.runtime("lipsum makes random text, which no prompt can need");
                  }))
          .put(
              "raise_exception",
              Builtin.function(
                  "raise_exception",
                  "message",
                  (run, v) -> {
                    throw new Failure(Kind.RAISE, Values.str(run, v[0]), /* at= */ null);
                  }))
          .put(
              "strftime_now",
              Builtin.function(
                  "strftime_now",
                  "format",
                  (run, v) -> {
                    if (!Values.isText(v[0])) {
                      throw Failure.type(
                          "strftime() argument 1 must be str, not %s", Values.typeName(v[0]));
                    }
                    return Strftime.format(Values.text(v[0]), run.clock);
                  }))
          .buildOrThrow();

  private Globals() {}

  private static Object absent(Object value, Object otherwise) {
    return value == Frame.MISSING ? otherwise : value;
  }

  private static Object range(Arguments a) {
    List<Object> n = a.positional();
    if (!a.named().isEmpty()) {
      throw Failure.type("range() takes no keyword arguments");
    }
    if (n.isEmpty() || n.size() > 3) {
      throw Failure.type("range expected 1 to 3 arguments, got %d", n.size());
    }
    List<BigInteger> of = new ArrayList<>();
    for (Object v : n) {
      of.add(Numbers.big(Arithmetic.index(v)));
    }
    return Range.of(
        n.size() == 1 ? BigInteger.ZERO : of.get(0),
        of.get(n.size() == 1 ? 0 : 1),
        n.size() == 3 ? of.get(2) : BigInteger.ONE);
  }

  private static Map<Object, Object> dict(Run run, Arguments a) {
    if (a.positional().size() > 1) {
      throw Failure.type("dict expected at most 1 argument, got %d", a.positional().size());
    }
    Map<Object, Object> map = new LinkedHashMap<>();
    if (a.positional().size() == 1) {
      Object from = a.positional().get(0);
      if (from instanceof Map<?, ?> m) {
        map.putAll(m);
      } else {
        pairs(run, from, map);
      }
    }
    map.putAll(a.named());
    run.madeElements(map.size(), map.size());
    return map;
  }

  private static void pairs(Run run, Object from, Map<Object, Object> into) {
    int index = 0;
    for (Iterator<Object> i = Values.iterator(from); i.hasNext(); index++) {
      Object item = i.next();
      run.step();
      if (Values.iteratorOrNull(item) == null) {
        throw Failure.type(
            "cannot convert dictionary update sequence element #%d to a sequence", index);
      }
      List<Object> pair = Values.list(run, item);
      if (pair.size() != 2) {
        throw Failure.value(
            "dictionary update sequence element #%d has length %d; 2 is required",
            index, pair.size());
      }
      into.put(Values.key(pair.get(0)), pair.get(1));
    }
  }

  /** Gives its items in turn, over and over. */
  static final class Cycler {
    private final List<Object> items;
    private int at;

    Cycler(List<Object> items) {
      if (items.isEmpty()) {
        throw Failure.runtime("at least one item has to be provided");
      }
      this.items = items;
    }

    /** Returns an attribute; {@link Frame#MISSING} if there is none of that name. */
    Object attribute(String name) {
      return switch (name) {
        case "items" -> new Values.Tuple(items);
        case "pos" -> (long) at;
        case "current" -> items.get(at);
        case "next" -> Builtin.function("next", "", (run, v) -> next());
        case "reset" ->
            Builtin.function(
                "reset",
                "",
                (run, v) -> {
                  at = 0;
                  return null;
                });
        default -> Frame.MISSING;
      };
    }

    @Override
    public String toString() {
      return "<Cycler object>";
    }

    private Object next() {
      Object item = items.get(at);
      at = (at + 1) % items.size();
      return item;
    }
  }

  /** Gives nothing the first time, then a separator. */
  static final class Joiner implements Values.Function1 {
    private final Object separator;
    private boolean used;

    Joiner(Object separator) {
      this.separator = separator;
    }

    @Override
    public Object call(Run run, Arguments arguments) {
      NO_PARAMETERS.bind("__call__", arguments);
      if (used) {
        return separator;
      }
      used = true;
      return "";
    }

    private static final Arguments.Signature NO_PARAMETERS = new Arguments.Signature("");

    @Override
    public String typeName() {
      return "Joiner";
    }

    @Override
    public String toString() {
      return "<Joiner object>";
    }

    /** Returns an attribute; {@link Frame#MISSING} if there is none of that name. */
    Object attribute(String name) {
      return switch (name) {
        case "sep" -> separator;
        case "used" -> used;
        default -> Frame.MISSING;
      };
    }
  }
}
