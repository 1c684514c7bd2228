package org.tune4j.core.text.jinja;

import com.google.errorprone.annotations.FormatMethod;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** An error without its place yet; {@link Template} adds that. */
final class Failure extends RuntimeException {
  private static final long serialVersionUID = 1L;

  final Kind kind;

  /** The place where it is not that of the running node; null else. */
  final transient Node at;

  Failure(Kind kind, String message, Node at) {
    super(message, null, false, false);
    this.kind = kind;
    this.at = at;
  }

  @FormatMethod
  static Failure of(Kind kind, String format, Object... arguments) {
    return new Failure(kind, format.formatted(arguments), /* at= */ null);
  }

  @FormatMethod
  static Failure type(String format, Object... arguments) {
    return of(Kind.TYPE, format, arguments);
  }

  @FormatMethod
  static Failure value(String format, Object... arguments) {
    return of(Kind.VALUE, format, arguments);
  }

  @FormatMethod
  static Failure runtime(String format, Object... arguments) {
    return of(Kind.RUNTIME, format, arguments);
  }

  @FormatMethod
  static Failure overflow(String format, Object... arguments) {
    return of(Kind.OVERFLOW, format, arguments);
  }

  @FormatMethod
  static Failure limit(String format, Object... arguments) {
    return of(Kind.LIMIT, format, arguments);
  }
}
