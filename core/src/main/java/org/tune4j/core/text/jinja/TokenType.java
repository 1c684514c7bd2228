package org.tune4j.core.text.jinja;

/** The types of tokens, with their descriptions for error messages. */
enum TokenType {
  DATA("template data / text"),
  VARIABLE_BEGIN("begin of print statement"),
  VARIABLE_END("end of print statement"),
  BLOCK_BEGIN("begin of statement block"),
  BLOCK_END("end of statement block"),
  NAME("name"),
  STRING("string"),
  NUMBER("number"),
  OPERATOR("operator"),
  EOF("end of template");

  final String description;

  TokenType(String description) {
    this.description = description;
  }
}
