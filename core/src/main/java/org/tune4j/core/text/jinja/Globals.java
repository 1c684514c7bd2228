package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.tune4j.core.text.jinja.TemplateException.Kind;
import org.tune4j.core.text.jinja.Values.Namespace;
import org.tune4j.core.text.jinja.Values.Tuple;

/** The global functions of templates, including the two of transformers. */
final class Globals {
  private static final ImmutableMap<String, Builtin> ALL = all();

  /** Features of Jinja that are not supported. */
  private static final Set<String> UNSUPPORTED =
      Set.of("variable self", "variable lipsum", "filter urlize", "filter random");

  private Globals() {}

  private static ImmutableMap<String, Builtin> all() {
    Map<String, Builtin> g = new HashMap<>();
    g.put(
        "range",
        Builtin.free(
            "range",
            a -> {
              if (!a.named().isEmpty()) {
                throw Failure.type("range() takes no keyword arguments");
              }
              return Range.of(a.positional());
            }));
    g.put("dict", Builtin.free("dict", Globals::dict));
    g.put("namespace", Builtin.free("namespace", a -> new Namespace(dict(a))));
    g.put("cycler", Builtin.free("cycler", a -> new Cycler(a.positional())));
    Builtin.add(g, "joiner", "sep?", v -> joiner(Builtin.absent(v[0], ", ")));
    Builtin.add(
        g,
        "raise_exception",
        "message",
        v -> {
          throw Failure.of(Kind.RAISE, "%s", Printing.str(v[0]));
        });
    Builtin.add(
        g,
        "strftime_now",
        "format",
        v -> {
          if (!Values.isText(v[0])) {
            throw Failure.type("strftime_now() needs a str, not %s", Values.typeName(v[0]));
          }
          return Strftime.format(v[0].toString(), Run.now().clock);
        });
    return ImmutableMap.copyOf(g);
  }

  /** Returns a global; undefined if there is none. */
  static Object get(String name) {
    if (UNSUPPORTED.contains("variable " + name)) {
      throw Failure.unsupported("the variable '%s'", name);
    }
    Builtin global = ALL.get(name);
    return global == null ? Undefined.name(name) : global;
  }

  /**
   * Returns the error of an unknown filter or test.
   *
   * @param at its location; null while rendering
   */
  static Failure unknown(Token at, String what, String name) {
    String message =
        UNSUPPORTED.contains(what + " " + name.replace("'", ""))
            ? "the %s %s is not supported in chat templates".formatted(what, name)
            : "No %s named %s.".formatted(what, name);
    return at == null ? Failure.runtime("%s", message) : Failure.syntax(at, "%s", message);
  }

  private static Map<Object, Object> dict(Arguments a) {
    if (a.positional().size() > 1) {
      throw Failure.type("dict expected at most 1 argument, got %d", a.positional().size());
    }
    Map<Object, Object> map = new LinkedHashMap<>();
    if (!a.positional().isEmpty()) {
      Object from = a.positional().get(0);
      if (from instanceof Map<?, ?> m) {
        map.putAll(m);
      } else {
        addPairs(from, map);
      }
    }
    map.putAll(a.named());
    Run.now().madeElements(map.size(), map.size());
    return map;
  }

  private static void addPairs(Object from, Map<Object, Object> into) {
    for (Iterator<Object> i = Values.iterator(from); i.hasNext(); ) {
      List<Object> pair = Values.list(i.next());
      if (pair.size() != 2) {
        throw Failure.value("dict() needs pairs, not sequences of length %d", pair.size());
      }
      into.put(Values.key(pair.get(0)), pair.get(1));
      Run.now().step();
    }
  }

  /** Returns a function that returns an empty string the first time and a separator afterwards. */
  private static Builtin joiner(Object separator) {
    boolean[] used = {false};
    return Builtin.function(
        "joiner",
        "",
        v -> {
          boolean first = !used[0];
          used[0] = true;
          return first ? "" : separator;
        });
  }

  /** Cycles through its items. */
  private static final class Cycler implements Attributes.Owner {
    private final List<Object> items;
    private int at;

    Cycler(List<Object> items) {
      if (items.isEmpty()) {
        throw Failure.runtime("at least one item has to be provided");
      }
      this.items = items;
    }

    @Override
    public Object attribute(String name) {
      return switch (name) {
        case "items" -> Tuple.of(items);
        case "pos" -> (long) at;
        case "current" -> items.get(at);
        case "next" -> Builtin.function("next", "", v -> next());
        case "reset" ->
            Builtin.function(
                "reset",
                "",
                v -> {
                  at = 0;
                  return null;
                });
        default -> Scope.MISSING;
      };
    }

    private Object next() {
      Object item = items.get(at);
      at = (at + 1) % items.size();
      return item;
    }

    @Override
    public String toString() {
      return "<Cycler object>";
    }
  }
}
