package org.tune4j.core.text.jinja;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.tune4j.core.text.jinja.Expression.Name;
import org.tune4j.core.text.jinja.Expression.NamespaceAttribute;

/**
 * The names of a scope and where their values come from when it is entered. This follows Jinja's
 * own analysis rule by rule, since what a name means depends on it: a name that a scope sets
 * anywhere is the scope's own, except that what is set only within {@code if} begins with the value
 * outside.
 */
final class Symbols {
  /** Where a variable's value comes from. */
  enum Source {
    /** Given by who enters the scope. */
    PARAMETER,
    /** Looked up in the template's context. */
    CONTEXT,
    /** The variable of the same name in a scope outside. */
    OUTER,
    NOTHING
  }

  /**
   * How a variable is set when its scope is entered.
   *
   * @param of the name in the context, or the outer variable
   */
  record Load(Source source, String of) {}

  private final int level;
  private final Symbols parent;

  /** The variable of each name, unique within all scopes that can see it. */
  private final Map<String, String> variables;

  private final Map<String, Load> loads;
  private final Set<String> stores;

  Symbols(Symbols parent) {
    level = parent == null ? 0 : parent.level + 1;
    this.parent = parent;
    variables = new HashMap<>();
    loads = new LinkedHashMap<>();
    stores = new TreeSet<>();
  }

  private Symbols(Symbols copied, boolean ignored) {
    level = copied.level;
    parent = copied.parent;
    variables = new HashMap<>(copied.variables);
    loads = new LinkedHashMap<>(copied.loads);
    stores = new TreeSet<>(copied.stores);
  }

  Map<String, Load> loads() {
    return loads;
  }

  /** Returns the variable that a name stands for here; null if it is not known. */
  String variable(String name) {
    String variable = variables.get(name);
    return variable != null || parent == null ? variable : parent.variable(name);
  }

  Load load(String variable) {
    Load load = loads.get(variable);
    return load != null || parent == null ? load : parent.load(variable);
  }

  /** Returns the names that this scope and those around it set, with their variables. */
  Map<String, String> allStores() {
    Map<String, String> all = new LinkedHashMap<>();
    for (Symbols s = this; s != null; s = s.parent) {
      for (String name : s.stores) {
        all.putIfAbsent(name, variable(name));
      }
    }
    return all;
  }

  private void define(String name, Source source, String of) {
    String variable = level + "_" + name;
    variables.put(name, variable);
    loads.put(variable, new Load(source, of));
  }

  void parameter(String name) {
    stores.add(name);
    define(name, Source.PARAMETER, null);
  }

  private void store(String name) {
    stores.add(name);
    if (!variables.containsKey(name)) {
      String outer = parent == null ? null : parent.variable(name);
      define(name, outer == null ? Source.NOTHING : Source.OUTER, outer);
    }
  }

  private void use(String name) {
    if (variable(name) == null) {
      define(name, Source.CONTEXT, name);
    }
  }

  // ---- what a scope's statements do to its names

  void visit(List<? extends Node> nodes) {
    nodes.forEach(this::visit);
  }

  void visit(Node node) {
    if (node instanceof Name n) {
      switch (n.use) {
        case LOAD -> use(n.name);
        case STORE -> store(n.name);
        case PARAMETER -> parameter(n.name);
      }
    } else if (node instanceof NamespaceAttribute a) {
      use(a.namespace.name);
    } else if (node instanceof Statement.If i) {
      branches(i);
    } else if (node instanceof MacroStatement.Definition m) {
      store(m.name.name);
    } else if (node instanceof Statement.Load l) {
      visit(l.children());
      l.targets.forEach(t -> store(t.name));
    } else if (node instanceof Statement.Assign a) {
      visit(a.value);
      visit(a.target);
    } else if (node instanceof Loop l) {
      visit(l.items); // the rest has scopes of its own, as below
    } else if (node instanceof MacroStatement.CallBlock c) {
      visit(c.call);
    } else if (node instanceof Statement.FilterBlock f) {
      visit(f.filter);
    } else if (node instanceof Statement.With w) {
      visit(w.values);
    } else if (node instanceof Statement.AssignBlock a) {
      visit(a.target);
    } else if (!(node instanceof Statement.Block)
        && !(node instanceof MacroStatement.Generation)
        && node != null) {
      visit(node.children());
    }
  }

  /** Visits a loop's target, whose names each iteration gives. */
  void visitParameters(Node target) {
    target.walk(
        n -> {
          if (n instanceof Name name) {
            parameter(name.name);
          }
        });
  }

  private void branches(Statement.If node) {
    visit(node.test);
    List<Symbols> branches = List.of(branch(node.body), branch(node.elifs), branch(node.otherwise));
    Set<String> set = new TreeSet<>();
    branches.forEach(b -> set.addAll(b.stores));
    set.removeAll(stores);
    for (Symbols b : branches) {
      variables.putAll(b.variables);
      loads.putAll(b.loads);
      stores.addAll(b.stores);
    }
    for (String name : set) {
      String outer = parent == null ? null : parent.variable(name);
      loads.put(
          variable(name),
          outer == null ? new Load(Source.CONTEXT, name) : new Load(Source.OUTER, outer));
    }
  }

  private Symbols branch(List<? extends Node> nodes) {
    Symbols copy = new Symbols(this, true);
    copy.visit(nodes);
    return copy;
  }
}
