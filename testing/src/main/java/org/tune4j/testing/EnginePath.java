package org.tune4j.testing;

import com.google.common.collect.ImmutableMap;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;

/**
 * One way in which an engine computes: a precision and, where the engine would choose by the
 * processor, what it is told to choose.
 *
 * @param engine its name
 * @param properties system properties that are set while it is made
 * @param roundsInputs whether inputs of products with 8-bit weights are rounded to 8 bits, which
 *     their error bounds then allow
 */
public record EnginePath(
    String engine,
    Precision precision,
    ImmutableMap<String, String> properties,
    boolean roundsInputs) {

  /** Returns the only way of computing in a precision. */
  public static EnginePath of(String engine, Precision precision) {
    return new EnginePath(engine, precision, ImmutableMap.of(), false);
  }

  /** Returns a new engine that computes in this way; the caller closes it. */
  public Engine create() {
    return with(() -> Engines.create(engine, precision));
  }

  /** Does something that makes an engine, with the properties set. */
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
