package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.tune4j.core.text.jinja.Values.Namespace;

/**
 * The target of an assignment.
 *
 * @param names variables that are set
 * @param owners objects whose attributes are set
 */
record Target(List<String> names, List<Expression> owners, Assignment assignment) {
  /** Assigns a value. */
  interface Assignment {
    void assign(Scope s, Object value);
  }

  static Target name(String name) {
    return new Target(List.of(name), List.of(), (s, v) -> s.set(name, v));
  }

  /** Returns an attribute of a namespace as a target. */
  static Target attribute(Expression owner, String attribute) {
    return new Target(
        List.of(),
        List.of(owner),
        (s, v) -> ((Namespace) owner.eval(s)).attributes().put(attribute, v));
  }

  /** Rejects setting attributes of anything but a namespace, before the value is evaluated. */
  void check(Scope s) {
    for (Expression owner : owners) {
      if (!(owner.eval(s) instanceof Namespace)) {
        throw Failure.runtime("cannot assign attribute on non-namespace object");
      }
    }
  }

  /** Returns several targets into which a value is unpacked. */
  static Target several(Token at, List<Target> targets) {
    int size = targets.size();
    return new Target(
        targets.stream().flatMap(t -> t.names.stream()).toList(),
        targets.stream().flatMap(t -> t.owners.stream()).toList(),
        (s, v) -> {
          s.run.at = at;
          Iterator<Object> from = Values.iterator(v);
          List<Object> values = new ArrayList<>();
          while (values.size() <= size && from.hasNext()) {
            values.add(from.next());
          }
          if (values.size() != size) {
            throw Failure.value("not %d values to unpack", size);
          }
          for (int i = 0; i < size; i++) {
            targets.get(i).assignment.assign(s, values.get(i));
          }
        });
  }

  void assign(Scope s, Object value) {
    assignment.assign(s, value);
  }
}
