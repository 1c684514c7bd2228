package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.tune4j.core.text.jinja.Expression.Step;
import org.tune4j.core.text.jinja.Statement.End;

/** Parses a template into statements that render it. */
final class Parser extends ExpressionParser {
  private final Set<String> blocks = new HashSet<>();

  /** Whether the parser is in a loop, so that it can be left. */
  private boolean inLoop;

  private boolean generation;

  private Parser(List<Token> tokens) {
    super(tokens);
  }

  /**
   * A parsed template.
   *
   * @param generation whether it has generation blocks, which mark what the assistant generates
   */
  record Parsed(Names names, Statement body, boolean generation) {}

  static Parsed parse(List<Token> tokens) {
    Parser parser = new Parser(tokens);
    Statement body = parser.statements(Set.of());
    return new Parsed(parser.names, body, parser.generation);
  }

  /** Parses up to a tag with one of the names, which is not consumed, or up to the end. */
  private Statement statements(Set<String> until) {
    List<Statement> body = new ArrayList<>();
    while (!current().is(TokenType.EOF)) {
      Token token = advance();
      if (token.is(TokenType.DATA)) {
        body.add(output(s -> token.text()));
      } else if (token.is(TokenType.VARIABLE_BEGIN)) {
        body.add(output(tuple(this::expression)));
        expect(TokenType.VARIABLE_END);
      } else if (current().is(TokenType.NAME) && until.contains(current().text())) {
        return Statement.all(body);
      } else {
        body.add(nested(this::statement));
        expect(TokenType.BLOCK_END);
      }
    }
    if (!until.isEmpty()) {
      throw Failure.syntax(current(), "the template ends before %s", until);
    }
    return Statement.all(body);
  }

  private static Statement output(Expression e) {
    return s -> {
      s.run.write(Printing.str(e.eval(s)));
      return End.NORMAL;
    };
  }

  private Expression tuple(Supplier<Expression> item) {
    return checked(() -> tuple(item, ""));
  }

  /** Parses the rest of a tag and its body, up to one of the end tags. */
  private Statement body(String... until) {
    skip(":");
    expect(TokenType.BLOCK_END);
    return statements(Set.of(until));
  }

  /** Parses a body including its end tag. */
  private Statement whole(String end) {
    Statement body = body(end);
    advance();
    return body;
  }

  /** Parses a part with a scope of its own. */
  private <T> T scoped(Names inner, boolean loop, Supplier<T> parser) {
    Names outer = names;
    boolean outerLoop = inLoop;
    boolean outerSoft = soft;
    names = inner;
    inLoop = loop;
    soft = false;
    T result = parser.get();
    names = outer;
    inLoop = outerLoop;
    soft = outerSoft;
    return result;
  }

  private Statement statement() {
    Token tag = expect(TokenType.NAME);
    return switch (tag.text()) {
      case "for" -> loop(tag);
      case "if" -> condition();
      case "set" -> set(tag);
      case "with" -> with();
      case "macro" -> macro();
      case "call" -> callBlock(tag);
      case "filter" -> filterBlock();
      case "print" -> print();
      case "block" -> block(tag);
      case "generation" -> generation();
      case "break", "continue" -> jump(tag);
      case "include", "import", "from", "extends" -> load(tag);
      case "autoescape" ->
          throw Failure.syntax(tag, "the tag 'autoescape' is not supported in chat templates");
      default -> throw Failure.syntax(tag, "Encountered unknown tag '%s'.", tag.text());
    };
  }

  private Statement print() {
    List<Statement> outputs = new ArrayList<>();
    while (!current().is(TokenType.BLOCK_END)) {
      if (!outputs.isEmpty()) {
        expect(",");
      }
      outputs.add(output(checked(this::expression)));
    }
    return Statement.all(outputs);
  }

  private Statement load(Token at) {
    Expression template = checked(this::expression);
    while (!current().is(TokenType.BLOCK_END) && !current().is(TokenType.EOF)) {
      advance();
    }
    return s -> {
      template.eval(s);
      s.run.at = at;
      throw Failure.type("{%% %s %%}: a chat template has no other templates", at.text());
    };
  }

  // ---- assignments

  /** Parses one or more targets separated by commas. */
  private Target target(boolean attributes) {
    Token at = current();
    List<Target> targets = new ArrayList<>(List.of(single(attributes)));
    boolean several = false;
    while (skip(",")) {
      several = true;
      if (current().isName("in")) {
        break;
      }
      targets.add(single(attributes));
    }
    return several ? Target.several(at, targets) : targets.get(0);
  }

