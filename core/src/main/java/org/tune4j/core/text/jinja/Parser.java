package org.tune4j.core.text.jinja;

import com.google.common.collect.ImmutableSet;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.tune4j.core.text.jinja.Expression.Call;
import org.tune4j.core.text.jinja.Expression.Const;
import org.tune4j.core.text.jinja.Expression.Filter;
import org.tune4j.core.text.jinja.Expression.Name;
import org.tune4j.core.text.jinja.Expression.Sequence;
import org.tune4j.core.text.jinja.MacroStatement.CallBlock;
import org.tune4j.core.text.jinja.MacroStatement.Definition;
import org.tune4j.core.text.jinja.MacroStatement.Generation;

/** Parses the statements of a template. */
final class Parser extends ExpressionParser {
  private static final ImmutableSet<String> LOADING =
      ImmutableSet.of("include", "import", "from", "extends");

  /** The tags that are open, and which ends each waits for. */
  private final Deque<String> open = new ArrayDeque<>();

  private final Deque<List<String>> ends = new ArrayDeque<>();

  private Parser(List<Token> tokens) {
    super(tokens);
  }

  static List<Statement> parse(List<Token> tokens) {
    return new Parser(tokens).statements(List.of());
  }

  /** Parses up to a tag of one of some names, which is left to be read, or to the end. */
  private List<Statement> statements(List<String> until) {
    List<Statement> body = new ArrayList<>();
    while (!current().is(TokenType.EOF)) {
      Token token = advance();
      switch (token.type()) {
        case DATA -> body.add(new Statement.Output(token, List.of(new Const(token, token.text()))));
        case VARIABLE_BEGIN -> {
          Expression value = tuple(false, true, List.of(), false, false);
          body.add(new Statement.Output(token, List.of(value)));
          expect(TokenType.VARIABLE_END);
        }
        default -> {
          if (current().is(TokenType.NAME) && until.contains(current().text())) {
            return body;
          }
          body.add(nested(this::statement));
          expect(TokenType.BLOCK_END);
        }
      }
    }
    return body;
  }

  /** Parses the rest of a tag and what follows it up to one of its ends. */
  private List<Statement> body(String... until) {
    skip(":");
    expect(TokenType.BLOCK_END);
    ends.push(List.of(until));
    List<Statement> body = statements(List.of(until));
    if (current().is(TokenType.EOF)) {
      throw unfinished(current(), "Unexpected end of template.");
    }
    ends.pop();
    return body;
  }

  private List<Statement> bodyTo(String end) {
    List<Statement> body = body(end);
    advance();
    return body;
  }

  private Failure unfinished(Token at, String message) {
    StringBuilder text = new StringBuilder(message);
    if (!ends.isEmpty()) {
      text.append(" Jinja was looking for the following tags: ")
          .append(ends.peek().stream().map(Values::quoted).collect(Collectors.joining(" or ")))
          .append('.');
    }
    if (!open.isEmpty()) {
      text.append(" The innermost block that needs to be closed is ")
          .append(Values.quoted(open.peek()))
          .append('.');
    }
    return failure(at, "%s", text);
  }

  private Statement statement() {
    Token tag = current();
    if (!tag.is(TokenType.NAME)) {
      throw failure(tag, "tag name expected");
    }
    open.push(tag.text());
    Statement statement =
        switch (tag.text()) {
          case "for" -> loop(advance());
          case "if" -> condition(advance());
          case "set" -> set(advance());
          case "with" -> with(advance());
          case "macro" -> macro(advance());
          case "call" -> callBlock(advance());
          case "filter" -> filterBlock(advance());
          case "print" -> print(advance());
          case "block" -> block(advance());
          case "generation" -> new Generation(advance(), bodyTo("endgeneration"));
          case "break" -> new Statement.Jump(advance(), Statement.End.BREAK);
          case "continue" -> new Statement.Jump(advance(), Statement.End.CONTINUE);
          case "autoescape" ->
              throw failure(tag, "automatic escaping is for web pages; prompts have none");
          default -> {
            if (LOADING.contains(tag.text())) {
              yield load(advance());
            }
            open.pop();
            throw unfinished(
                tag, "Encountered unknown tag %s.".formatted(Values.quoted(tag.text())));
          }
        };
    open.pop();
    return statement;
  }

  /** Parses what is assigned to. */
  private Expression target(List<String> until, boolean attributes) {
    Token at = current();
    Expression target = tuple(true, true, until, false, attributes);
    if (target.notAssignable() != null) {
      throw failure(at, "can't assign to '%s'", target.notAssignable());
    }
    return used(target, Name.Use.STORE);
  }

  private static Expression used(Expression target, Name.Use use) {
    if (target instanceof Name n) {
      n.use = use;
    } else if (target instanceof Sequence s) {
      s.items.forEach(i -> used(i, use));
    }
    return target;
  }

  private Name name(Name.Use use) {
    Token token = expect(TokenType.NAME);
    if (Set.of("true", "True", "false", "False", "none", "None").contains(token.text())) {
      throw failure(token, "can't assign to 'name'");
    }
    Name name = new Name(token, token.text());
    name.use = use;
    return name;
  }

