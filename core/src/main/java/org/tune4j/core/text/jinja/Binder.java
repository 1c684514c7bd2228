package org.tune4j.core.text.jinja;

import com.google.errorprone.annotations.FormatMethod;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.tune4j.core.text.jinja.Expression.Filter;
import org.tune4j.core.text.jinja.Expression.Name;
import org.tune4j.core.text.jinja.Expression.NamespaceAttribute;
import org.tune4j.core.text.jinja.MacroStatement.CallBlock;
import org.tune4j.core.text.jinja.MacroStatement.Definition;
import org.tune4j.core.text.jinja.Statement.Assign;
import org.tune4j.core.text.jinja.Statement.AssignBlock;
import org.tune4j.core.text.jinja.Statement.Block;
import org.tune4j.core.text.jinja.Statement.FilterBlock;
import org.tune4j.core.text.jinja.Statement.FunctionScope;
import org.tune4j.core.text.jinja.Statement.Scope;
import org.tune4j.core.text.jinja.Statement.With;
import org.tune4j.core.text.jinja.Symbols.Load;
import org.tune4j.core.text.jinja.Symbols.Source;
import org.tune4j.core.text.jinja.TemplateException.Kind;

/**
 * Gives every name of a template its slot, and finds what Jinja refuses before rendering: unknown
 * filters and tests, jumps outside of loops, names that cannot be set.
 */
final class Binder {
  /** A function while it is bound: its variables' slots. */
  private static final class Function {
    final Function outer;
    final Map<String, Integer> slots = new HashMap<>();

    Function(Function outer) {
      this.outer = outer;
    }

    int slot(String variable) {
      return slots.computeIfAbsent(variable, v -> slots.size());
    }
  }

  /**
   * A place in the template.
   *
   * @param top whether what is set here is seen by macros and blocks
   * @param soft whether filters and tests may be unknown: directly within a condition
   * @param loop whether there is a loop to leave
   */
  private record Place(
      Symbols symbols, Function function, boolean top, boolean soft, boolean loop) {
    Place inner() {
      return inner(function);
    }

    Place inner(Function of) {
      return new Place(new Symbols(symbols), of, false, false, of == function && loop);
    }

    Place softly() {
      return new Place(symbols, function, top, true, loop);
    }

    Place inLoop(boolean within) {
      return new Place(symbols, function, top, soft, within);
    }
  }

  private final Map<String, Block> blocks;

  private Binder(Map<String, Block> blocks) {
    this.blocks = blocks;
  }

  /** Binds a template, and puts its blocks into a map by their names. */
  static FunctionScope bind(List<Statement> body, Map<String, Block> blocks) {
    Binder binder = new Binder(blocks);
    for (Statement s : body) {
      s.walk(binder::register);
    }
    FunctionScope root = new FunctionScope();
    Place place = new Place(new Symbols(null), new Function(null), true, false, false);
    place.symbols.visit(body);
    binder.enter(place, root.scope);
    binder.all(body, place);
    root.slotCount = place.function.slots.size();
    blocks.values().forEach(binder::block);
    return root;
  }

  private void register(Node node) {
    if (node instanceof Block b && blocks.putIfAbsent(b.name, b) != null) {
      throw failure(b, "block %s defined twice", Values.quoted(b.name));
    }
  }

  @FormatMethod
  private static Failure failure(Node at, String format, Object... arguments) {
    return new Failure(Kind.SYNTAX, format.formatted(arguments), at);
  }

  /** Finds out how the variables of a place are set when it is entered. */
  private void enter(Place place, Scope scope) {
    List<Statement.Entry> entries = new ArrayList<>();
    List<Integer> slots = new ArrayList<>();
    place.symbols.loads().forEach((variable, load) -> place.function.slot(variable));
    place
        .symbols
        .loads()
        .forEach(
            (variable, load) -> {
              int slot = place.function.slot(variable);
              slots.add(slot);
              if (load.source() != Source.PARAMETER) {
                entries.add(entry(place, slot, load));
              }
            });
    scope.entries = entries;
    scope.slots = slots;
  }

  private static Statement.Entry entry(Place place, int slot, Load load) {
    return switch (load.source()) {
      case CONTEXT -> f -> f.slots[slot] = f.resolve(load.of());
      case OUTER -> {
        int[] from = locate(place.function, load.of());
        yield f -> f.slots[slot] = f.get(from[0], from[1]);
      }
      default -> f -> f.slots[slot] = Frame.MISSING;
    };
  }

