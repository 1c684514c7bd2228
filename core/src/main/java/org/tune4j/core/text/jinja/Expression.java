package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.text.jinja.Values.Tuple;

/** A part of a template that has a value. */
abstract class Expression extends Node {
  Expression(Token at) {
    super(at);
  }

  abstract Object eval(Frame f);

  /** Sets what the expression names; only names, attributes of namespaces, and tuples of them. */
  void assign(Frame f, Object value) {
    throw new AssertionError("no target of an assignment: " + this);
  }

  /** Returns what an error calls it if it is assigned to; null if it can be. */
  String notAssignable() {
    return Text.lower(getClass().getSimpleName());
  }

  static final class Const extends Expression {
    private final Object value;

    Const(Token at, Object value) {
      super(at);
      this.value = value;
    }

    @Override
    Object eval(Frame f) {
      return value;
    }
  }

  /** A variable; the {@link Binder} finds its slot. */
  static final class Name extends Expression {
    enum Use {
      LOAD,
      STORE,
      PARAMETER
    }

    final String name;
    Use use = Use.LOAD;

    /** How many frames outwards the variable is, and its slot there. */
    int hops;

    int slot;

    /** Whether a variable that is not set is undefined; else it is given as it is. */
    boolean checked;

    Name(Token at, String name) {
      super(at);
      this.name = name;
    }

    @Override
    Object eval(Frame f) {
      Object value = f.get(hops, slot);
      return checked && value == Frame.MISSING ? Undefined.name(name) : value;
    }

    @Override
    void assign(Frame f, Object value) {
      f.slots[slot] = value;
    }

    @Override
    String notAssignable() {
      return null;
    }
  }

  /** An attribute of a namespace that is assigned to. */
  static final class NamespaceAttribute extends Expression {
    final Name namespace;
    private final String attribute;

    NamespaceAttribute(Token at, String namespace, String attribute) {
      super(at);
      this.namespace = child(new Name(at, namespace));
      this.attribute = attribute;
    }

    @Override
    Object eval(Frame f) {
      throw new AssertionError("a target has no value");
    }

    /** Refuses what is no namespace, before the value is evaluated. */
    void check(Frame f) {
      if (!(f.get(namespace.hops, namespace.slot) instanceof Namespace)) {
        f.run.at = this;
        throw Failure.runtime("cannot assign attribute on non-namespace object");
      }
    }

    @Override
    void assign(Frame f, Object value) {
      ((Namespace) f.get(namespace.hops, namespace.slot)).attributes.put(attribute, value);
    }

    @Override
    String notAssignable() {
      return null;
    }
  }

  /** A tuple or a list. */
  static final class Sequence extends Expression {
    final List<Expression> items;
    private final boolean tuple;

    Sequence(Token at, List<Expression> items, boolean tuple) {
      super(at);
      this.items = all(items);
      this.tuple = tuple;
    }

    @Override
    Object eval(Frame f) {
      List<Object> values = new ArrayList<>(items.size());
      for (Expression item : items) {
        values.add(item.eval(f));
      }
      f.run.madeElements(values.size(), values.size());
      return tuple ? new Tuple(values) : values;
    }

    @Override
    void assign(Frame f, Object value) {
      f.run.at = this;
      Iterator<Object> from = Values.iteratorOrNull(value);
      if (from == null) {
        throw Failure.type("cannot unpack non-iterable %s object", Values.typeName(value));
      }
      List<Object> values = new ArrayList<>();
      while (values.size() <= items.size() && from.hasNext()) {
        values.add(from.next());
      }
      if (values.size() != items.size()) {
        throw values.size() > items.size()
            ? Failure.value("too many values to unpack (expected %d)", items.size())
            : Failure.value(
                "not enough values to unpack (expected %d, got %d)", items.size(), values.size());
      }
      for (int i = 0; i < items.size(); i++) {
        items.get(i).assign(f, values.get(i));
      }
    }

    @Override
    String notAssignable() {
      if (!tuple) {
        return "list";
      }
      return items.stream().allMatch(i -> i.notAssignable() == null) ? null : "tuple";
    }
  }

  static final class Dict extends Expression {
    private final List<Expression> keys;
    private final List<Expression> values;

    Dict(Token at, List<Expression> keys, List<Expression> values) {
      super(at);
      this.keys = all(keys);
      this.values = all(values);
    }

