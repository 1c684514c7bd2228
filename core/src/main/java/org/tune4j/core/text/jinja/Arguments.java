package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Positional and keyword arguments of a call. */
record Arguments(List<Object> positional, Map<String, Object> named) {
  static Arguments of(Object... values) {
    return new Arguments(Arrays.asList(values), Map.of());
  }

  /** Returns the arguments with another value in front. */
  Arguments prepend(Object value) {
    List<Object> all = new ArrayList<>(positional.size() + 1);
    all.add(value);
    all.addAll(positional);
    return new Arguments(all, named);
  }

  /** Returns the arguments without the first positional one. */
  Arguments rest() {
    return new Arguments(positional.subList(1, positional.size()), named);
  }

  /**
   * The parameters of a built-in function, written as {@code "s old new count?"}: those with a
   * question mark are optional, and after a leading slash all are positional-only.
   */
  static final class Signature {
    private final String function;
    private final List<String> names;
    private final long required;
    private final boolean positionalOnly;

    Signature(String function, String description) {
      this.function = function;
      positionalOnly = description.startsWith("/");
      List<String> words =
          Arrays.stream(description.replace("/", "").strip().split(" ", -1))
              .filter(w -> !w.isEmpty())
              .toList();
      names = words.stream().map(w -> w.replace("?", "")).toList();
      required = words.stream().filter(w -> !w.endsWith("?")).count();
    }

    /** Returns the values in the order of the parameters; {@link Scope#MISSING} if absent. */
    Object[] bind(Arguments arguments) {
      int count = arguments.positional.size();
      if (count > names.size()) {
        throw Failure.type(
            "%s() takes at most %d arguments (%d given)", function, names.size(), count);
      }
      Object[] values = new Object[names.size()];
      Arrays.fill(values, Scope.MISSING);
      for (int i = 0; i < count; i++) {
        values[i] = arguments.positional.get(i);
      }
      for (Map.Entry<String, Object> e : arguments.named.entrySet()) {
        int at = positionalOnly ? -1 : names.indexOf(e.getKey());
        if (at < 0 || values[at] != Scope.MISSING) {
          throw Failure.type(
              "%s() got %s argument '%s'",
              function, at < 0 ? "an unexpected keyword" : "multiple values for", e.getKey());
        }
        values[at] = e.getValue();
      }
      for (int i = 0; i < required; i++) {
        if (values[i] == Scope.MISSING) {
          throw Failure.type("%s() is missing the argument '%s'", function, names.get(i));
        }
      }
      return values;
    }
  }
}
