package org.tune4j.core.text.jinja;

import java.util.HashMap;
import java.util.Map;

/** The variables of a running template, with those of enclosing scopes. */
final class Scope {
  /** The value of a variable that is not set yet, and of an argument that is absent. */
  static final Object MISSING =
      new Object() {
        @Override
        public String toString() {
          return "missing";
        }
      };

  final Run run;
  final Scope outer;
  private final boolean top;
  private final Map<String, Object> values;

  private Scope(Run run, Scope outer, boolean top, Map<String, Object> values) {
    this.run = run;
    this.outer = outer;
    this.top = top;
    this.values = values;
  }

  /** Returns the scope of the template's statements, inside that of the given variables. */
  static Scope top(Run run, Map<String, ?> variables) {
    Scope context = new Scope(run, null, false, new HashMap<>(variables));
    return new Scope(run, context, true, new HashMap<>());
  }

  /** Returns a scope within this one. */
  Scope inner(Names names) {
    Scope inner = new Scope(run, this, false, new HashMap<>());
    inner.begin(names);
    return inner;
  }

  /** Returns the variables visible in a block: the given ones, and those set outside of blocks. */
  Scope context() {
    Scope s = this;
    while (s.outer != null) {
      s = s.outer;
    }
    return s;
  }

  /** Resets the scope, as for each iteration of a loop. */
  void begin(Names names) {
    values.clear();
    for (String name : names.hidden()) {
      values.put(name, MISSING);
    }
  }

  /** Ends the scope; to anything that still refers to it, its variables are not set. */
  void end() {
    values.replaceAll((name, value) -> MISSING);
  }

  Object get(String name) {
    for (Scope s = this; s != null; s = s.outer) {
      Object value = s.values.get(name);
      if (value != null || s.values.containsKey(name)) {
        return value == MISSING ? Undefined.name(name) : value;
      }
    }
    return Globals.get(name);
  }

  void set(String name, Object value) {
    values.put(name, value);
    if (top) {
      outer.values.put(name, value);
    }
  }
}
