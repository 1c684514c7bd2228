package org.tune4j.core.text.jinja;

import com.google.common.collect.Iterators;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Objects;

/** The variable {@code loop} within a loop. */
final class LoopContext implements Values.Function1 {
  private final Object iterable;
  private final Values.Function1 recurse;
  private final int depth0;
  private Iterator<Object> items;
  private Integer length;
  private int index0 = -1;
  private Object before = Frame.MISSING;
  private Object current = Frame.MISSING;
  private Object after = Frame.MISSING;
  private Object changed = Frame.MISSING;

  /**
   * Begins a loop.
   *
   * @param recurse renders the loop's body for other items; null if the loop is not recursive
   */
  LoopContext(Object iterable, Values.Function1 recurse, int depth0) {
    this.iterable = iterable;
    this.recurse = recurse;
    this.depth0 = depth0;
    items = Values.iterator(iterable);
  }

  boolean hasNext() {
    return after != Frame.MISSING || items.hasNext();
  }

  Object next() {
    before = current;
    current = after != Frame.MISSING ? after : items.next();
    after = Frame.MISSING;
    index0++;
    return current;
  }

  /** Iterates over the rest together with this loop, as Python's object does. */
  Iterator<Object> iterator() {
    LoopContext loop = this;
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        return loop.hasNext();
      }

      @Override
      public Object next() {
        return Values.Tuple.of(loop.next(), loop);
      }
    };
  }

  int length() {
    if (length == null) {
      Integer size = Values.size(iterable);
      if (size == null) {
        List<Object> rest = new ArrayList<>();
        Iterators.addAll(rest, items);
        items = rest.iterator();
        size = rest.size() + index0 + 1 + (after == Frame.MISSING ? 0 : 1);
      }
      length = size;
    }
    return length;
  }

  private boolean peek() {
    if (after == Frame.MISSING && items.hasNext()) {
      after = items.next();
    }
    return after != Frame.MISSING;
  }

  /** Returns an attribute; {@link Frame#MISSING} if there is none of that name. */
  Object attribute(String name) {
    return switch (name) {
      case "index" -> index0 + 1L;
      case "index0" -> (long) index0;
      case "revindex" -> (long) length() - index0;
      case "revindex0" -> (long) length() - index0 - 1;
      case "first" -> index0 == 0;
      case "last" -> !peek();
      case "length" -> (long) length();
      case "depth" -> depth0 + 1L;
      case "depth0" -> (long) depth0;
      case "previtem" -> index0 == 0 ? Undefined.because("there is no previous item") : before;
      case "nextitem" -> peek() ? after : Undefined.because("there is no next item");
      case "cycle" -> Builtin.free("cycle", (run, a) -> cycle(a));
      case "changed" -> Builtin.free("changed", (run, a) -> changed(a));
      default -> Frame.MISSING;
    };
  }

  private Object cycle(Arguments arguments) {
    List<Object> values = arguments.positional();
    if (values.isEmpty()) {
      throw Failure.type("no items for cycling given");
    }
    return values.get(index0 % values.size());
  }

  private Object changed(Arguments arguments) {
    Object value = new Values.Tuple(List.copyOf(nonNull(arguments.positional())));
    if (changed == Frame.MISSING || !Values.equal(changed, value)) {
      changed = value;
      return true;
    }
    return false;
  }

  private static List<Object> nonNull(List<Object> values) {
    // List.copyOf takes no null; a null equals only itself, as does this
    return values.stream().map(v -> Objects.requireNonNullElse(v, Frame.MISSING)).toList();
  }

  @Override
  public Object call(Run run, Arguments arguments) {
    if (recurse == null) {
      throw Failure.type("The loop must have the 'recursive' marker to be called recursively.");
    }
    Object[] values = RECURSION.bind("__call__", arguments);
    return recurse.call(run, Arguments.of(values[0], (long) depth0 + 1));
  }

  private static final Arguments.Signature RECURSION = new Arguments.Signature("iterable");

  @Override
  public String typeName() {
    return "LoopContext";
  }

  @Override
  public String toString() {
    return "<LoopContext %d/%d>".formatted(index0 + 1, length());
  }
}
