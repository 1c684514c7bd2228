package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import org.tune4j.core.text.jinja.CallArguments.CallStep;
import org.tune4j.core.text.jinja.Expression.Step;
import org.tune4j.core.text.jinja.Values.Tuple;

/** Parses expressions with Jinja's grammar and precedence into their evaluators. */
class ExpressionParser extends Cursor {
  /** Maximum number of operations on one value, such as {@code a.b.c|d}. */
  private static final int MAX_STEPS = 400;

  /** Values of the names of constants; empty for none. */
  static final ImmutableMap<String, Optional<Object>> CONSTANTS =
      ImmutableMap.of(
          "true", Optional.of(true),
          "True", Optional.of(true),
          "false", Optional.of(false),
          "False", Optional.of(false),
          "none", Optional.empty(),
          "None", Optional.empty());

  private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=", "in");
  private static final Set<String> PRODUCTS = Set.of("*", "/", "//", "%");

  /** The names of the current scope. */
  Names names = new Names(null);

  /** Unknown filters and tests, which are an error except in a condition. */
  private final List<Failure> unknown = new ArrayList<>();

  /** Whether the parser is in a condition. */
  boolean soft;

  ExpressionParser(List<Token> tokens) {
    super(tokens);
  }

  /**
   * Parses a part of a statement, in which filters and tests must be known except in conditions.
   */
  final <T> T checked(Supplier<T> parser) {
    T result = parser.get();
    if (!soft && !unknown.isEmpty()) {
      throw unknown.get(0);
    }
    unknown.clear();
    return result;
  }

  // ---- operators by increasing precedence

  final Expression expression() {
    return nested(this::conditional);
  }

  private Expression conditional() {
    int known = unknown.size();
    Expression result = or();
    for (int count = 1; current().isName("if"); count++) {
      checkNesting(count, MAX_NESTING);
      Token at = advance();
      Expression then = result;
      Expression test = or();
      Expression otherwise =
          skipName("else")
              ? nested(this::conditional)
              : s ->
                  Undefined.because(
                      "the condition on line %d is false and has no else".formatted(at.line()));
      result = s -> Values.truth(test.eval(s)) ? then.eval(s) : otherwise.eval(s);
      unknown.subList(known, unknown.size()).clear();
    }
    return result;
  }

  private Expression or() {
    return chain(() -> take(Set.of("or")), this::and, Combination::or);
  }

  private Expression and() {
    return chain(() -> take(Set.of("and")), this::not, Combination::and);
  }

  private Expression not() {
    if (!skipName("not")) {
      return chain(this::comparison, this::sum, Combination::compare);
    }
    Expression of = nested(this::not);
    return s -> !Values.truth(of.eval(s));
  }

  /** Consumes and returns a comparison operator; null if there is none. */
  private Token comparison() {
    if (!current().isName("not") || !look().isName("in")) {
      return take(COMPARISONS);
    }
    advance();
    return advance().renamed("not in");
  }

  private Expression sum() {
    return chain(() -> take(Set.of("+", "-")), this::concatenation, Combination::compute);
  }

  private Expression concatenation() {
    return chain(() -> take(Set.of("~")), this::product, Combination::join);
  }

  private Expression product() {
    return chain(() -> take(PRODUCTS), this::power, Combination::compute);
  }

  /** In Jinja, powers are left-associative like all other operators. */
  private Expression power() {
    return chain(() -> take(Set.of("**")), () -> unary(true), Combination::compute);
  }

  private static Expression chain(
      Supplier<Token> operator, Supplier<Expression> operand, Combination combination) {
    Expression first = operand.get();
    List<Token> operators = new ArrayList<>();
    List<Expression> others = new ArrayList<>();
    for (Token o = operator.get(); o != null; o = operator.get()) {
      operators.add(o);
      others.add(operand.get());
    }
    return others.isEmpty() ? first : s -> combination.eval(s, first, operators, others);
  }

  private Expression unary(boolean filters) {
    Token at = current();
    if (!at.isOperator("-") && !at.isOperator("+")) {
      return steps(primary(), filters);
    }
    advance();
    Expression of = nested(() -> unary(/* filters= */ false));
    Expression signed =
        s -> {
          Object v = of.eval(s);
          s.run.at = at;
          return Operators.unary(at.text(), v);
        };
    return steps(signed, filters);
  }

  // ---- names and literals

