package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The arguments of a call, filter or test as written in a template. */
final class CallArguments {
  private final List<Expression> positional = new ArrayList<>();
  private final Map<String, Expression> named = new LinkedHashMap<>();

  /** A sequence whose items are arguments; null if there is none. */
  private Expression spread;

  /** A dict of arguments by name; null if there is none. */
  private Expression spreadNamed;

  void add(Token at, Expression e) {
    checkOrder(at, named.isEmpty() && spread == null && spreadNamed == null);
    positional.add(e);
  }

  void add(Token at, String name, Expression e) {
    checkOrder(at, spreadNamed == null && named.put(name, e) == null);
  }

  void spread(Token at, Expression e) {
    checkOrder(at, spread == null && spreadNamed == null);
    spread = e;
  }

  void spreadNamed(Token at, Expression e) {
    checkOrder(at, spreadNamed == null);
    spreadNamed = e;
  }

  private static void checkOrder(Token at, boolean valid) {
    if (!valid) {
      throw Failure.syntax(at, "arguments are out of order, or one is repeated");
    }
  }

  Arguments eval(Scope s) {
    List<Object> values = new ArrayList<>(positional.size() + 1);
    for (Expression e : positional) {
      values.add(e.eval(s));
    }
    Map<String, Object> byName = named.isEmpty() ? Map.of() : new LinkedHashMap<>();
    named.forEach((name, e) -> byName.put(name, e.eval(s)));
    if (spread != null) {
      values.addAll(Values.list(spread.eval(s)));
    }
    if (spreadNamed == null) {
      return new Arguments(values, byName);
    }
    Map<String, Object> all = new LinkedHashMap<>(byName);
    if (!(spreadNamed.eval(s) instanceof Map<?, ?> map)) {
      throw Failure.type("argument after ** must be a mapping");
    }
    map.forEach(
        (k, v) -> {
          if (!(k instanceof String name) || all.containsKey(name)) {
            throw Failure.type("%s cannot be a keyword here", Printing.quoted(Values.unkey(k)));
          }
          all.put(name, v);
        });
    return new Arguments(values, all);
  }

  /** A call of a value. */
  record CallStep(Token at, CallArguments arguments) implements Expression.Step {
    @Override
    public Object apply(Scope s, Object v) {
      s.run.at = at;
      return call(s, v, arguments.eval(s));
    }

    /** Calls with the additional argument {@code caller}. */
    Object apply(Scope s, Object v, Macro caller) {
      Arguments values = arguments.eval(s);
      Map<String, Object> named = new LinkedHashMap<>(values.named());
      if (named.put("caller", caller) != null) {
        throw Failure.type("got multiple values for keyword argument 'caller'");
      }
      return call(s, v, new Arguments(values.positional(), named));
    }

    private Object call(Scope s, Object v, Arguments values) {
      s.run.at = at;
      s.run.step();
      if (!(Values.defined(v) instanceof Callable callable)) {
        throw Failure.type("'%s' object is not callable", Values.typeName(v));
      }
      return callable.call(values);
    }
  }
}
