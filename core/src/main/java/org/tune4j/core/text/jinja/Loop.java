package org.tune4j.core.text.jinja;

import com.google.common.collect.Iterators;
import org.tune4j.core.text.jinja.Statement.End;
import org.tune4j.core.text.jinja.Values.Lazy;

/**
 * A loop over given items.
 *
 * @param test condition on the items; null for all
 * @param levels nesting depth of the bodies
 */
record Loop(
    Token at,
    Target target,
    Expression test,
    Names ofTest,
    Names ofBody,
    Names ofElse,
    Statement body,
    Statement otherwise,
    int levels) {

  /** Returns the output of a recursive loop. */
  String render(Scope s, Object values, int depth) {
    return s.run.call(levels, () -> iterate(s, values, (v, d) -> render(s, v, d), depth));
  }

  /** Iterates over the items; {@code recursion} is null if the loop is not recursive. */
  End iterate(Scope s, Object values, LoopContext.Recursion recursion, int depth) {
    s.run.at = at;
    LoopContext loop = new LoopContext(test == null ? values : tested(s, values), recursion, depth);
    Scope inner = s.inner(ofBody);
    boolean any = false;
    End end = End.NORMAL;
    while (end != End.BREAK && loop.hasNext()) {
      s.run.step();
      inner.begin(ofBody);
      target.assign(inner, loop.next());
      inner.set("loop", loop);
      end = body.exec(inner);
      any |= end == End.NORMAL;
      s.run.at = at;
    }
    inner.end();
    return any ? End.NORMAL : otherwise.exec(s.inner(ofElse));
  }

  /** Returns the items that pass the test, evaluated lazily. */
  private Lazy tested(Scope s, Object values) {
    Scope inner = s.inner(ofTest);
    return new Lazy(
        "generator",
        Iterators.filter(
            Values.iterator(values),
            item -> {
              s.run.step();
              target.assign(inner, item);
              return Values.truth(test.eval(inner));
            }));
  }
}
