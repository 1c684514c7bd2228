package org.tune4j.core.text.jinja;

import java.util.List;
import org.tune4j.core.text.jinja.Expression.Call;
import org.tune4j.core.text.jinja.Expression.Name;

/** What has a body that is a function: {@code macro}, {@code call} and {@code generation}. */
abstract class MacroStatement extends Statement {
  final List<Name> parameters;

  /** Default values of the last parameters. */
  final List<Expression> defaults;

  final List<Statement> body;
  final FunctionScope function = new FunctionScope();

  /** Slots of the parameters, then of caller, kwargs and varargs if they are used. */
  int[] parameterSlots = {};

  Macro.Shape shape;

  MacroStatement(Token at, List<Name> parameters, List<Expression> defaults, List<Statement> body) {
    super(at);
    this.parameters = all(parameters);
    this.defaults = all(defaults);
    this.body = all(body);
  }

  /** Returns the function, with what is around it as it is now. */
  final Macro macro(Frame f) {
    return new Macro(shape, values -> render(f, values));
  }

  private String render(Frame outer, List<Object> values) {
    Run run = outer.run;
    run.enter(height());
    StringBuilder out = new StringBuilder();
    Frame f = outer.inner(function.slotCount, out);
    for (int i = 0; i < parameterSlots.length; i++) {
      f.slots[parameterSlots[i]] = values.get(i);
    }
    function.scope.enter(f);
    int firstDefault = parameters.size() - defaults.size();
    for (int i = 0; i < parameters.size(); i++) {
      int slot = parameterSlots[i];
      if (f.slots[slot] == Frame.MISSING) {
        f.slots[slot] =
            i >= firstDefault
                ? defaults.get(i - firstDefault).eval(f)
                : Undefined.because(
                    "parameter %s was not provided"
                        .formatted(Values.quoted(parameters.get(i).name)));
      }
    }
    all(body, f);
    run.leave(height());
    return out.toString();
  }

  static final class Definition extends MacroStatement {
    final Name name;

    /** Whether it is at the template's top level. */
    boolean exported;

    Definition(
        Token at,
        Name name,
        List<Name> parameters,
        List<Expression> defaults,
        List<Statement> body) {
      super(at, parameters, defaults, body);
      this.name = name;
    }

    @Override
    End exec(Frame f) {
      name.assign(f, macro(f));
      if (exported) {
        f.context.put(name.name, f.slots[name.slot]);
      }
      return End.NORMAL;
    }
  }

  static final class CallBlock extends MacroStatement {
    final Call call;

    CallBlock(
        Token at,
        Call call,
        List<Name> parameters,
        List<Expression> defaults,
        List<Statement> body) {
      super(at, parameters, defaults, body);
      this.call = child(call);
    }

    @Override
    End exec(Frame f) {
      writeText(f, call.call(f, macro(f)));
      return End.NORMAL;
    }
  }

  /** What the assistant generates. */
  static final class Generation extends MacroStatement {
    Generation(Token at, List<Statement> body) {
      super(at, List.of(), List.of(), body);
    }

    @Override
    End exec(Frame f) {
      String text = (String) macro(f).call(f.run, Arguments.NONE);
      if (f.out == f.run.output) {
        int start = f.out.length();
        f.run.spans.add(new int[] {start, start + text.length()});
      } else {
        f.run.spansLost = true; // where captured text ends up is not known
      }
      f.write(text);
      return End.NORMAL;
    }
  }
}
