package org.tune4j.core.text.jinja;

import java.util.Map;

/** An object whose attributes a template sets: what outlives a loop's iteration. */
final class Namespace {
  final Map<Object, Object> attributes;

  Namespace(Map<Object, Object> attributes) {
    this.attributes = attributes;
  }
}
