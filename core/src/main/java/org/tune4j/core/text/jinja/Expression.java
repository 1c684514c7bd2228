package org.tune4j.core.text.jinja;

/** A part of a template that has a value. */
interface Expression {
  Object eval(Scope s);

  /** An operation on a value, such as an attribute lookup, a call or a filter. */
  interface Step {
    Object apply(Scope s, Object v);
  }
}
