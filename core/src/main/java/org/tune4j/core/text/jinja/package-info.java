/**
 * The language of chat templates, as transformers configures it: Jinja 3.1 with trimmed blocks,
 * loop controls and {@code generation} blocks, in a sandbox. A template is lexed ({@code Lexer})
 * and parsed ({@code Parser}) into functions that render it ({@code Statement}, {@code
 * Expression}), on plain values with Python's semantics ({@code Values}, {@code Operators}, {@code
 * Attributes}); the functions that a template can call are in tables ({@code Filters}, {@code
 * Tests}, {@code StringMethods}, {@code Globals}). A template has no access to Java.
 */
package org.tune4j.core.text.jinja;