  private Expression primary() {
    Token token = current();
    if (token.is(TokenType.NAME)) {
      return name(advance());
    }
    if (token.is(TokenType.STRING)) {
      StringBuilder text = new StringBuilder();
      while (current().is(TokenType.STRING)) {
        text.append((String) advance().value());
      }
      return constant(text.toString());
    }
    if (token.is(TokenType.NUMBER)) {
      return constant(advance().value());
    }
    if (skip("(")) {
      Expression inside =
          current().isOperator(")")
              ? constant(Tuple.of())
              : nested(() -> tuple(this::expression, ""));
      expect(")");
      return inside;
    }
    if (skip("[")) {
      return list(items("]", this::expression), /* tuple= */ false);
    }
    if (skip("{")) {
      return dict(token);
    }
    throw Failure.syntax(token, "unexpected '%s'", token.describe());
  }

  private static Expression constant(Object value) {
    return s -> value;
  }

  final Expression name(Token at) {
    String name = at.text();
    if (CONSTANTS.containsKey(name)) {
      return constant(CONSTANTS.get(name).orElse(null));
    }
    names.read(name);
    return s -> {
      s.run.at = at;
      return s.get(name);
    };
  }

  /**
   * Parses expressions separated by commas: a tuple, or without a comma the expression itself.
   *
   * @param end a name that ends it
   */
  final Expression tuple(Supplier<Expression> item, String end) {
    List<Expression> items = new ArrayList<>();
    items.add(item.get());
    boolean isTuple = false;
    while (skip(",")) {
      isTuple = true;
      Token token = current();
      if (token.is(TokenType.VARIABLE_END)
          || token.is(TokenType.BLOCK_END)
          || token.isOperator(")")
          || token.isName(end)) {
        break;
      }
      items.add(item.get());
    }
    return isTuple ? list(items, /* tuple= */ true) : items.get(0);
  }

  /** Parses an expression other than a conditional {@code a if b}. */
  final Expression unconditional() {
    return nested(this::or);
  }

  private static Expression list(List<Expression> items, boolean tuple) {
    return s -> {
      List<Object> values = new ArrayList<>(items.size());
      for (Expression item : items) {
        values.add(item.eval(s));
      }
      s.run.madeElements(values.size(), values.size());
      return tuple ? Tuple.of(values) : values;
    };
  }

  /** Parses items separated by commas, with an optional trailing one, up to a bracket. */
  private <T> List<T> items(String end, Supplier<T> item) {
    List<T> items = new ArrayList<>();
    while (!skip(end)) {
      if (!items.isEmpty()) {
        expect(",");
        if (skip(end)) {
          break;
        }
      }
      items.add(item.get());
    }
    return items;
  }

  private Expression dict(Token at) {
    List<Expression> keys = new ArrayList<>();
    List<Expression> values =
        items(
            "}",
            () -> {
              keys.add(expression());
              expect(":");
              return expression();
            });
    return s -> {
      Map<Object, Object> map = new LinkedHashMap<>();
      for (int i = 0; i < keys.size(); i++) {
        Object key = keys.get(i).eval(s);
        Object value = values.get(i).eval(s);
        s.run.at = at;
        map.put(Values.key(key), value);
      }
      s.run.madeElements(map.size(), map.size());
      return map;
    };
  }

  // ---- attributes, items, calls, filters and tests

  /** An expression whose last step is a call. */
  record Call(Expression callee, CallStep step) {}

  private record Chain(Expression first, List<Step> steps) implements Expression {
    @Override
    public Object eval(Scope s) {
      Object v = first.eval(s);
      for (Step step : steps) {
        v = step.apply(s, v);
      }
      return v;
    }
  }

  /** Parses an expression that must be a call. */
  final Call call(Token at) {
    if (expression() instanceof Chain c
        && c.steps.get(c.steps.size() - 1) instanceof CallStep call) {
      return new Call(new Chain(c.first, c.steps.subList(0, c.steps.size() - 1)), call);
    }
    throw Failure.syntax(at, "expected a call");
  }

  private Expression steps(Expression of, boolean filters) {
    List<Step> steps = new ArrayList<>();
    boolean filtered = false; // after a filter only calls, filters and tests may follow
    while (true) {
      checkNesting(steps.size(), MAX_STEPS);
      Token token = current();
      if (token.isOperator("(")) {
        steps.add(new CallStep(token, arguments()));
      } else if (!filtered && skip(".")) {
        steps.add(attribute(token));
      } else if (!filtered && skip("[")) {
        steps.add(subscript(token));
      } else if (filters && skip("|")) {
        steps.add(filter());
        filtered = true;
      } else if (filters && skipName("is")) {
        steps.add(test());
        filtered = true;
      } else {
        return steps.isEmpty() ? of : new Chain(of, List.copyOf(steps));
      }
    }
  }