  private Target single(boolean attributes) {
    if (skip("(")) {
      Target inside = nested(() -> target(/* attributes= */ false));
      expect(")");
      return inside;
    }
    Token token = variable();
    return attributes && skip(".")
        ? Target.attribute(name(token), expect(TokenType.NAME).text())
        : Target.name(token.text());
  }

  private Token variable() {
    Token token = expect(TokenType.NAME);
    if (CONSTANTS.containsKey(token.text())) {
      throw Failure.syntax(token, "can't assign to '%s'", token.text());
    }
    return token;
  }

  private Statement set(Token at) {
    Target target = target(/* attributes= */ true);
    if (!skip("=")) {
      target.names().forEach(names::set);
      return captured(
          this::filters,
          "endset",
          (s, v) -> {
            target.check(s);
            target.assign(s, v);
          });
    }
    Expression value = tuple(this::expression);
    target.names().forEach(names::set);
    return s -> {
      s.run.at = at;
      target.check(s);
      target.assign(s, value.eval(s));
      return End.NORMAL;
    };
  }

  /** Parses filters and a body; the filters are applied to the text of the body before its use. */
  private Statement captured(Supplier<List<Step>> filters, String end, Target.Assignment use) {
    Names inner = new Names(names);
    return scoped(
        inner,
        inLoop,
        () -> {
          List<Step> steps = checked(filters);
          Statement body = whole(end);
          return s -> {
            Scope scope = s.inner(inner);
            StringBuilder text = new StringBuilder();
            End how = s.run.capture(text, () -> body.exec(scope));
            if (how == End.NORMAL) {
              Object v = text.toString();
              for (Step step : steps) {
                v = step.apply(scope, v);
              }
              use.assign(s, v);
              scope.end();
            }
            return how;
          };
        });
  }

  private Statement filterBlock() {
    return captured(
        () -> {
          List<Step> all = new ArrayList<>(List.of(filter()));
          all.addAll(filters());
          return all;
        },
        "endfilter",
        Parser::writeText);
  }

  /** Writes the result of a filter or call block, which must be a string. */
  private static void writeText(Scope s, Object v) {
    if (!Values.isText(v)) {
      throw Failure.type("expected str instance, %s found", Values.typeName(v));
    }
    s.run.write(v.toString());
  }

  private Statement with() {
    Names inner = new Names(names);
    List<Target> targets = new ArrayList<>();
    List<Expression> values = new ArrayList<>();
    while (!current().is(TokenType.BLOCK_END)) {
      if (!targets.isEmpty()) {
        expect(",");
      }
      Target target = target(/* attributes= */ false);
      target.names().forEach(inner::given);
      targets.add(target);
      expect("=");
      values.add(checked(this::expression));
    }
    Statement body = scoped(inner, inLoop, () -> whole("endwith"));
    return s -> {
      Scope scope = s.inner(inner);
      for (int i = 0; i < targets.size(); i++) {
        targets.get(i).assign(scope, values.get(i).eval(s));
      }
      End end = body.exec(scope);
      scope.end();
      return end;
    };
  }

  // ---- conditions and loops

  private Statement condition() {
    boolean outer = soft;
    soft = true;
    List<Expression> tests = new ArrayList<>();
    List<Statement> bodies = new ArrayList<>();
    Token end;
    do {
      tests.add(tuple(this::unconditional));
      names.conditions++;
      bodies.add(body("elif", "else", "endif"));
      names.conditions--;
      end = advance();
    } while (end.isName("elif"));
    names.conditions++;
    Statement otherwise = end.isName("else") ? whole("endif") : s -> End.NORMAL;
    names.conditions--;
    soft = outer;
    return s -> {
      for (int i = 0; i < tests.size(); i++) {
        if (Values.truth(tests.get(i).eval(s))) {
          return bodies.get(i).exec(s);
        }
      }
      return otherwise.exec(s);
    };
  }

