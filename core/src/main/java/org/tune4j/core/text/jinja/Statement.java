package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Expression.Filter;
import org.tune4j.core.text.jinja.Expression.Name;
import org.tune4j.core.text.jinja.Expression.NamespaceAttribute;

/** A part of a template that writes output or sets variables. */
abstract class Statement extends Node {
  /** How a statement ends. */
  enum End {
    NORMAL,
    BREAK,
    CONTINUE
  }

  /** What to set a variable to when a scope is entered. */
  interface Entry {
    void enter(Frame f);
  }

  /** The variables of a scope, which the {@link Binder} finds. */
  static final class Scope {
    List<Entry> entries = List.of();
    List<Integer> slots = List.of();

    void enter(Frame f) {
      for (Entry e : entries) {
        e.enter(f);
      }
    }

    void leave(Frame f) {
      for (int slot : slots) {
        f.slots[slot] = Frame.MISSING;
      }
    }
  }

  /** A function: how many slots its frames have, and its own variables. */
  static final class FunctionScope {
    int slotCount;
    final Scope scope = new Scope();
  }

  Statement(Token at) {
    super(at);
  }

  abstract End exec(Frame f);

  static End all(List<Statement> body, Frame f) {
    for (Statement s : body) {
      f.run.step();
      End end = s.exec(f);
      if (end != End.NORMAL) {
        return end;
      }
    }
    return End.NORMAL;
  }

  /** A body whose output is captured. */
  static final class Captured {
    final String text;
    final End end;

    Captured(List<Statement> body, Frame f) {
      StringBuilder outer = f.out;
      StringBuilder captured = new StringBuilder();
      f.out = captured;
      try {
        end = Statement.all(body, f);
      } finally {
        f.out = outer;
      }
      text = captured.toString();
    }
  }

  /** Text and printed values. */
  static final class Output extends Statement {
    private final List<Expression> values;

    Output(Token at, List<Expression> values) {
      super(at);
      this.values = all(values);
    }

    @Override
    End exec(Frame f) {
      for (Expression e : values) {
        Object v = e.eval(f);
        f.write(v instanceof String s ? s : Values.str(f.run, v));
      }
      return End.NORMAL;
    }
  }

  static final class If extends Statement {
    final Expression test;
    final List<Statement> body;
    final List<If> elifs = new ArrayList<>();
    List<Statement> otherwise = List.of();

    If(Token at, Expression test, List<Statement> body) {
      super(at);
      this.test = child(test);
      this.body = all(body);
    }

    void elif(If node) {
      elifs.add(child(node));
    }

    void otherwise(List<Statement> statements) {
      otherwise = all(statements);
    }

    @Override
    End exec(Frame f) {
      if (Values.truth(test.eval(f))) {
        return all(body, f);
      }
      for (If elif : elifs) {
        if (Values.truth(elif.test.eval(f))) {
          return all(elif.body, f);
        }
      }
      return all(otherwise, f);
    }
  }

  /** {@code set a = b}. */
  static final class Assign extends Statement {
    final Expression target;
    final Expression value;
    final List<NamespaceAttribute> namespaces = new ArrayList<>();

    /** The names that are set at the template's top level. */
    List<Name> exported = List.of();

    Assign(Token at, Expression target, Expression value) {
      super(at);
      this.target = child(target);
      this.value = child(value);
      target.walk(
          n -> {
            if (n instanceof NamespaceAttribute a) {
              namespaces.add(a);
            }
          });
    }

    @Override
    End exec(Frame f) {
      for (NamespaceAttribute n : namespaces) {
        n.check(f);
      }
      target.assign(f, value.eval(f));
      export(exported, f);
      return End.NORMAL;
    }
  }

  /** Writes what a filter or call block results in, which has to be text. */
  static void writeText(Frame f, Object v) {
    if (!Values.isText(v)) {
      throw Failure.type("expected str instance, %s found", Values.typeName(v));
    }
    f.write(Values.text(v));
  }

  static void export(List<Name> names, Frame f) {
    for (Name n : names) {
      f.context.put(n.name, f.slots[n.slot]);
    }
  }

  /** {@code set a}, text, {@code endset}. */
  static final class AssignBlock extends Statement {
    final Expression target;
    final Filter filter;
    final List<Statement> body;
    final Scope scope = new Scope();
    List<Name> exported = List.of();

    AssignBlock(Token at, Expression target, Filter filter, List<Statement> body) {
      super(at);
      this.target = child(target);
      this.filter = child(filter);
      this.body = all(body);
    }

