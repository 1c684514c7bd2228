package org.tune4j.core.engine;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One way in which an engine computes: a precision and, where the engine would choose by measuring
 * the processor, what it is told to choose.
 *
 * @param engine its name
 * @param properties system properties that are set while it is made
 */
record EnginePath(String engine, Precision precision, Map<String, String> properties) {
  private static final String BF16 = "tune4j.onednn.bf16";
  private static final String INT8 = "tune4j.onednn.int8";

  /** Returns all ways of the portable engine. */
  static List<EnginePath> nd4j() {
    return List.of(new EnginePath("nd4j", Precision.F32, Map.of()));
  }

  /**
   * Returns all ways of the oneDNN engine that this machine can run, whether or not the engine
   * would choose them here. That they can run is demanded of processors that are known to.
   */
  static List<EnginePath> oneDnn() {
    EngineProvider provider =
        Engines.providers().stream()
            .filter(p -> p.name().equals("onednn"))
            .findFirst()
            .orElseThrow();
    List<EnginePath> paths = new ArrayList<>();
    if (runs(provider, Precision.F32, List.of("amd64", "x86_64").contains(arch()))) {
      paths.add(new EnginePath("onednn", Precision.F32, Map.of()));
    }
    if (runs(provider, Precision.BF16, hasBf16())) {
      for (String products : List.of("native", "widened")) {
        paths.add(new EnginePath("onednn", Precision.BF16, Map.of(BF16, products)));
      }
    }
    if (runs(provider, Precision.INT8, hasBf16())) {
      for (String products : List.of("native", "widened")) {
        for (String inputs : List.of("rounded", "exact")) {
          paths.add(new EnginePath("onednn", Precision.INT8, Map.of(BF16, products, INT8, inputs)));
        }
      }
    }
    return paths;
  }

  private static String arch() {
    return System.getProperty("os.arch");
  }

  private static boolean runs(EngineProvider provider, Precision precision, boolean must) {
    return provider
        .unavailable(precision)
        .map(
            why -> {
              if (must) {
                throw new AssertionError("onednn should run here in " + precision + ": " + why);
              }
              return false;
            })
        .orElse(true);
  }

  /** Returns whether the processor has instructions for bfloat16, where that can be told. */
  private static boolean hasBf16() {
    Path info = Path.of("/proc/cpuinfo");
    try {
      return Files.exists(info)
          && Files.readString(info, UTF_8).matches("(?s).*\\b(avx512_bf16|amx_bf16)\\b.*");
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  /** Returns whether inputs of products with 8-bit weights are rounded. */
  boolean roundsInputs() {
    return "rounded".equals(properties.get(INT8));
  }

  /** Returns a new engine. */
  Engine create() {
    Map<String, String> before = new HashMap<>();
    properties.forEach((name, value) -> before.put(name, System.setProperty(name, value)));
    try {
      return Engines.create(engine, precision);
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
