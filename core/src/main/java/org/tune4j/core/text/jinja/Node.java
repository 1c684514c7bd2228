package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.function.Consumer;

/** A part of a parsed template, with its place. */
abstract class Node {
  /**
   * Higher trees are refused. Jinja's own compiler gives up at about 300 levels; what recurses over
   * nodes needs a bound.
   */
  private static final int MAX_HEIGHT = 400;

  final int line;
  final int column;
  private final List<Node> children = new ArrayList<>();
  private int height = 1;

  Node(Token at) {
    line = at.line();
    column = at.column();
  }

  /** Adopts a child, which may be null, and returns it. */
  final <T extends Node> T child(T child) {
    if (child != null) {
      children.add(child);
      height = Math.max(height, ((Node) child).height + 1);
      if (height > MAX_HEIGHT) {
        throw new Failure(
            TemplateException.Kind.LIMIT,
            "expressions and statements are nested more than %d deep".formatted(MAX_HEIGHT),
            this);
      }
    }
    return child;
  }

  final <T extends Node, C extends Collection<T>> C all(C nodes) {
    nodes.forEach(this::child);
    return nodes;
  }

  /** Returns the longest way down to a leaf, in nodes. */
  final int height() {
    return height;
  }

  final List<Node> children() {
    return children;
  }

  /** Visits this node and all below it. */
  final void walk(Consumer<Node> visitor) {
    visitor.accept(this);
    children.forEach(c -> c.walk(visitor));
  }
}
