package org.tune4j.examples;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Comparator;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.tune4j.core.engine.Engine;

/** Measures the time of each engine operation, as seen by its callers. */
final class TimedEngine {
  private final Engine engine;
  private final Map<String, long[]> operations = new TreeMap<>();

  TimedEngine(Engine inner) {
    engine =
        (Engine)
            Proxy.newProxyInstance(
                Engine.class.getClassLoader(),
                new Class<?>[] {Engine.class},
                (proxy, method, args) -> {
                  long start = System.nanoTime();
                  try {
                    return method.invoke(inner, args);
                  } catch (InvocationTargetException e) {
                    throw e.getCause();
                  } finally {
                    long[] timeAndCalls =
                        operations.computeIfAbsent(method.getName(), k -> new long[2]);
                    timeAndCalls[0] += System.nanoTime() - start;
                    timeAndCalls[1]++;
                  }
                });
  }

  /** Returns a proxy that times the engine. */
  Engine engine() {
    return engine;
  }

  void clear() {
    operations.clear();
  }

  /** Returns a table, slowest operation first. */
  String table(int steps, double secondsPerStep) {
    StringBuilder out =
        new StringBuilder(
            String.format(
                Locale.ROOT, "%-20s %9s %7s %6s%n", "operation", "ms/step", "calls", "share"));
    operations.entrySet().stream()
        .sorted(Comparator.comparingLong(e -> -e.getValue()[0]))
        .filter(e -> e.getValue()[0] / 1e9 / steps > 0.001 * secondsPerStep)
        .forEach(
            e ->
                out.append(
                    String.format(
                        Locale.ROOT,
                        "%-20s %9.2f %7d %5.1f%%%n",
                        e.getKey(),
                        e.getValue()[0] / 1e6 / steps,
                        e.getValue()[1] / steps,
                        e.getValue()[0] / 1e7 / steps / secondsPerStep)));
    return out.toString();
  }
}
