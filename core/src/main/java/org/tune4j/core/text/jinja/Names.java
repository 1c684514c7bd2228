package org.tune4j.core.text.jinja;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The names in a scope of a template, collected while it is parsed. As in Python, a name that a
 * scope sets is the scope's own from its beginning: what runs before the assignment does not find a
 * variable of that name that was given to the template.
 */
final class Names {
  private static final Set<String> SPECIAL = Set.of("caller", "kwargs", "varargs");

  private final Names outer;

  /** Each name of the scope; true if it is set before it is read, and not within a condition. */
  private final Map<String, Boolean> settled = new HashMap<>();

  /** How many conditions are open. */
  int conditions;

  /** Of a macro's body: special names not set in it so far, and those of them that it reads. */
  private Set<String> open = Set.of();

  private final Set<String> special = new HashSet<>();

  private List<String> hidden;

  Names(Names outer) {
    this.outer = outer;
  }

  /** Begins a macro's body, in which special names are arguments if they are read. */
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

  /** Notes a name whose value is given when the scope begins. */
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

  /** Returns the names that begin without a value; only once the whole template is read. */
  List<String> hidden() {
    List<String> names = hidden;
    if (names == null) {
      names =
          settled.keySet().stream()
              .filter(n -> settled.get(n) && !knownOutside(n))
              .sorted()
              .toList();
      hidden = names; // any thread finds the same
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
