package org.tune4j.core.text.jinja;

/** A function that the interpreter provides: a global, a method, a filter or a test. */
final class Builtin implements Values.Function1 {
  /** What a function does with its parameters' values; {@link Frame#MISSING} if absent. */
  interface Body {
    Object call(Run run, Object[] values);
  }

  /** What a function does that takes any arguments. */
  interface FreeBody {
    Object call(Run run, Arguments arguments);
  }

  private final String type;
  private final String name;
  private final FreeBody body;

  private Builtin(String type, String name, FreeBody body) {
    this.type = type;
    this.name = name;
    this.body = body;
  }

  static Builtin function(String name, String signature, Body body) {
    Arguments.Signature parameters = new Arguments.Signature(signature);
    return free(name, (run, a) -> body.call(run, parameters.bind(name, a)));
  }

  static Builtin free(String name, FreeBody body) {
    return new Builtin("function", name, body);
  }

  /** Returns a method of one object. */
  Builtin bind(Object receiver) {
    return new Builtin(
        "builtin_function_or_method", name, (run, a) -> body.call(run, a.prepend(receiver)));
  }

  @Override
  public Object call(Run run, Arguments arguments) {
    return body.call(run, arguments);
  }

  @Override
  public String typeName() {
    return type;
  }

  @Override
  public String toString() {
    return type.equals("function")
        ? "<function %s>".formatted(name)
        : "<built-in method %s>".formatted(name);
  }
}
