package org.tune4j.core.text.jinja;

import com.google.common.base.Ascii;

/** An error in a template, or in rendering it. The message names the template, line and column. */
public final class TemplateException extends IllegalArgumentException {
  private static final long serialVersionUID = 1L;

  /** The kind of error, as distinguished by Jinja and Python. */
  public enum Kind {
    /** The template called {@code raise_exception}. */
    RAISE,
    /** An undefined value was used. */
    UNDEFINED,
    /** The template is not well-formed, or has an unknown construct. */
    SYNTAX,
    /** The sandbox forbids the operation. */
    SECURITY,
    /** An operation does not accept values of this type. */
    TYPE,
    /** An operation does not accept this value. */
    VALUE,
    /** Another error while rendering. */
    RUNTIME,
    /** A number or a range is too large. */
    OVERFLOW,
    /** A division by zero. */
    ZERODIVISION,
    /** A limit on work, memory, output or nesting was reached; see {@link Limits}. */
    LIMIT,
    /** The thread was interrupted while rendering; it still is. */
    INTERRUPTED;

    /** Returns the name in lower case. */
    public String label() {
      return Ascii.toLowerCase(name());
    }
  }

  private final Kind kind;
  private final String template;
  private final int line;
  private final int column;
  private final String detail;

  TemplateException(
      Kind kind, String template, int line, int column, String detail, Throwable cause) {
    super(
        "%s, line %d, column %d: %s%s"
            .formatted(
                template, line, column, kind == Kind.RAISE ? "the template refuses: " : "", detail),
        cause);
    this.kind = kind;
    this.template = template;
    this.line = line;
    this.column = column;
    this.detail = detail;
  }

  /** Returns the kind of error. */
  public Kind kind() {
    return kind;
  }

  /** Returns the template's name, usually its file. */
  public String template() {
    return template;
  }

  /** Returns the line, from 1. */
  public int line() {
    return line;
  }

  /** Returns the column, from 1, in UTF-16 units. */
  public int column() {
    return column;
  }

  /**
   * Returns the message without the location; for {@link Kind#RAISE}, the template's own message.
   */
  public String detail() {
    return detail;
  }
}
