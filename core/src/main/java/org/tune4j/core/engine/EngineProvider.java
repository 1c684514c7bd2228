package org.tune4j.core.engine;

import java.util.Optional;

/**
 * Offers an {@link Engine}; found by {@link java.util.ServiceLoader}. Constructing a provider must
 * not touch native libraries: {@link #unavailable} does, and answers rather than throws.
 */
public interface EngineProvider {
  /** Returns the name by which {@code -Dtune4j.engine} chooses it. */
  String name();

  /** Returns its rank among those available: the highest is chosen. */
  int priority();

  /** Returns why it cannot run here in this precision, or nothing if it can. */
  Optional<String> unavailable(Precision precision);

  /** Returns a new engine, which the caller closes. */
  Engine create(Precision precision);
}
