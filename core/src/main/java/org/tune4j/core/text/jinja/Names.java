package org.tune4j.core.text.jinja;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The names in a scope of a template, collected while it is parsed. As in Python, a name that is
 * set in a scope is local to the scope from its start: code before the assignment does not see a
 * variable of the same name that was passed to the template.
 */
final class Names {
  private static final Set<String> SPECIAL = Set.of("caller", "kwargs", "varargs");

  private final Names outer;

  /** The names of the scope; true if set before being read, and not within a condition. */
  private final Map<String, Boolean> settled = new HashMap<>();

  /** Number of open conditions. */
  int conditions;

  /** In the body of a macro: the special names not set so far, and those of them that are read. */
  private Set<String> open = Set.of();

  private final Set<String> special = new HashSet<>();

  private List<String> hidden;

  Names(Names outer) {
    this.outer = outer;
  }

  /** Starts the body of a macro, in which special names are arguments if they are read. */
  void beginBody() {
    open = new HashSet<>(SPECIAL);
  }

  boolean uses(String specialName) {
    return special.contains(specialName);
  }

  void read(String name) {
    settled.putIfAbsent(name, false);
    for (Names n = this; n != null; n = n.outer) {
      if (n.open.contains(name)) {
        n.special.add(name);
      }
    }
  }

  void set(String name) {
    settled.putIfAbsent(name, conditions == 0);
    close(name);
  }

  /** Declares a name that has a value when the scope starts. */
  void given(String name) {
    settled.put(name, false);
    close(name);
  }

  private void close(String name) {
    for (Names n = this; n != null; n = n.outer) {
      if (!n.open.isEmpty()) {
        n.open.remove(name);
      }
    }
  }

  /**
   * Returns the names that start without a value; valid only after the whole template is parsed.
   */
  List<String> hidden() {
    List<String> names = hidden;
    if (names == null) {
      names =
          settled.keySet().stream()
              .filter(n -> settled.get(n) && !knownOutside(n))
              .sorted()
              .toList();
      hidden = names; // benign race: all threads compute the same
    }
    return names;
  }

  private boolean knownOutside(String name) {
    for (Names n = outer; n != null; n = n.outer) {
      if (n.settled.containsKey(name)) {
        return true;
      }
    }
    return false;
  }
}
