package org.tune4j.core.text.jinja;

import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/** A parser's position in the tokens of a template, and its nesting depth. */
class Cursor {
  /** Jinja's own parser overflows Python's stack at about 70 levels of parentheses. */
  static final int MAX_NESTING = 100;

  private final List<Token> tokens;
  private int next;
  private int nesting;

  /** The deepest nesting since the start of a macro. */
  private int deepest;

  Cursor(List<Token> tokens) {
    this.tokens = tokens;
  }

  final Token current() {
    return tokens.get(next);
  }

  final Token look() {
    return tokens.get(Math.min(next + 1, tokens.size() - 1));
  }

  final Token advance() {
    Token token = current();
    if (!token.is(TokenType.EOF)) {
      next++;
    }
    return token;
  }

  final boolean skip(String operator) {
    boolean found = current().isOperator(operator);
    if (found) {
      advance();
    }
    return found;
  }

  final boolean skipName(String name) {
    boolean found = current().isName(name);
    if (found) {
      advance();
    }
    return found;
  }

  /**
   * Consumes and returns the current operator or name if it is in the set; otherwise returns null.
   */
  final Token take(Set<String> of) {
    Token token = current();
    boolean word = token.is(TokenType.OPERATOR) || token.is(TokenType.NAME);
    return word && of.contains(token.text()) ? advance() : null;
  }

  final Token expect(TokenType type) {
    return expect(current().is(type), type.description);
  }

  final Token expect(String operator) {
    return expect(current().isOperator(operator), operator);
  }

  final Token expectName(String name) {
    return expect(current().isName(name), name);
  }

  private Token expect(boolean found, String expected) {
    if (!found) {
      throw Failure.syntax(current(), "expected '%s', found '%s'", expected, current().describe());
    }
    return advance();
  }

  // ---- nesting

  /** Parses one level deeper. */
  final <T> T nested(Supplier<T> parser) {
    checkNesting(++nesting, MAX_NESTING);
    deepest = Math.max(deepest, nesting);
    T result = parser.get();
    nesting--;
    return result;
  }

  final void checkNesting(int levels, int most) {
    if (levels > most) {
      throw Failure.at(
          current(), Kind.LIMIT, "expressions and statements are nested more than %d deep", most);
    }
  }

  /** Runs a parser and returns how deeply its input is nested. */
  final int depth(Runnable parser) {
    int outer = deepest;
    deepest = nesting;
    parser.run();
    int depth = deepest - nesting + 1;
    deepest = Math.max(outer, deepest);
    return depth;
  }
}
