package org.tune4j.core.text.jinja;

import java.util.function.Supplier;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** What is not there: it prints as nothing and is false; nearly all other use is an error. */
final class Undefined {
  private final Supplier<String> message;
  private final Kind kind;

  private Undefined(Kind kind, Supplier<String> message) {
    this.kind = kind;
    this.message = message;
  }

  static Undefined name(String name) {
    return new Undefined(Kind.UNDEFINED, () -> Values.quoted(name) + " is undefined");
  }

  static Undefined because(String message) {
    return new Undefined(Kind.UNDEFINED, () -> message);
  }

  /** What an object has, but a template may not touch. */
  static Undefined unsafe(Object owner, String name) {
    return new Undefined(
        Kind.SECURITY,
        () ->
            "access to attribute %s of '%s' object is unsafe."
                .formatted(Values.quoted(name), Values.typeName(owner)));
  }

  static Undefined element(Object owner, Object key) {
    return new Undefined(
        Kind.UNDEFINED,
        () -> {
          String type = owner == null ? "None" : Values.typeName(owner) + " object";
          return key instanceof String name
              ? "'%s' has no attribute %s".formatted(type, Values.quoted(name))
              : "%s has no element %s".formatted(type, Values.quoted(key));
        });
  }

  Failure failure() {
    return Failure.of(kind, "%s", message.get());
  }
}
