package org.tune4j.core.text.jinja;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A macro, or the body of a call block, with the frame that it was defined in. */
final class Macro implements Values.Function1 {
  /**
   * What is fixed about a macro.
   *
   * @param name null for a call block's body
   * @param caller whether the body uses {@code caller} without declaring it
   */
  record Shape(
      String name, List<String> parameters, boolean caller, boolean kwargs, boolean varargs) {}

  /** Renders the body with the values of the parameters, then caller, kwargs, varargs if used. */
  interface Body {
    String render(List<Object> values);
  }

  private final Shape shape;
  private final Body body;

  Macro(Shape shape, Body body) {
    this.shape = shape;
    this.body = body;
  }

  @Override
  public Object call(Run run, Arguments arguments) {
    List<String> parameters = shape.parameters;
    List<Object> given = arguments.positional();
    Map<String, Object> named = new LinkedHashMap<>(arguments.named());
    List<Object> values =
        new ArrayList<>(given.subList(0, Math.min(given.size(), parameters.size())));
    boolean foundCaller = parameters.contains("caller");
    if (values.size() < parameters.size()) {
      foundCaller = false;
      for (String p : parameters.subList(values.size(), parameters.size())) {
        values.add(named.containsKey(p) ? named.remove(p) : Frame.MISSING);
        foundCaller |= p.equals("caller");
      }
    }
    if (shape.caller && !foundCaller) {
      Object caller = named.remove("caller");
      values.add(caller == null ? Undefined.because("No caller defined") : caller);
    }
    if (shape.kwargs) {
      values.add(named);
    } else if (named.containsKey("caller")) {
      throw Failure.type(
          "macro %s was invoked with two values for the special caller argument."
              + " This is most likely a bug.",
          Values.quoted(shape.name));
    } else if (!named.isEmpty()) {
      throw Failure.type(
          "macro %s takes no keyword argument %s",
          Values.quoted(shape.name), Values.quoted(named.keySet().iterator().next()));
    }
    List<Object> rest = given.subList(Math.min(given.size(), parameters.size()), given.size());
    if (shape.varargs) {
      values.add(new Values.Tuple(rest));
    } else if (!rest.isEmpty()) {
      throw Failure.type(
          "macro %s takes not more than %d argument(s)",
          Values.quoted(shape.name), parameters.size());
    }
    return body.render(values);
  }

  /** Returns an attribute; {@link Frame#MISSING} if there is none of that name. */
  Object attribute(String attribute) {
    return switch (attribute) {
      case "name" -> shape.name;
      case "arguments" -> new Values.Tuple(new ArrayList<>(shape.parameters));
      case "catch_kwargs" -> shape.kwargs;
      case "catch_varargs" -> shape.varargs;
      case "caller" -> shape.caller;
      case "explicit_caller" -> shape.parameters.contains("caller");
      default -> Frame.MISSING;
    };
  }

  @Override
  public String typeName() {
    return "Macro";
  }

  @Override
  public String toString() {
    return shape.name == null
        ? "<Macro anonymous>"
        : "<Macro %s>".formatted(Values.quoted(shape.name));
  }
}