  private Statement loop(Token at) {
    Target target = target(/* attributes= */ false);
    if (target.names().contains("loop")) {
      throw Failure.syntax(at, "the variable 'loop' is reserved in loops");
    }
    expectName("in");
    Expression items = checked(() -> tuple(this::unconditional, "recursive"));
    Names ofTest = new Names(names);
    Names ofBody = new Names(names);
    Names ofElse = new Names(names);
    target.names().forEach(ofTest::given);
    target.names().forEach(ofBody::given);
    ofBody.given("loop");
    Expression test =
        skipName("if") ? scoped(ofTest, false, () -> checked(this::expression)) : null;
    boolean recursive = skipName("recursive");
    Statement[] bodies = {null, s -> End.NORMAL};
    int levels =
        depth(
            () -> {
              bodies[0] = scoped(ofBody, true, () -> body("endfor", "else"));
              if (advance().isName("else")) {
                bodies[1] = scoped(ofElse, inLoop, () -> whole("endfor"));
              }
            });
    Loop loop = new Loop(at, target, test, ofTest, ofBody, ofElse, bodies[0], bodies[1], levels);
    return s -> {
      Object values = items.eval(s);
      if (!recursive) {
        return loop.iterate(s, values, null, 0);
      }
      s.run.write(loop.render(s, values, 0));
      return End.NORMAL;
    };
  }

  private Statement jump(Token at) {
    if (!inLoop) {
      throw Failure.syntax(at, "'%s' outside of a loop", at.text());
    }
    End end = at.text().equals("break") ? End.BREAK : End.CONTINUE;
    return s -> end;
  }

  // ---- macros and blocks

  private Statement macro() {
    String name = variable().text();
    names.set(name);
    Names inner = new Names(names);
    List<Expression> defaults = new ArrayList<>();
    List<String> parameters = scoped(inner, false, () -> signature(defaults));
    Macro.Definition macro = definition(name, inner, parameters, defaults, "endmacro");
    return s -> {
      s.set(name, new Macro(macro, s));
      return End.NORMAL;
    };
  }

  private List<String> signature(List<Expression> defaults) {
    List<String> parameters = new ArrayList<>();
    expect("(");
    while (!skip(")")) {
      if (!parameters.isEmpty()) {
        expect(",");
      }
      Token at = variable();
      names.given(at.text());
      if (skip("=")) {
        defaults.add(checked(this::expression));
      } else if (!defaults.isEmpty() || parameters.contains(at.text())) {
        throw Failure.syntax(at, "the parameter '%s' is not allowed here", at.text());
      }
      parameters.add(at.text());
    }
    return parameters;
  }

  private Macro.Definition definition(
      String name, Names inner, List<String> parameters, List<Expression> defaults, String end) {
    Statement[] body = new Statement[1];
    inner.beginBody();
    int levels = scoped(inner, false, () -> depth(() -> body[0] = whole(end)));
    return new Macro.Definition(name, parameters, defaults, inner, body[0], levels);
  }

  private Statement callBlock(Token at) {
    Names inner = new Names(names);
    List<Expression> defaults = new ArrayList<>();
    List<String> parameters =
        current().isOperator("(") ? scoped(inner, false, () -> signature(defaults)) : List.of();
    Call call = checked(() -> call(at));
    Macro.Definition macro = definition(null, inner, parameters, defaults, "endcall");
    return s -> {
      Object callee = call.callee().eval(s);
      writeText(s, call.step().apply(s, callee, new Macro(macro, s)));
      return End.NORMAL;
    };
  }

  /** Parses a generation block, which Jinja renders like the call of a macro. */
  private Statement generation() {
    generation = true;
    Macro.Definition body =
        definition(null, new Names(names), List.of(), List.of(), "endgeneration");
    return s -> {
      Run run = s.run;
      String text = new Macro(body, s).call(Arguments.of()).toString();
      int start = run.out.length();
      if (run.out == run.output) {
        run.spans.add(new Template.Span(start, start + text.length()));
      } else {
        run.spansLost = true; // the final position of captured text is unknown
      }
      run.write(text);
      return End.NORMAL;
    };
  }

  /** Parses a named block; without inheritance it is rendered in place. */
  private Statement block(Token at) {
    String name = expect(TokenType.NAME).text();
    if (!current().is(TokenType.BLOCK_END)) {
      throw Failure.syntax(
          current(), "'%s' is not supported in chat templates", current().describe());
    }
    if (!blocks.add(name)) {
      throw Failure.syntax(at, "the block '%s' is defined twice", name);
    }
    Names inner = new Names(null);
    Statement body = scoped(inner, false, () -> whole("endblock"));
    skipName(name);
    return s -> {
      body.exec(s.context().inner(inner));
      return End.NORMAL;
    };
  }
}