    @Override
    Object eval(Frame f) {
      Map<Object, Object> map = new LinkedHashMap<>();
      for (int i = 0; i < keys.size(); i++) {
        Object key = keys.get(i).eval(f);
        Object value = values.get(i).eval(f);
        f.run.at = this;
        map.put(Values.key(key), value);
      }
      f.run.madeElements(map.size(), map.size());
      return map;
    }
  }

  /** {@code a if test else b}. */
  static final class Conditional extends Expression {
    private final Expression test;
    private final Expression then;
    private final Expression otherwise;

    Conditional(Token at, Expression test, Expression then, Expression otherwise) {
      super(at);
      this.test = child(test);
      this.then = child(then);
      this.otherwise = child(otherwise);
    }

    @Override
    Object eval(Frame f) {
      if (Values.truth(test.eval(f))) {
        return then.eval(f);
      }
      return otherwise != null
          ? otherwise.eval(f)
          : Undefined.because(
              "the inline if-expression on line %d evaluated to false and no else section was"
                      .formatted(line)
                  + " defined.");
    }
  }

  /** {@code and} and {@code or}. */
  static final class Logical extends Expression {
    private final Expression left;
    private final Expression right;
    private final boolean and;

    Logical(Token at, Expression left, Expression right, boolean and) {
      super(at);
      this.left = child(left);
      this.right = child(right);
      this.and = and;
    }

    @Override
    Object eval(Frame f) {
      Object v = left.eval(f);
      return Values.truth(v) == and ? right.eval(f) : v;
    }
  }

  static final class Not extends Expression {
    private final Expression of;

    Not(Token at, Expression of) {
      super(at);
      this.of = child(of);
    }

    @Override
    Object eval(Frame f) {
      return !Values.truth(of.eval(f));
    }
  }

  /** One or more comparisons, {@code a < b <= c}. */
  static final class Compare extends Expression {
    private final Expression first;
    private final List<String> operators;
    private final List<Expression> others;

    Compare(Token at, Expression first, List<String> operators, List<Expression> others) {
      super(at);
      this.first = child(first);
      this.operators = operators;
      this.others = all(others);
    }

    @Override
    Object eval(Frame f) {
      Object left = first.eval(f);
      for (int i = 0; i < others.size(); i++) {
        Object right = others.get(i).eval(f);
        f.run.at = this;
        if (!Arithmetic.compare(f.run, operators.get(i), left, right)) {
          return false;
        }
        left = right;
      }
      return true;
    }
  }

  /** {@code a ~ b}. */
  static final class Concat extends Expression {
    private final List<Expression> parts;

    Concat(Token at, List<Expression> parts) {
      super(at);
      this.parts = all(parts);
    }

    @Override
    Object eval(Frame f) {
      List<Object> values = new ArrayList<>(parts.size());
      for (Expression p : parts) {
        values.add(p.eval(f));
      }
      f.run.at = this;
      return Arithmetic.concat(f.run, values);
    }
  }

  static final class Binary extends Expression {
    private final String operator;
    private final Expression left;
    private final Expression right;

    Binary(Token at, String operator, Expression left, Expression right) {
      super(at);
      this.operator = operator;
      this.left = child(left);
      this.right = child(right);
    }

    @Override
    Object eval(Frame f) {
      Object a = left.eval(f);
      Object b = right.eval(f);
      f.run.at = this;
      return Arithmetic.binary(f.run, operator, a, b);
    }
  }

  static final class Unary extends Expression {
    private final String operator;
    private final Expression of;

    Unary(Token at, String operator, Expression of) {
      super(at);
      this.operator = operator;
      this.of = child(of);
    }

    @Override
    Object eval(Frame f) {
      Object v = of.eval(f);
      f.run.at = this;
      return Arithmetic.unary(operator, v);
    }
  }

  /** {@code a.b}. */
  static final class Attribute extends Expression {
    private final Expression owner;
    private final String name;

    Attribute(Token at, Expression owner, String name) {
      super(at);
      this.owner = child(owner);
      this.name = name;
    }

    @Override
    Object eval(Frame f) {
      Object v = owner.eval(f);
      f.run.at = this;
      return Attributes.get(f.run, v, name);
    }
  }

  /** {@code a[b]}. */
  static final class Item extends Expression {
    private final Expression owner;
    private final Expression key;

    Item(Token at, Expression owner, Expression key) {
      super(at);
      this.owner = child(owner);
      this.key = child(key);
    }

    @Override
    Object eval(Frame f) {
      Object v = owner.eval(f);
      Object k = key.eval(f);
      f.run.at = this;
      return Attributes.item(f.run, v, k);
    }
  }

