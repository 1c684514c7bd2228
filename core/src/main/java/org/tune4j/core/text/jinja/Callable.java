package org.tune4j.core.text.jinja;

/** What a template can call. */
interface Callable {
  Object call(Arguments arguments);

  String typeName();
}
