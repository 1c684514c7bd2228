package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableSet;
import com.google.errorprone.annotations.FormatMethod;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.tune4j.core.text.jinja.Expression.Binary;
import org.tune4j.core.text.jinja.Expression.Call;
import org.tune4j.core.text.jinja.Expression.CallArguments;
import org.tune4j.core.text.jinja.Expression.Concat;
import org.tune4j.core.text.jinja.Expression.Const;
import org.tune4j.core.text.jinja.Expression.Filter;
import org.tune4j.core.text.jinja.Expression.Logical;
import org.tune4j.core.text.jinja.Expression.Name;
import org.tune4j.core.text.jinja.Expression.Not;
import org.tune4j.core.text.jinja.Expression.Sequence;
import org.tune4j.core.text.jinja.Expression.Unary;

/** Parses expressions, by Jinja's grammar and precedence. */
class ExpressionParser {
  /** Python's stack ends Jinja's own parser at about 70 levels of parentheses. */
  private static final int MAX_NESTING = 100;

  private static final ImmutableSet<String> COMPARISONS =
      ImmutableSet.of("==", "!=", "<", "<=", ">", ">=");
  private static final ImmutableSet<TokenType> ARGUMENT_STARTS =
      ImmutableSet.of(TokenType.NAME, TokenType.STRING, TokenType.INTEGER, TokenType.FLOAT);

  private final List<Token> tokens;
  private int next;
  private int nesting;

  ExpressionParser(List<Token> tokens) {
    this.tokens = tokens;
  }

  // ---- tokens

  final Token current() {
    return tokens.get(next);
  }

  private Token look() {
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
    if (current().isOperator(operator)) {
      advance();
      return true;
    }
    return false;
  }

  final boolean skipName(String name) {
    if (current().isName(name)) {
      advance();
      return true;
    }
    return false;
  }

  final Token expect(TokenType type) {
    if (!current().is(type)) {
      throw unexpected(type.description);
    }
    return advance();
  }

  final Token expect(String operator) {
    if (!current().isOperator(operator)) {
      throw unexpected(operator);
    }
    return advance();
  }

  final Token expectName(String name) {
    if (!current().isName(name)) {
      throw unexpected(name);
    }
    return advance();
  }

  private Failure unexpected(String expected) {
    return current().is(TokenType.EOF)
        ? failure(current(), "unexpected end of template, expected '%s'.", expected)
        : failure(current(), "expected token '%s', got '%s'", expected, current().describe());
  }

  @FormatMethod
  static Failure failure(Token at, String format, Object... arguments) {
    return new Failure(
        TemplateException.Kind.SYNTAX, format.formatted(arguments), new Const(at, null));
  }

  /** Parses one level deeper. */
  final <T> T nested(Supplier<T> parser) {
    if (++nesting > MAX_NESTING) {
      throw new Failure(
          TemplateException.Kind.LIMIT,
          "expressions and statements are nested more than %d deep".formatted(MAX_NESTING),
          new Const(current(), null));
    }
    T result = parser.get();
    nesting--;
    return result;
  }

  // ---- from loose to tight

  final Expression expression() {
    return expression(true);
  }

  private Expression expression(boolean conditional) {
    return nested(() -> conditional ? conditional() : or());
  }

  private Expression conditional() {
    Token at = current();
    Expression result = or();
    while (skipName("if")) {
      Expression test = or();
      Expression otherwise = skipName("else") ? nested(this::conditional) : null;
      result = new Expression.Conditional(at, test, result, otherwise);
      at = current();
    }
    return result;
  }

  private Expression or() {
    Token at = current();
    Expression left = and();
    while (skipName("or")) {
      left = new Logical(at, left, and(), false);
      at = current();
    }
    return left;
  }

  private Expression and() {
    Token at = current();
    Expression left = not();
    while (skipName("and")) {
      left = new Logical(at, left, not(), true);
      at = current();
    }
    return left;
  }

  private Expression not() {
    Token at = current();
    return skipName("not") ? new Not(at, nested(this::not)) : comparison();
  }

  private Expression comparison() {
    Token at = current();
    Expression first = sum();
    List<String> operators = new ArrayList<>();
    List<Expression> others = new ArrayList<>();
    while (true) {
      Token token = current();
      if (token.is(TokenType.OPERATOR) && COMPARISONS.contains(token.text())) {
        operators.add(advance().text());
      } else if (skipName("in")) {
        operators.add("in");
      } else if (token.isName("not") && look().isName("in")) {
        advance();
        advance();
        operators.add("not in");
      } else {
        break;
      }
      others.add(sum());
    }
    return others.isEmpty() ? first : new Expression.Compare(at, first, operators, others);
  }

  private Expression sum() {
    Expression left = concat();
    while (current().isOperator("+") || current().isOperator("-")) {
      Token operator = advance();
      left = new Binary(operator, operator.text(), left, concat());
    }
    return left;
  }