  private Step attribute(Token dot) {
    Token name = advance();
    if (!name.is(TokenType.NAME)
        && !(name.is(TokenType.NUMBER) && Numbers.isInteger(name.value()))) {
      throw Failure.syntax(name, "expected a name or a number");
    }
    boolean number = name.is(TokenType.NUMBER);
    Token at = number ? dot : name;
    return (s, v) -> {
      s.run.at = at;
      return number ? Attributes.item(v, name.value()) : Attributes.get(v, name.text());
    };
  }

  private Step subscript(Token at) {
    Expression[] bounds = new Expression[3];
    int colons = 0;
    while (!skip("]")) {
      if (colons < 2 && skip(":")) {
        colons++;
      } else if (bounds[colons] == null) {
        bounds[colons] = expression();
      } else {
        throw Failure.syntax(current(), "several keys in brackets are not supported");
      }
    }
    if (colons == 0) {
      Expression key = bounds[0] == null ? constant(Tuple.of()) : bounds[0];
      return (s, v) -> {
        Object k = key.eval(s);
        s.run.at = at;
        return Attributes.item(v, k);
      };
    }
    return (s, v) -> {
      Object[] of = new Object[3];
      for (int i = 0; i < 3; i++) {
        of[i] = bounds[i] == null ? null : bounds[i].eval(s);
      }
      s.run.at = at;
      return Attributes.slice(v, of[0], of[1], of[2]);
    };
  }

  private CallArguments arguments() {
    Token open = expect("(");
    CallArguments arguments = new CallArguments();
    items(
        ")",
        () -> {
          if (skip("*")) {
            arguments.spread(open, expression());
          } else if (skip("**")) {
            arguments.spreadNamed(open, expression());
          } else if (current().is(TokenType.NAME) && look().isOperator("=")) {
            Token name = advance();
            advance();
            arguments.add(name, name.text(), expression());
          } else {
            arguments.add(open, expression());
          }
          return open;
        });
    return arguments;
  }

  /** Parses a sequence of filters, each preceded by a bar. */
  final List<Step> filters() {
    List<Step> filters = new ArrayList<>();
    while (skip("|")) {
      filters.add(filter());
    }
    return filters;
  }

  /** Parses a filter's name and arguments. */
  final Step filter() {
    Token at = current();
    String name = dottedName();
    CallArguments arguments = current().isOperator("(") ? arguments() : new CallArguments();
    return application(at, "filter", Filters.ALL.get(name), name, arguments);
  }

  private String dottedName() {
    StringBuilder name = new StringBuilder(expect(TokenType.NAME).text());
    while (skip(".")) {
      name.append('.').append(expect(TokenType.NAME).text());
    }
    return name.toString();
  }

  private Step application(
      Token at, String what, Builtin function, String name, CallArguments arguments) {
    if (function == null) {
      unknown.add(Globals.unknown(at, what, "'" + name + "'"));
    }
    return (s, v) -> {
      s.run.at = at;
      Arguments values = arguments.eval(s).prepend(v);
      s.run.at = at;
      s.run.step();
      if (function == null) {
        throw Globals.unknown(null, what, "'" + name + "'");
      }
      return function.call(values);
    };
  }

  private Step test() {
    boolean negated = skipName("not");
    Token at = current();
    String name = dottedName();
    CallArguments arguments = new CallArguments();
    Token token = current();
    boolean word = token.is(TokenType.NAME) && !Set.of("else", "or", "and").contains(token.text());
    if (token.isOperator("(")) {
      arguments = arguments();
    } else if (word
        || token.is(TokenType.STRING)
        || token.is(TokenType.NUMBER)
        || token.isOperator("[")
        || token.isOperator("{")) {
      if (token.isName("is")) {
        throw Failure.syntax(token, "tests cannot be chained with is");
      }
      arguments.add(at, steps(primary(), /* filters= */ false));
    }
    Step test = application(at, "test", Tests.ALL.get(name), name, arguments);
    return negated ? (s, v) -> !Values.truth(test.apply(s, v)) : test;
  }
}