  /** {@code a[b:c:d]}. */
  static final class Slice extends Expression {
    private final Expression owner;
    private final Expression start;
    private final Expression stop;
    private final Expression step;

    Slice(Token at, Expression owner, Expression start, Expression stop, Expression step) {
      super(at);
      this.owner = child(owner);
      this.start = child(start);
      this.stop = child(stop);
      this.step = child(step);
    }

    @Override
    Object eval(Frame f) {
      Object v = owner.eval(f);
      Object from = start == null ? null : start.eval(f);
      Object to = stop == null ? null : stop.eval(f);
      Object by = step == null ? null : step.eval(f);
      f.run.at = this;
      return Attributes.slice(f.run, v, from, to, by);
    }
  }

  /**
   * Arguments of a call, filter or test; the last two are sequences and maps to spread, or null.
   */
  record CallArguments(
      List<Expression> positional,
      Map<String, Expression> named,
      Expression spread,
      Expression spreadNamed) {
    static final CallArguments NONE = new CallArguments(List.of(), Map.of(), null, null);

    void adoptBy(Expression parent) {
      parent.all(positional);
      named.values().forEach(parent::child);
      parent.child(spread);
      parent.child(spreadNamed);
    }

    void eval(Frame f, Arguments.Builder into) {
      for (Expression e : positional) {
        into.add(e.eval(f));
      }
      named.forEach((name, e) -> into.add(name, e.eval(f)));
      if (spread != null) {
        Object v = spread.eval(f);
        Iterator<Object> items = Values.iteratorOrNull(v);
        if (items == null) {
          throw Failure.type("argument after * must be an iterable, not %s", Values.typeName(v));
        }
        Values.list(f.run, v).forEach(into::add);
      }
      if (spreadNamed != null) {
        Object v = spreadNamed.eval(f);
        if (!(v instanceof Map<?, ?> map)) {
          throw Failure.type("argument after ** must be a mapping, not %s", Values.typeName(v));
        }
        map.forEach(
            (k, value) -> {
              if (!(k instanceof String name)) {
                throw Failure.type("keywords must be strings");
              }
              into.add(name, value);
            });
      }
    }
  }

  static final class Call extends Expression {
    private final Expression callee;
    private final CallArguments arguments;

    Call(Token at, Expression callee, CallArguments arguments) {
      super(at);
      this.callee = child(callee);
      this.arguments = arguments;
      arguments.adoptBy(this);
    }

    @Override
    Object eval(Frame f) {
      return call(f, null);
    }

    /** Calls with one more argument, {@code caller}, unless it is null. */
    Object call(Frame f, Macro caller) {
      Object function = callee.eval(f);
      Arguments.Builder values = new Arguments.Builder();
      f.run.at = this;
      arguments.eval(f, values);
      f.run.at = this;
      if (caller != null) {
        values.add("caller", caller);
      }
      f.run.step();
      if (function instanceof Undefined u) {
        throw u.failure();
      }
      if (!(function instanceof Values.Function1 callable)) {
        throw Failure.type("'%s' object is not callable", Values.typeName(function));
      }
      return callable.call(f.run, values.build());
    }
  }

  /** A filter or a test; the value of a filter block's filter comes from outside. */
  static final class Filter extends Expression {
    final String name;
    final boolean test;
    private final Expression of;
    private final CallArguments arguments;

    Filter(Token at, String name, boolean test, Expression of, CallArguments arguments) {
      super(at);
      this.name = name;
      this.test = test;
      this.of = child(of);
      this.arguments = arguments;
      arguments.adoptBy(this);
    }

    /** Returns what it applies; null if there is none of that name. */
    Builtin function() {
      return (test ? Tests.ALL : Filters.ALL).get(name);
    }

    @Override
    Object eval(Frame f) {
      return apply(f, Frame.MISSING);
    }

    /** Applies it; the innermost of a chain of filters to a text if it has no value of its own. */
    Object apply(Frame f, Object text) {
      Object v = of == null ? text : of instanceof Filter inner ? inner.apply(f, text) : of.eval(f);
      Arguments.Builder values = new Arguments.Builder();
      values.add(v);
      f.run.at = this;
      arguments.eval(f, values);
      f.run.at = this;
      f.run.step();
      Builtin function = function();
      if (function == null) {
        throw Failure.runtime(
            "No %s named %s found.", test ? "test" : "filter", Values.quoted(name));
      }
      return function.call(f.run, values.build());
    }
  }
}
