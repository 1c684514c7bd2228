package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What a function is called with, by position and by name. */
record Arguments(List<Object> positional, Map<String, Object> named) {
  static final Arguments NONE = new Arguments(List.of(), Map.of());

  static Arguments of(Object... values) {
    List<Object> all = new ArrayList<>();
    Collections.addAll(all, values);
    return new Arguments(all, Map.of());
  }

  /** Returns these with one value more in front. */
  Arguments prepend(Object value) {
    List<Object> all = new ArrayList<>(positional.size() + 1);
    all.add(value);
    all.addAll(positional);
    return new Arguments(all, named);
  }

  /** Returns the rest after some positional values. */
  Arguments drop(int count) {
    return new Arguments(positional.subList(count, positional.size()), named);
  }

  /**
   * The parameters of a built-in function, written as {@code "s old new count?"}: those with a
   * question mark may be absent, after a leading slash all are by position only.
   */
  static final class Signature {
    private final ImmutableList<String> names;
    private final int required;
    private final boolean positionalOnly;

    Signature(String description) {
      positionalOnly = description.startsWith("/");
      ImmutableList.Builder<String> all = ImmutableList.builder();
      int needed = 0;
      for (Object word : Text.words(description.replace("/", " "), -1)) {
        String name = (String) word;
        all.add(name.replace("?", ""));
        needed += name.endsWith("?") ? 0 : 1;
      }
      names = all.build();
      required = needed;
    }

    /** Returns the values in the order of the parameters; {@link Frame#MISSING} if absent. */
    Object[] bind(String function, Arguments arguments) {
      int count = arguments.positional.size();
      if (count > names.size()) {
        throw Failure.type(
            "%s() takes at most %d arguments (%d given)", function, names.size(), count);
      }
      Object[] values = new Object[names.size()];
      for (int i = 0; i < values.length; i++) {
        values[i] = i < count ? arguments.positional.get(i) : Frame.MISSING;
      }
      for (Map.Entry<String, Object> e : arguments.named.entrySet()) {
        int at = positionalOnly ? -1 : names.indexOf(e.getKey());
        if (at < 0) {
          throw Failure.type(
              "%s() got an unexpected keyword argument %s", function, Values.quoted(e.getKey()));
        }
        if (values[at] != Frame.MISSING) {
          throw Failure.type(
              "%s() got multiple values for argument %s", function, Values.quoted(e.getKey()));
        }
        values[at] = e.getValue();
      }
      for (int i = 0; i < required; i++) {
        if (values[i] == Frame.MISSING) {
          throw Failure.type(
              "%s() missing required argument %s", function, Values.quoted(names.get(i)));
        }
      }
      return values;
    }
  }

  /** Collects arguments of a call, refusing a name given twice. */
  static final class Builder {
    private final List<Object> positional = new ArrayList<>();
    private final Map<String, Object> named = new LinkedHashMap<>();

    void add(Object value) {
      positional.add(value);
    }

    void add(String name, Object value) {
      if (named.containsKey(name)) {
        throw Failure.type("got multiple values for keyword argument %s", Values.quoted(name));
      }
      named.put(name, value);
    }

    Arguments build() {
      return new Arguments(positional, named);
    }
  }
}