  private Statement loop(Token at) {
    Expression target = target(List.of("in"), false);
    expectName("in");
    Expression items = tuple(false, false, List.of("recursive"), false, false);
    Expression test = skipName("if") ? expression() : null;
    boolean recursive = skipName("recursive");
    List<Statement> body = body("endfor", "else");
    List<Statement> otherwise = advance().isName("else") ? bodyTo("endfor") : List.of();
    Expression testTarget = test == null ? null : copy(target);
    return new Loop(at, target, testTarget, items, test, recursive, body, otherwise);
  }

  private static Expression copy(Expression target) {
    Token at = new Token(TokenType.NAME, "", null, target.line, target.column);
    if (target instanceof Name n) {
      Name copy = new Name(at, n.name);
      copy.use = n.use;
      return copy;
    }
    return new Sequence(at, ((Sequence) target).items.stream().map(Parser::copy).toList(), true);
  }

  private Statement condition(Token at) {
    Statement.If first =
        new Statement.If(
            at, tuple(false, false, List.of(), false, false), body("elif", "else", "endif"));
    for (Token end = advance(); !end.isName("endif"); end = advance()) {
      if (end.isName("else")) {
        first.otherwise(bodyTo("endif"));
        break;
      }
      first.elif(
          new Statement.If(
              end, tuple(false, false, List.of(), false, false), body("elif", "else", "endif")));
    }
    return first;
  }

  private Statement set(Token at) {
    Expression target = target(List.of(), true);
    if (skip("=")) {
      return new Statement.Assign(at, target, tuple(false, true, List.of(), false, false));
    }
    Filter filter = filter(null, false);
    return new Statement.AssignBlock(at, target, filter, bodyTo("endset"));
  }

  private Statement with(Token at) {
    List<Expression> targets = new ArrayList<>();
    List<Expression> values = new ArrayList<>();
    while (!current().is(TokenType.BLOCK_END)) {
      if (!targets.isEmpty()) {
        expect(",");
      }
      targets.add(used(target(List.of(), false), Name.Use.PARAMETER));
      expect("=");
      values.add(expression());
    }
    return new Statement.With(at, targets, values, bodyTo("endwith"));
  }

  private void signature(List<Name> parameters, List<Expression> defaults) {
    expect("(");
    Set<String> names = new HashSet<>();
    while (!current().isOperator(")")) {
      if (!parameters.isEmpty()) {
        expect(",");
      }
      Token at = current();
      Name parameter = name(Name.Use.PARAMETER);
      if (!names.add(parameter.name)) {
        throw failure(at, "duplicate argument %s", Values.quoted(parameter.name));
      }
      if (skip("=")) {
        defaults.add(expression());
      } else if (!defaults.isEmpty()) {
        throw failure(at, "non-default argument follows default argument");
      }
      parameters.add(parameter);
    }
    expect(")");
  }

  private Statement macro(Token at) {
    Name name = name(Name.Use.STORE);
    List<Name> parameters = new ArrayList<>();
    List<Expression> defaults = new ArrayList<>();
    signature(parameters, defaults);
    return new Definition(at, name, parameters, defaults, bodyTo("endmacro"));
  }

  private Statement callBlock(Token at) {
    List<Name> parameters = new ArrayList<>();
    List<Expression> defaults = new ArrayList<>();
    if (current().isOperator("(")) {
      signature(parameters, defaults);
    }
    if (!(expression() instanceof Call call)) {
      throw failure(at, "expected call");
    }
    return new CallBlock(at, call, parameters, defaults, bodyTo("endcall"));
  }

  private Statement filterBlock(Token at) {
    Filter filter = filter(null, true);
    return new Statement.FilterBlock(at, filter, bodyTo("endfilter"));
  }

  private Statement print(Token at) {
    List<Expression> values = new ArrayList<>();
    while (!current().is(TokenType.BLOCK_END)) {
      if (!values.isEmpty()) {
        expect(",");
      }
      values.add(expression());
    }
    return new Statement.Output(at, values);
  }

  private Statement block(Token at) {
    String name = expect(TokenType.NAME).text();
    boolean scoped = skipName("scoped");
    boolean required = skipName("required");
    if (current().isOperator("-")) {
      throw failure(
          current(),
          "Block names in Jinja have to be valid Python identifiers and may not contain hyphens,"
              + " use an underscore instead.");
    }
    List<Statement> body = bodyTo("endblock");
    skipName(name);
    return new Statement.Block(at, name, scoped, required, body);
  }

  private Statement load(Token at) {
    Expression template = expression();
    List<Name> targets = new ArrayList<>();
    switch (at.text()) {
      case "include" -> {
        if (skipName("ignore")) {
          expectName("missing");
        }
        context();
      }
      case "import" -> {
        expectName("as");
        targets.add(name(Name.Use.STORE));
        context();
      }
      case "from" -> {
        expectName("import");
        do {
          if (!targets.isEmpty() && context()) {
            break;
          }
          Name name = name(Name.Use.STORE);
          targets.add(skipName("as") ? name(Name.Use.STORE) : name);
        } while (skip(","));
        context();
      }
      default -> {
        // extends takes no more
      }
    }
    return new Statement.Load(at, at.text(), template, targets);
  }

  private boolean context() {
    if (skipName("with") || skipName("without")) {
      expectName("context");
      return true;
    }
    return false;
  }
}
