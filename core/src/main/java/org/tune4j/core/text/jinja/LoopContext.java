package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.tune4j.core.text.jinja.Values.Lazy;
import org.tune4j.core.text.jinja.Values.Tuple;

/** The variable {@code loop} within a loop. */
final class LoopContext implements Callable, Attributes.Owner {
  /** Renders the body of a recursive loop for other items. */
  interface Recursion {
    String render(Object items, int depth);
  }

  private final Object iterable;
  private final Recursion recursion;
  private final int depth0;
  private Iterator<Object> items;
  private int length = -1;
  private int index0 = -1;
  private Object before = Scope.MISSING;
  private Object current = Scope.MISSING;
  private Object after = Scope.MISSING;
  private Object changed = Scope.MISSING;

  /**
   * Starts a loop.
   *
   * @param recursion null if the loop is not recursive
   */
  LoopContext(Object iterable, Recursion recursion, int depth0) {
    this.iterable = iterable;
    this.recursion = recursion;
    this.depth0 = depth0;
    items = Values.iterator(iterable);
  }

  boolean hasNext() {
    return after != Scope.MISSING || items.hasNext();
  }

  Object next() {
    before = current;
    current = after != Scope.MISSING ? after : items.next();
    after = Scope.MISSING;
    index0++;
    return current;
  }

  private long length() {
    if (length < 0 && iterable instanceof Lazy) {
      List<Object> rest = new ArrayList<>(Values.list(new Lazy("generator", items)));
      items = rest.iterator();
      length = rest.size() + index0 + 1 + (after == Scope.MISSING ? 0 : 1);
    } else if (length < 0) {
      length = Values.length(iterable);
    }
    return length;
  }

  /** Looks at the next item without taking it. */
  private boolean peek() {
    if (after == Scope.MISSING && items.hasNext()) {
      after = items.next();
    }
    return after != Scope.MISSING;
  }

  @Override
  public Object attribute(String name) {
    return switch (name) {
      case "index" -> index0 + 1L;
      case "index0" -> (long) index0;
      case "revindex" -> length() - index0;
      case "revindex0" -> length() - index0 - 1;
      case "first" -> index0 == 0;
      case "last" -> !peek();
      case "length" -> length();
      case "depth" -> depth0 + 1L;
      case "depth0" -> (long) depth0;
      case "previtem" -> index0 == 0 ? Undefined.because("there is no previous item") : before;
      case "nextitem" -> peek() ? after : Undefined.because("there is no next item");
      case "cycle" -> Builtin.free("cycle", a -> cycle(a.positional()));
      case "changed" -> Builtin.free("changed", a -> changed(Tuple.of(a.positional())));
      default -> Scope.MISSING;
    };
  }

  private Object cycle(List<Object> values) {
    if (values.isEmpty()) {
      throw Failure.type("no items for cycling given");
    }
    return values.get(index0 % values.size());
  }

  private boolean changed(Tuple value) {
    boolean same = changed != Scope.MISSING && Values.equal(changed, value);
    changed = value;
    return !same;
  }

  @Override
  public Object call(Arguments arguments) {
    if (recursion == null) {
      throw Failure.type("the loop must have the 'recursive' marker to be called recursively");
    }
    Object[] values = PARAMETERS.bind(arguments);
    return recursion.render(values[0], depth0 + 1);
  }

  private static final Arguments.Signature PARAMETERS = new Arguments.Signature("loop", "iterable");

  @Override
  public String typeName() {
    return "LoopContext";
  }

  @Override
  public String toString() {
    return "<LoopContext %d/%d>".formatted(index0 + 1, length());
  }
}
