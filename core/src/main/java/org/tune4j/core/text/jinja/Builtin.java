package org.tune4j.core.text.jinja;

import java.util.Map;

/** A function that the interpreter provides: a global, a method, a filter or a test. */
final class Builtin implements Callable {
  /** A function of its parameters' values, which are {@link Scope#MISSING} if absent. */
  interface Body {
    Object call(Object[] values);
  }

  /** A function of any arguments. */
  interface FreeBody {
    Object call(Arguments arguments);
  }

  private final String type;
  private final String name;
  private final FreeBody body;

  private Builtin(String type, String name, FreeBody body) {
    this.type = type;
    this.name = name;
    this.body = body;
  }

  /** Returns a function with parameters in the notation of {@link Arguments.Signature}. */
  static Builtin function(String name, String signature, Body body) {
    Arguments.Signature parameters = new Arguments.Signature(name, signature);
    return free(name, a -> body.call(parameters.bind(a)));
  }

  static void add(Map<String, Builtin> into, String name, String signature, Body body) {
    into.put(name, function(name, signature, body));
  }

  static Object absent(Object value, Object otherwise) {
    return value == Scope.MISSING ? otherwise : value;
  }

  static Builtin free(String name, FreeBody body) {
    return new Builtin("function", name, body);
  }

  /** Returns the function as a method of an object. */
  Builtin bind(Object receiver) {
    return new Builtin("builtin_function_or_method", name, a -> body.call(a.prepend(receiver)));
  }

  @Override
  public Object call(Arguments arguments) {
    return body.call(arguments);
  }

  @Override
  public String typeName() {
    return type;
  }

  @Override
  public String toString() {
    return "<%s %s>".formatted(type.equals("function") ? type : "built-in method", name);
  }
}