    @Override
    End exec(Frame f) {
      scope.enter(f);
      Captured captured = new Captured(body, f);
      if (captured.end != End.NORMAL) {
        return captured.end;
      }
      target.assign(f, filter == null ? captured.text : filter.apply(f, captured.text));
      export(exported, f);
      scope.leave(f);
      return End.NORMAL;
    }
  }

  static final class With extends Statement {
    final List<Expression> targets;
    final List<Expression> values;
    final List<Statement> body;
    final Scope scope = new Scope();

    With(Token at, List<Expression> targets, List<Expression> values, List<Statement> body) {
      super(at);
      this.targets = all(targets);
      this.values = all(values);
      this.body = all(body);
    }

    @Override
    End exec(Frame f) {
      scope.enter(f);
      for (int i = 0; i < targets.size(); i++) {
        targets.get(i).assign(f, values.get(i).eval(f));
      }
      End end = all(body, f);
      if (end == End.NORMAL) {
        scope.leave(f);
      }
      return end;
    }
  }

  static final class FilterBlock extends Statement {
    final Filter filter;
    final List<Statement> body;
    final Scope scope = new Scope();

    FilterBlock(Token at, Filter filter, List<Statement> body) {
      super(at);
      this.filter = child(filter);
      this.body = all(body);
    }

    @Override
    End exec(Frame f) {
      scope.enter(f);
      Captured captured = new Captured(body, f);
      if (captured.end != End.NORMAL) {
        return captured.end;
      }
      writeText(f, filter.apply(f, captured.text));
      scope.leave(f);
      return End.NORMAL;
    }
  }

  /** {@code break} and {@code continue}. */
  static final class Jump extends Statement {
    final End end;

    Jump(Token at, End end) {
      super(at);
      this.end = end;
    }

    @Override
    End exec(Frame f) {
      return end;
    }
  }

  /**
   * {@code include}, {@code import}, {@code from} and {@code extends}: there is nothing to load.
   */
  static final class Load extends Statement {
    final String tag;
    private final Expression template;

    /** The names that an import would set. */
    final List<Name> targets;

    Load(Token at, String tag, Expression template, List<Name> targets) {
      super(at);
      this.tag = tag;
      this.template = child(template);
      this.targets = targets;
    }

    @Override
    End exec(Frame f) {
      Object v = template.eval(f);
      f.run.at = this;
      if (tag.equals("include") && v instanceof Undefined u) {
        throw u.failure();
      }
      throw Failure.type("{%% %s %%}: a chat template has no other templates to load", tag);
    }
  }

  /** A named block; without inheritance it is rendered where it stands. */
  static final class Block extends Statement {
    final String name;
    final boolean scoped;
    private final boolean required;
    final List<Statement> body;
    final FunctionScope function = new FunctionScope();

    /** Variables that a scoped block sees, with their places. */
    List<Name> locals = List.of();

    Block(Token at, String name, boolean scoped, boolean required, List<Statement> body) {
      super(at);
      this.name = name;
      this.scoped = scoped;
      this.required = required;
      this.body = all(body);
    }

    @Override
    End exec(Frame f) {
      f.run.at = this;
      if (required) {
        throw Failure.runtime("Required block %s not found", Values.quoted(name));
      }
      Map<String, Object> context = f.context;
      if (scoped) {
        context = new HashMap<>(context);
        for (Name n : locals) {
          Object value = f.get(n.hops, n.slot);
          if (value != Frame.MISSING) {
            context.put(n.name, value);
          }
        }
      }
      render(f, context, f.out);
      return End.NORMAL;
    }

    private void render(Frame f, Map<String, Object> context, StringBuilder out) {
      f.run.enter(height());
      Frame inner = Frame.top(f.run, context, function.slotCount, out);
      function.scope.enter(inner);
      all(body, inner);
      f.run.leave(height());
    }

    /** Renders the block once more, {@code self.name()}. */
    String again(Frame f) {
      StringBuilder out = new StringBuilder();
      render(f, f.context, out);
      return out.toString();
    }
  }

  /** The variable {@code self}: the template's blocks as functions. */
  record Blocks(Map<String, Block> blocks, Frame frame) {
    /** Returns a block; {@link Frame#MISSING} if there is none of that name. */
    Object attribute(String name) {
      Block block = blocks.get(name);
      return block == null
          ? Frame.MISSING
          : Builtin.function(name, "", (run, v) -> block.again(frame));
    }

    /** As Jinja prints it where a template is compiled from a text. */
    @Override
    public String toString() {
      return "<TemplateReference None>";
    }
  }
}
