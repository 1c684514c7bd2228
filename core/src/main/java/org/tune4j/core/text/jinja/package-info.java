/**
 * The language of chat templates, as transformers configures it: Jinja 3.1 with trimmed blocks,
 * loop controls and {@code generation} blocks, in a sandbox. A template is lexed ({@code Lexer}),
 * parsed ({@code Parser}) to expressions and statements, its names are bound to slots ({@code
 * Binder}), and it is run ({@code Template#render}) on plain values with Python's semantics ({@code
 * Values}, {@code Arithmetic}, {@code Attributes}). Nothing of Java can be reached from a template.
 */
package org.tune4j.core.text.jinja;
