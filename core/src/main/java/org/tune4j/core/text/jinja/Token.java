package org.tune4j.core.text.jinja;

/**
 * A token of a template.
 *
 * @param text an operator, a name, or text between tags
 * @param value of a literal: a String, Long, BigInteger or Double
 */
record Token(TokenType type, String text, Object value, int line, int column) {
  boolean is(TokenType other) {
    return type == other;
  }

  Token renamed(String other) {
    return new Token(type, other, value, line, column);
  }

  boolean isOperator(String operator) {
    return type == TokenType.OPERATOR && text.equals(operator);
  }

  boolean isName(String name) {
    return type == TokenType.NAME && text.equals(name);
  }

  /** Returns the description for error messages. */
  String describe() {
    return type == TokenType.NAME || type == TokenType.OPERATOR ? text : type.description;
  }
}