  /** Returns how many functions outwards a variable is, and its slot there. */
  private static int[] locate(Function from, String variable) {
    int hops = 0;
    for (Function f = from; f != null; f = f.outer) {
      Integer slot = f.slots.get(variable);
      if (slot != null) {
        return new int[] {hops, slot};
      }
      hops++;
    }
    throw new AssertionError("no variable " + variable);
  }

  private void all(List<? extends Statement> statements, Place place) {
    statements.forEach(s -> statement(s, place));
  }

  private void statement(Statement s, Place place) {
    if (s instanceof Statement.If i) {
      condition(i, place.softly());
    } else if (s instanceof Loop l) {
      loop(l, place);
    } else if (s instanceof Assign a) {
      expression(a.value, place, false);
      target(a.target, place);
      a.exported = exported(a.target, place);
    } else if (s instanceof AssignBlock a) {
      Place inner = place.inner();
      inner.symbols.visit(a.body);
      inner.symbols.visit(a.filter);
      enter(inner, a.scope);
      all(a.body, inner);
      target(a.target, place);
      a.exported = exported(a.target, place);
      expression(a.filter, inner, false);
    } else if (s instanceof With w) {
      Place inner = place.inner();
      inner.symbols.visit(w.targets);
      inner.symbols.visit(w.body);
      enter(inner, w.scope);
      w.targets.forEach(t -> target(t, inner));
      w.values.forEach(v -> expression(v, place, false));
      all(w.body, inner);
    } else if (s instanceof FilterBlock f) {
      Place inner = place.inner();
      inner.symbols.visit(f.body);
      inner.symbols.visit(f.filter);
      enter(inner, f.scope);
      all(f.body, inner);
      expression(f.filter, inner, false);
    } else if (s instanceof Definition m) {
      macro(m, m.name.name, place);
      target(m.name, place);
      m.exported = place.top;
    } else if (s instanceof CallBlock c) {
      macro(c, null, place);
      expression(c.call, place, false);
    } else if (s instanceof MacroStatement m) {
      macro(m, null, place);
    } else if (s instanceof Statement.Jump j) {
      if (!place.loop) {
        throw failure(j, "'%s' outside of a loop", Text.lower(j.end.name()));
      }
    } else if (s instanceof Block b) {
      if (b.scoped) {
        b.locals = locals(b, place);
      }
    } else {
      if (s instanceof Statement.Load l && l.tag.equals("extends") && !place.top) {
        throw failure(l, "cannot use extend from a non top-level scope");
      }
      s.children().forEach(e -> expression((Expression) e, place, false));
    }
  }

  private void condition(Statement.If i, Place soft) {
    expression(i.test, soft, false);
    all(i.body, soft);
    i.elifs.forEach(e -> condition(e, soft));
    all(i.otherwise, soft);
  }

  private static List<Name> exported(Expression target, Place place) {
    List<Name> names = new ArrayList<>();
    if (place.top) {
      target.walk(
          n -> {
            if (n instanceof Name name && name.use == Name.Use.STORE) {
              names.add(name);
            }
          });
    }
    return names;
  }

  /** Returns the variables around a block that it sees. */
  private static List<Name> locals(Block b, Place place) {
    List<Name> names = new ArrayList<>();
    place
        .symbols
        .allStores()
        .forEach(
            (name, variable) -> {
              Name n = new Name(new Token(TokenType.NAME, name, null, b.line, b.column), name);
              int[] at = locate(place.function, variable);
              n.hops = at[0];
              n.slot = at[1];
              names.add(n);
            });
    return names;
  }

  private void loop(Loop l, Place place) {
    l.walk(
        n -> {
          if (n instanceof Name name && name.use == Name.Use.STORE && name.name.equals("loop")) {
            throw failure(n, "Can't assign to special loop variable in for-loop target");
          }
        });
    Function function = l.recursive ? new Function(place.function) : place.function;
    Place body = place.inner(function).inLoop(true);
    boolean[] extended = {l.recursive || undeclared(l.body, Set.of("loop")).contains("loop")};
    l.walk(n -> extended[0] |= n instanceof Block b && b.scoped);
    if (extended[0]) {
      body.symbols.parameter("loop");
    }
    body.symbols.visitParameters(l.target);
    body.symbols.visit(l.body);
    if (l.test != null) {
      Place test = place.inner(new Function(place.function));
      test.symbols.visitParameters(l.testTarget);
      test.symbols.visit(l.test);
      enter(test, l.testFunction.scope);
      target(l.testTarget, test);
      expression(l.test, test, false);
      l.testFunction.slotCount = test.function.slots.size();
    }
    expression(l.items, place, false);
    enter(body, l.scope);
    target(l.target, body);
    if (extended[0]) {
      l.loopSlot = function.slot(body.symbols.variable("loop"));
    }
    all(l.body, body);
    Place otherwise = place.inner(function);
    otherwise.symbols.visit(l.otherwise);
    enter(otherwise, l.elseScope);
    all(l.otherwise, otherwise);
    l.function.slotCount = function.slots.size();
  }

