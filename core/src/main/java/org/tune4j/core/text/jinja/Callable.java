package org.tune4j.core.text.jinja;

/** A value that a template can call. */
interface Callable {
  Object call(Arguments arguments);

  String typeName();
}
