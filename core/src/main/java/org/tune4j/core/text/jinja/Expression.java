package org.tune4j.core.text.jinja;

/** A part of a template that has a value. */
interface Expression {
  Object eval(Scope s);

  /** What is done to a value, such as looking up an attribute, calling or filtering it. */
  interface Step {
    Object apply(Scope s, Object v);
  }
}
