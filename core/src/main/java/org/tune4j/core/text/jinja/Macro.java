package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.tune4j.core.text.jinja.Values.Tuple;

/** A macro or the body of a call block, with the scope in which it is defined. */
final class Macro implements Callable, Attributes.Owner {
  /**
   * The static part of a macro.
   *
   * @param name null for a call block's body
   * @param defaults of the last parameters
   * @param levels nesting depth of the body
   */
  record Definition(
      String name,
      List<String> parameters,
      List<Expression> defaults,
      Names names,
      Statement body,
      int levels) {
    /** Returns the default value of a parameter; null if it has none. */
    Expression defaultOf(int parameter) {
      int at = parameter - (parameters.size() - defaults.size());
      return at < 0 ? null : defaults.get(at);
    }
  }

  private final Definition of;
  private final Scope outer;

  Macro(Definition of, Scope outer) {
    this.of = of;
    this.outer = outer;
  }

  @Override
  public Object call(Arguments arguments) {
    return outer.run.call(of.levels, () -> of.body.exec(scope(arguments)));
  }

  private Scope scope(Arguments arguments) {
    List<Object> given = arguments.positional();
    Map<String, Object> named = new LinkedHashMap<>(arguments.named());
    Map<String, Object> values = new HashMap<>();
    int taken = Math.min(given.size(), of.parameters.size());
    for (int i = 0; i < of.parameters.size(); i++) {
      String p = of.parameters.get(i);
      boolean byName = i >= taken && named.containsKey(p);
      values.put(p, i < taken ? given.get(i) : byName ? named.remove(p) : Scope.MISSING);
    }
    Set<String> special = new HashSet<>(of.parameters);
    if (of.names.uses("caller") && special.add("caller")) {
      Object caller = named.remove("caller");
      values.put("caller", caller == null ? Undefined.because("there is no caller") : caller);
    }
    if (of.names.uses("kwargs") && special.add("kwargs")) {
      values.put("kwargs", named);
    } else if (!named.isEmpty()) {
      throw Failure.type(
          "macro '%s' takes no keyword argument '%s'", of.name, named.keySet().iterator().next());
    }
    List<Object> rest = new ArrayList<>(given.subList(taken, given.size()));
    if (of.names.uses("varargs") && special.add("varargs")) {
      values.put("varargs", Tuple.of(rest));
    } else if (!rest.isEmpty()) {
      throw Failure.type(
          "macro '%s' takes not more than %d argument(s)", of.name, of.parameters.size());
    }
    Scope scope = outer.inner(of.names);
    values.forEach(scope::set);
    for (int i = 0; i < of.parameters.size(); i++) {
      String p = of.parameters.get(i);
      if (values.get(p) == Scope.MISSING) {
        Expression otherwise = of.defaultOf(i);
        scope.set(
            p,
            otherwise != null
                ? otherwise.eval(scope)
                : Undefined.because("parameter '%s' was not provided".formatted(p)));
      }
    }
    return scope;
  }

  @Override
  public Object attribute(String attribute) {
    List<String> parameters = of.parameters;
    return switch (attribute) {
      case "name" -> of.name;
      case "arguments" -> Tuple.of(new ArrayList<>(parameters));
      case "catch_kwargs" -> of.names.uses("kwargs") && !parameters.contains("kwargs");
      case "catch_varargs" -> of.names.uses("varargs") && !parameters.contains("varargs");
      case "caller" -> of.names.uses("caller");
      case "explicit_caller" -> parameters.contains("caller");
      default -> Scope.MISSING;
    };
  }

  @Override
  public String typeName() {
    return "Macro";
  }

  @Override
  public String toString() {
    return of.name == null ? "<Macro anonymous>" : "<Macro '%s'>".formatted(of.name);
  }
}
