package org.tune4j.core.text.jinja;

import com.google.common.base.Ascii;

/**
 * A template that cannot be understood, or that refuses or fails on what it is given. The message
 * names the template, line and column.
 */
public final class TemplateException extends IllegalArgumentException {
  private static final long serialVersionUID = 1L;

  /** What went wrong, as Jinja and Python tell it apart. */
  public enum Kind {
    /** The template itself refuses, by {@code raise_exception}. */
    RAISE,
    /** Something undefined was used. */
    UNDEFINED,
    /** The template is not well-formed, or has a construct that is not known. */
    SYNTAX,
    /** The sandbox forbids it. */
    SECURITY,
    /** An operation does not take values of this type. */
    TYPE,
    /** An operation does not take this value. */
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

  /** Returns what went wrong. */
  public Kind kind() {
    return kind;
  }

  /** Returns the template's name, as a rule its file. */
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

  /** Returns the message without the place; of {@link Kind#RAISE}, what the template says. */
  public String detail() {
    return detail;
  }
}
