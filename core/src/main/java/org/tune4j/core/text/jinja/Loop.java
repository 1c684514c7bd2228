package org.tune4j.core.text.jinja;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import org.tune4j.core.text.jinja.Values.Lazy;

/** {@code for target in items if test recursive}, body, {@code else}. */
final class Loop extends Statement {
  final Expression target;
  final Expression items;
  final Expression test;
  final boolean recursive;
  final List<Statement> body;
  final List<Statement> otherwise;

  /** The target as the test's function has it; null without a test. */
  final Expression testTarget;

  final Scope scope = new Scope();
  final Scope elseScope = new Scope();
  final FunctionScope testFunction = new FunctionScope();

  /** Of a recursive loop. */
  final FunctionScope function = new FunctionScope();

  /** The slot of the variable {@code loop}; -1 if nothing uses it. */
  int loopSlot = -1;

  Loop(
      Token at,
      Expression target,
      Expression testTarget,
      Expression items,
      Expression test,
      boolean recursive,
      List<Statement> body,
      List<Statement> otherwise) {
    super(at);
    this.target = child(target);
    this.testTarget = testTarget;
    this.items = child(items);
    this.recursive = recursive;
    this.body = all(body);
    this.otherwise = all(otherwise);
    this.test = child(test);
  }

  @Override
  End exec(Frame f) {
    if (!recursive) {
      return iterate(f, items.eval(f), null, 0);
    }
    Recursion recursion = new Recursion(f);
    f.write(recursion.render(items.eval(f), 0));
    return End.NORMAL;
  }

  private End iterate(Frame f, Object values, Recursion recursion, int depth) {
    f.run.at = this;
    Object iterable = test == null ? values : tested(f, values);
    LoopContext loop = new LoopContext(iterable, recursion, depth);
    boolean any = false;
    while (true) {
      f.run.step();
      if (!loop.hasNext()) {
        break;
      }
      Object item = loop.next();
      target.assign(f, item);
      if (loopSlot >= 0) {
        f.slots[loopSlot] = loop;
      }
      scope.enter(f);
      End end = all(body, f);
      if (end == End.BREAK) {
        break;
      }
      any |= end == End.NORMAL;
      f.run.at = this;
    }
    scope.leave(f);
    if (!any && !otherwise.isEmpty()) {
      elseScope.enter(f);
      End end = all(otherwise, f);
      if (end != End.NORMAL) {
        return end;
      }
      elseScope.leave(f);
    }
    return End.NORMAL;
  }

  /** Returns the items that the test holds of, found as they are asked for. */
  private Lazy tested(Frame f, Object values) {
    Frame outer = recursive ? f.outer : f;
    Iterator<Object> all = Values.iterator(values);
    return new Lazy(
        "generator",
        new Iterator<>() {
          private final Frame inner = outer.inner(testFunction.slotCount, f.out);
          private boolean entered;
          private Object next = Frame.MISSING;

          @Override
          public boolean hasNext() {
            if (!entered) {
              testFunction.scope.enter(inner);
              entered = true;
            }
            while (next == Frame.MISSING && all.hasNext()) {
              f.run.step();
              testTarget.assign(inner, all.next());
              if (Values.truth(test.eval(inner))) {
                next = testTarget.eval(inner);
              }
            }
            return next != Frame.MISSING;
          }

          @Override
          public Object next() {
            if (!hasNext()) {
              throw new NoSuchElementException();
            }
            Object result = next;
            next = Frame.MISSING;
            return result;
          }
        });
  }

  /** Renders a recursive loop's body for given items. */
  private final class Recursion implements Values.Function1 {
    private final Frame outer;

    Recursion(Frame outer) {
      this.outer = outer;
    }

    String render(Object values, int depth) {
      outer.run.enter(height());
      StringBuilder out = new StringBuilder();
      iterate(outer.inner(function.slotCount, out), values, this, depth);
      outer.run.leave(height());
      return out.toString();
    }

    @Override
    public Object call(Run run, Arguments arguments) {
      long depth = (Long) arguments.positional().get(1);
      return render(arguments.positional().get(0), (int) depth);
    }

    @Override
    public String typeName() {
      return "function";
    }
  }
}
