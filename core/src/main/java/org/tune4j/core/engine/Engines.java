package org.tune4j.core.engine;

import static java.util.stream.Collectors.joining;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.ServiceLoader;

/**
 * Chooses an engine: the fastest that runs here, or the one named by the caller or by {@code
 * -Dtune4j.engine=NAME}.
 */
public final class Engines {
  /** The system property that names the engine. */
  public static final String PROPERTY = "tune4j.engine";

  private Engines() {}

  /** Returns a new engine: the one that {@value #PROPERTY} names, else the fastest available. */
  public static Engine create(Precision precision) {
    return create(System.getProperty(PROPERTY, ""), precision);
  }

  /**
   * Returns a new engine by name; an empty name means the fastest available.
   *
   * @throws IllegalArgumentException if no engine has that name
   * @throws IllegalStateException if it, or every engine, cannot run here; the message says why
   */
  public static Engine create(String name, Precision precision) {
    List<EngineProvider> providers = providers();
    if (!name.isEmpty()) {
      EngineProvider provider =
          providers.stream()
              .filter(p -> p.name().equals(name))
              .findFirst()
              .orElseThrow(
                  () ->
                      new IllegalArgumentException(
                          "no engine is named '%s'; there are: %s"
                              .formatted(
                                  name,
                                  providers.stream()
                                      .map(EngineProvider::name)
                                      .collect(joining(", ")))));
      provider
          .unavailable(precision)
          .ifPresent(
              why -> {
                throw new IllegalStateException(
                    "engine '%s' cannot run here in %s: %s".formatted(name, precision, why));
              });
      return provider.create(precision);
    }
    List<String> reasons = new ArrayList<>();
    for (EngineProvider provider : providers) {
      Optional<String> why = provider.unavailable(precision);
      if (why.isEmpty()) {
        return provider.create(precision);
      }
      reasons.add(provider.name() + ": " + why.get());
    }
    throw new IllegalStateException(
        "no engine can run here in %s (%s)".formatted(precision, String.join("; ", reasons)));
  }

  /** Returns all providers, the one of highest priority first. */
  public static List<EngineProvider> providers() {
    List<EngineProvider> found = new ArrayList<>();
    ServiceLoader.load(EngineProvider.class, Engines.class.getClassLoader()).forEach(found::add);
    found.sort(
        Comparator.comparingInt(EngineProvider::priority)
            .reversed()
            .thenComparing(EngineProvider::name));
    return found;
  }
}
