package org.tune4j.core.text.jinja;

import java.util.function.Supplier;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/**
 * An undefined value: it prints as an empty string and is false; nearly all other uses are errors.
 */
final class Undefined {
  private final Kind kind;
  private final Supplier<String> message;

  private Undefined(Kind kind, Supplier<String> message) {
    this.kind = kind;
    this.message = message;
  }

  static Undefined name(String name) {
    return new Undefined(Kind.UNDEFINED, () -> "'%s' is undefined".formatted(name));
  }

  static Undefined because(String message) {
    return new Undefined(Kind.UNDEFINED, () -> message);
  }

  /** An attribute that exists, but that a template must not access. */
  static Undefined unsafe(Object owner, String name) {
    return new Undefined(
        Kind.SECURITY,
        () ->
            "access to attribute '%s' of '%s' object is unsafe"
                .formatted(name, Values.typeName(owner)));
  }

  static Undefined element(Object owner, Object key) {
    return new Undefined(
        Kind.UNDEFINED,
        () ->
            "'%s object' has no %s %s"
                .formatted(
                    Values.typeName(owner),
                    key instanceof String ? "attribute" : "element",
                    Printing.quoted(key)));
  }

  /** Returns the error of using it. */
  Failure failure() {
    return Failure.of(kind, "%s", message.get());
  }
}