  private void macro(MacroStatement m, String name, Place place) {
    Place inner = place.inner(new Function(place.function));
    Symbols symbols = inner.symbols;
    visit(m, symbols);
    List<String> names = m.parameters.stream().map(p -> p.name).toList();
    List<String> variables = new ArrayList<>();
    names.forEach(n -> variables.add(symbols.variable(n)));
    Set<String> special = undeclared(m.body, Set.of("caller", "kwargs", "varargs"));
    boolean caller = special.contains("caller");
    int explicit = names.indexOf("caller");
    if (caller && explicit >= 0 && explicit < names.size() - m.defaults.size()) {
      throw failure(
          m,
          "When defining macros or call blocks the special \"caller\" argument must be omitted"
              + " or be given a default.");
    }
    boolean kwargs = special.contains("kwargs") && !names.contains("kwargs");
    boolean varargs = special.contains("varargs") && !names.contains("varargs");
    Map<String, Boolean> used = new LinkedHashMap<>();
    used.put("caller", caller && explicit < 0);
    used.put("kwargs", kwargs);
    used.put("varargs", varargs);
    used.forEach(
        (n, isUsed) -> {
          if (isUsed) {
            symbols.parameter(n);
            variables.add(symbols.variable(n));
          }
        });
    visit(m, symbols);
    enter(inner, m.function.scope);
    m.parameters.forEach(p -> target(p, inner));
    m.defaults.forEach(d -> expression(d, inner, true));
    all(m.body, inner);
    m.parameterSlots = variables.stream().mapToInt(inner.function::slot).toArray();
    m.function.slotCount = inner.function.slots.size();
    m.shape = new Macro.Shape(name, names, caller, kwargs, varargs);
  }

  private static void visit(MacroStatement m, Symbols symbols) {
    symbols.visit(m.parameters);
    symbols.visit(m.defaults);
    symbols.visit(m.body);
  }

  private void block(Block b) {
    Place place = new Place(new Symbols(null), new Function(null), false, false, false);
    place.symbols.visit(b.body);
    enter(place, b.function.scope);
    all(b.body, place);
    b.function.slotCount = place.function.slots.size();
  }

  private void target(Expression e, Place place) {
    if (e instanceof Name n) {
      n.slot = place.function.slot(place.symbols.variable(n.name));
      n.hops = 0;
    } else if (e instanceof NamespaceAttribute a) {
      load(a.namespace, place);
    } else {
      e.children().forEach(c -> target((Expression) c, place));
    }
  }

  private static void load(Name n, Place place) {
    int[] at = locate(place.function, place.symbols.variable(n.name));
    n.hops = at[0];
    n.slot = at[1];
  }

  /**
   * Binds the names in an expression.
   *
   * @param checked whether parameters may not be set yet, as in default values
   */
  private void expression(Expression e, Place place, boolean checked) {
    if (e == null) {
      return;
    }
    if (e instanceof Name n) {
      load(n, place);
      Load load = place.symbols.load(place.symbols.variable(n.name));
      n.checked = checked || load == null || load.source() != Source.PARAMETER;
      return;
    }
    if (e instanceof Filter f && f.function() == null && !place.soft) {
      throw failure(f, "No %s named %s.", f.test ? "test" : "filter", Values.quoted(f.name));
    }
    Place within = e instanceof Expression.Conditional ? place.softly() : place;
    e.children().forEach(c -> expression((Expression) c, within, checked));
  }

  /** Returns which names are used below some nodes without being set there before. */
  private static Set<String> undeclared(List<? extends Node> nodes, Set<String> names) {
    Set<String> left = new TreeSet<>(names);
    Set<String> found = new TreeSet<>();
    nodes.forEach(n -> undeclared(n, left, found));
    return found;
  }

  private static void undeclared(Node node, Set<String> left, Set<String> found) {
    if (node instanceof Name n) {
      if (n.use == Name.Use.LOAD && left.contains(n.name)) {
        found.add(n.name);
      } else {
        left.remove(n.name);
      }
    } else if (!(node instanceof Block) && !(node instanceof NamespaceAttribute)) {
      node.children().forEach(c -> undeclared(c, left, found));
    }
  }
}
