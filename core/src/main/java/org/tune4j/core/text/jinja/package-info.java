/**
 * The language of chat templates, as transformers configures it: Jinja 3.1 with trimmed blocks,
 * loop controls and {@code generation} blocks, in a sandbox. A template is lexed ({@code Lexer})
 * and parsed ({@code Parser}) to functions that render it ({@code Statement}, {@code Expression}),
 * on plain values with Python's semantics ({@code Values}, {@code Operators}, {@code Attributes});
 * what a template can call stands in tables ({@code Filters}, {@code Tests}, {@code StringMethods},
 * {@code Globals}). Nothing of Java can be reached from a template.
 */
package org.tune4j.core.text.jinja;