  private Expression concat() {
    Token at = current();
    Expression first = product();
    if (!current().isOperator("~")) {
      return first;
    }
    List<Expression> parts = new ArrayList<>(List.of(first));
    while (skip("~")) {
      parts.add(product());
    }
    return new Concat(at, parts);
  }

  private Expression product() {
    Expression left = power();
    while (current().isOperator("*")
        || current().isOperator("/")
        || current().isOperator("//")
        || current().isOperator("%")) {
      Token operator = advance();
      left = new Binary(operator, operator.text(), left, power());
    }
    return left;
  }

  /** In Jinja, powers of powers are taken from the left. */
  private Expression power() {
    Expression left = unary(true);
    while (current().isOperator("**")) {
      Token operator = advance();
      left = new Binary(operator, "**", left, unary(true));
    }
    return left;
  }

  private Expression unary(boolean filters) {
    Token at = current();
    Expression e;
    if (skip("-")) {
      e = new Unary(at, "-", nested(() -> unary(false)));
    } else if (skip("+")) {
      e = new Unary(at, "+", nested(() -> unary(false)));
    } else {
      e = primary(false);
    }
    e = postfix(e);
    return filters ? filters(e) : e;
  }

  /**
   * Parses a name or a literal.
   *
   * @param attributes whether a name may be followed by an attribute, to assign to
   */
  final Expression primary(boolean attributes) {
    Token token = current();
    if (token.is(TokenType.NAME)) {
      advance();
      return name(token, attributes);
    }
    if (token.is(TokenType.STRING)) {
      StringBuilder text = new StringBuilder();
      while (current().is(TokenType.STRING)) {
        text.append((String) advance().value());
      }
      return new Const(token, text.toString());
    }
    if (token.is(TokenType.INTEGER) || token.is(TokenType.FLOAT)) {
      return new Const(token, advance().value());
    }
    if (skip("(")) {
      Expression inside = nested(() -> tuple(false, true, List.of(), true, false));
      expect(")");
      return inside;
    }
    if (token.isOperator("[")) {
      return list();
    }
    if (token.isOperator("{")) {
      return dict();
    }
    throw failure(token, "unexpected '%s'", token.describe());
  }

  private Expression name(Token token, boolean attributes) {
    return switch (token.text()) {
      case "true", "True" -> new Const(token, true);
      case "false", "False" -> new Const(token, false);
      case "none", "None" -> new Const(token, null);
      default ->
          attributes && skip(".")
              ? new Expression.NamespaceAttribute(
                  token, token.text(), expect(TokenType.NAME).text())
              : new Name(token, token.text());
    };
  }

  /**
   * Parses expressions with commas between them: a tuple, or without a comma the expression itself.
   *
   * @param simple whether only names and literals are allowed, as in targets
   * @param conditional whether {@code a if b} is an expression here
   * @param ends names that end it
   * @param parentheses whether it stands in parentheses, and so may be empty
   * @param attributes as in {@link #primary}
   */
  final Expression tuple(
      boolean simple,
      boolean conditional,
      List<String> ends,
      boolean parentheses,
      boolean attributes) {
    Token at = current();
    List<Expression> items = new ArrayList<>();
    boolean isTuple = false;
    while (true) {
      if (!items.isEmpty()) {
        expect(",");
      }
      Token token = current();
      if (token.is(TokenType.VARIABLE_END)
          || token.is(TokenType.BLOCK_END)
          || token.isOperator(")")
          || (token.is(TokenType.NAME) && ends.contains(token.text()))) {
        break;
      }
      items.add(simple ? primary(attributes) : expression(conditional));
      if (!current().isOperator(",")) {
        break;
      }
      isTuple = true;
    }
    if (!isTuple) {
      if (!items.isEmpty()) {
        return items.get(0);
      }
      if (!parentheses) {
        throw failure(current(), "Expected an expression, got '%s'", current().describe());
      }
    }
    return new Sequence(at, items, true);
  }

  private Expression list() {
    Token at = expect("[");
    List<Expression> items = new ArrayList<>();
    while (!current().isOperator("]")) {
      if (!items.isEmpty()) {
        expect(",");
      }
      if (current().isOperator("]")) {
        break;
      }
      items.add(expression());
    }
    expect("]");
    return new Sequence(at, items, false);
  }

  private Expression dict() {
    Token at = expect("{");
    List<Expression> keys = new ArrayList<>();
    List<Expression> values = new ArrayList<>();
    while (!current().isOperator("}")) {
      if (!keys.isEmpty()) {
        expect(",");
      }
      if (current().isOperator("}")) {
        break;
      }
      keys.add(expression());
      expect(":");
      values.add(expression());
    }
    expect("}");
    return new Expression.Dict(at, keys, values);
  }

