package org.tune4j.core.engine;

import java.util.Optional;

/**
 * Provides an {@link Engine}; found by {@link java.util.ServiceLoader}. Constructing a provider
 * must not touch native libraries; {@link #unavailable} does, and returns problems rather than
 * throwing.
 */
public interface EngineProvider {
  /** Returns the engine's name, for {@code -Dtune4j.engine}. */
  String name();

  /** Returns its priority: of the available engines, the one with the highest is chosen. */
  int priority();

  /** Returns why the engine cannot run here in this precision; empty if it can. */
  Optional<String> unavailable(Precision precision);

  /** Returns a new engine, which the caller closes. */
  Engine create(Precision precision);
}
