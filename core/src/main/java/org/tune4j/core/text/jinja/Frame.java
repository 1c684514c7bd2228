package org.tune4j.core.text.jinja;

import java.util.Arrays;
import java.util.Map;

/** A running function: the template, a macro, a block, a recursive loop, or a loop's filter. */
final class Frame {
  /** The value of a variable that is not set. */
  static final Object MISSING =
      new Object() {
        @Override
        public String toString() {
          return "missing";
        }
      };

  final Run run;

  /** The variables given, and those set at the template's top level. */
  final Map<String, Object> context;

  /** The frame that this one's function was defined in; null at the top. */
  final Frame outer;

  final Object[] slots;

  /** Where output goes. */
  StringBuilder out;

  private Frame(Run run, Map<String, Object> context, Frame outer, int slots, StringBuilder out) {
    this.run = run;
    this.context = context;
    this.outer = outer;
    this.slots = new Object[slots];
    this.out = out;
    Arrays.fill(this.slots, MISSING);
  }

  static Frame top(Run run, Map<String, Object> context, int slots, StringBuilder out) {
    return new Frame(run, context, null, slots, out);
  }

  Frame inner(int slots, StringBuilder out) {
    return new Frame(run, context, this, slots, out);
  }

  Object get(int hops, int slot) {
    Frame f = this;
    for (int i = 0; i < hops; i++) {
      f = f.outer;
    }
    return f.slots[slot];
  }

  Object resolve(String name) {
    Object value = context.get(name);
    if (value != null || context.containsKey(name)) {
      return value;
    }
    Builtin global = Globals.ALL.get(name);
    return global == null ? MISSING : global;
  }

  void write(String text) {
    run.write(out, text);
  }
}