  private Expression postfix(Expression e) {
    Expression result = e;
    while (true) {
      if (current().isOperator(".") || current().isOperator("[")) {
        result = subscript(result);
      } else if (current().isOperator("(")) {
        result = new Call(current(), result, arguments());
      } else {
        return result;
      }
    }
  }

  private Expression filters(Expression e) {
    Expression result = e;
    while (true) {
      if (current().isOperator("|")) {
        result = filter(result, false);
      } else if (current().isName("is")) {
        result = test(result);
      } else if (current().isOperator("(")) {
        result = new Call(current(), result, arguments());
      } else {
        return result;
      }
    }
  }

  private Expression subscript(Expression owner) {
    Token token = advance();
    if (token.isOperator(".")) {
      Token attribute = advance();
      if (attribute.is(TokenType.NAME)) {
        return new Expression.Attribute(attribute, owner, attribute.text());
      }
      if (!attribute.is(TokenType.INTEGER)) {
        throw failure(attribute, "expected name or number");
      }
      return new Expression.Item(token, owner, new Const(attribute, attribute.value()));
    }
    List<Expression> keys = new ArrayList<>();
    while (!current().isOperator("]")) {
      if (!keys.isEmpty()) {
        expect(",");
      }
      Expression slice = slice(owner, token, keys);
      if (slice != null) {
        return slice;
      }
    }
    expect("]");
    return new Expression.Item(
        token, owner, keys.size() == 1 ? keys.get(0) : new Sequence(token, keys, true));
  }

  /** Parses a key into the list, or returns a slice. */
  private Expression slice(Expression owner, Token at, List<Expression> keys) {
    Expression start = null;
    if (!current().isOperator(":")) {
      start = expression();
      if (!current().isOperator(":")) {
        keys.add(start);
        return null;
      }
    }
    expect(":");
    Expression stop = bound();
    Expression step = skip(":") ? bound() : null;
    if (!keys.isEmpty() || !current().isOperator("]")) {
      throw failure(current(), "a slice among several keys is not known");
    }
    expect("]");
    return new Expression.Slice(at, owner, start, stop, step);
  }

  private Expression bound() {
    Token token = current();
    boolean absent = token.isOperator(":") || token.isOperator("]") || token.isOperator(",");
    return absent ? null : expression();
  }

  private CallArguments arguments() {
    Token open = expect("(");
    List<Expression> positional = new ArrayList<>();
    Map<String, Expression> named = new LinkedHashMap<>();
    Expression spread = null;
    Expression spreadNamed = null;
    boolean first = true;
    while (!current().isOperator(")")) {
      if (!first) {
        expect(",");
        if (current().isOperator(")")) {
          break;
        }
      }
      first = false;
      boolean valid;
      if (skip("*")) {
        valid = spread == null && spreadNamed == null;
        spread = expression();
      } else if (skip("**")) {
        valid = spreadNamed == null;
        spreadNamed = expression();
      } else if (current().is(TokenType.NAME) && look().isOperator("=")) {
        Token name = advance();
        advance();
        valid = spreadNamed == null;
        if (named.put(name.text(), expression()) != null) {
          throw failure(name, "keyword argument repeated: %s", name.text());
        }
      } else {
        valid = spread == null && spreadNamed == null && named.isEmpty();
        positional.add(expression());
      }
      if (!valid) {
        throw failure(open, "invalid syntax for function call expression");
      }
    }
    expect(")");
    return new CallArguments(positional, named, spread, spreadNamed);
  }

  /**
   * Parses filters, one after the other.
   *
   * @param named whether a filter's name comes first, without the bar before it
   */
  final Filter filter(Expression of, boolean named) {
    boolean inline = named;
    Filter result = null;
    Expression value = of;
    while (inline || skip("|")) {
      inline = false;
      Token at = current();
      String name = dottedName();
      CallArguments arguments = current().isOperator("(") ? arguments() : CallArguments.NONE;
      result = new Filter(at, name, false, value, arguments);
      value = result;
    }
    return result;
  }

  private String dottedName() {
    StringBuilder name = new StringBuilder(expect(TokenType.NAME).text());
    while (skip(".")) {
      name.append('.').append(expect(TokenType.NAME).text());
    }
    return name.toString();
  }

  private Expression test(Expression of) {
    Token is = advance();
    boolean negated = skipName("not");
    Token at = current();
    String name = dottedName();
    CallArguments arguments = CallArguments.NONE;
    Token token = current();
    if (token.isOperator("(")) {
      arguments = arguments();
    } else if ((ARGUMENT_STARTS.contains(token.type())
            || token.isOperator("[")
            || token.isOperator("{"))
        && !token.isName("else")
        && !token.isName("or")
        && !token.isName("and")) {
      if (token.isName("is")) {
        throw failure(token, "You cannot chain multiple tests with is");
      }
      arguments = new CallArguments(List.of(postfix(primary(false))), Map.of(), null, null);
    }
    Filter test = new Filter(at, name, true, of, arguments);
    return negated ? new Not(is, test) : test;
  }
}
