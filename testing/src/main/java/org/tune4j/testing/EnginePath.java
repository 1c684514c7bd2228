package org.tune4j.testing;

import com.google.common.collect.ImmutableMap;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;

/**
 * A code path of an engine: a precision and, where the engine would choose by the processor, the
 * forced choice.
 *
 * @param engine the engine's name
 * @param properties system properties that are set while the engine is created
 * @param roundsInputs whether inputs of products with 8-bit weights are rounded to 8 bits, which
 *     widens the error bounds
 */
public record EnginePath(
    String engine,
    Precision precision,
    ImmutableMap<String, String> properties,
    boolean roundsInputs) {

  /** Returns the path of a precision without processor-dependent choices. */
  public static EnginePath of(String engine, Precision precision) {
    return new EnginePath(engine, precision, ImmutableMap.of(), false);
  }

  /** Returns a new engine on this path, which the caller closes. */
  public Engine create() {
    return with(() -> Engines.create(engine, precision));
  }

  /** Runs work that creates an engine, with the properties set. */
  public <T> T with(Supplier<T> work) {
    Map<String, String> before = new HashMap<>();
    properties.forEach((name, value) -> before.put(name, System.setProperty(name, value)));
    try {
      return work.get();
    } finally {
      before.forEach(
          (name, value) -> {
            if (value == null) {
              System.clearProperty(name);
            } else {
              System.setProperty(name, value);
            }
          });
    }
  }

  @Override
  public String toString() {
    return engine + " in " + precision + (properties.isEmpty() ? "" : " " + properties);
  }
}
