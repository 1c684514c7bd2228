package org.tune4j.core.text.jinja;

import com.google.errorprone.annotations.FormatMethod;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** An error without the template's name, which {@link Template} adds. */
final class Failure extends RuntimeException {
  private static final long serialVersionUID = 1L;

  final Kind kind;

  /** The location; null if it is that of {@link Run#at}. */
  final transient Token at;

  private Failure(Kind kind, Token at, String message) {
    super(message, null, false, false);
    this.kind = kind;
    this.at = at;
  }

  @FormatMethod
  static Failure at(Token at, Kind kind, String format, Object... arguments) {
    return new Failure(kind, at, format.formatted(arguments));
  }

  @FormatMethod
  static Failure of(Kind kind, String format, Object... arguments) {
    return new Failure(kind, /* at= */ null, format.formatted(arguments));
  }

  @FormatMethod
  static Failure syntax(Token at, String format, Object... arguments) {
    return new Failure(Kind.SYNTAX, at, format.formatted(arguments));
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
  static Failure limit(String format, Object... arguments) {
    return of(Kind.LIMIT, format, arguments);
  }

  /** A feature of Jinja or Python that this interpreter rejects rather than deviating from it. */
  @FormatMethod
  static Failure unsupported(String format, Object... arguments) {
    return runtime("%s is not supported in chat templates", format.formatted(arguments));
  }
}
