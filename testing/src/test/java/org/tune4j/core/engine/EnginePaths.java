package org.tune4j.core.engine;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.tune4j.testing.EnginePath;

/**
 * All ways in which the engines of this library compute here. Where a processor is known to run
 * one, that it cannot be loaded is an error and not a reason to leave it out.
 */
public final class EnginePaths {
  private static final String BF16 = "tune4j.onednn.bf16";
  private static final String INT8 = "tune4j.onednn.int8";

  private EnginePaths() {}

  /** Returns the ways of the portable engine. */
  public static List<EnginePath> nd4j() {
    return List.of(EnginePath.of("nd4j", Precision.F32));
  }

  /** Returns the ways of the oneDNN engine, whether or not it would choose them here. */
  public static List<EnginePath> oneDnn() {
    return Stream.of(Precision.values()).flatMap(p -> oneDnn(p).stream()).toList();
  }

  /** Returns those in a precision; none where the processor lacks its instructions. */
  public static List<EnginePath> oneDnn(Precision precision) {
    EngineProvider provider =
        Engines.providers().stream()
            .filter(p -> p.name().equals("onednn"))
            .findFirst()
            .orElseThrow();
    Optional<String> why = provider.unavailable(precision);
    if (why.isPresent()) {
      // every platform that this library is built for has oneDNN
      if (precision == Precision.F32 || hasBf16()) {
        throw new AssertionError("onednn should run here in " + precision + ": " + why.get());
      }
      return List.of();
    }
    return switch (precision) {
      case F32 -> List.of(EnginePath.of("onednn", precision));
      case BF16 ->
          Stream.of("native", "widened")
              .map(b -> new EnginePath("onednn", precision, ImmutableMap.of(BF16, b), false))
              .toList();
      case INT8 ->
          Stream.of("native", "widened")
              .flatMap(b -> Stream.of("rounded", "exact").map(i -> int8(b, i)))
              .toList();
    };
  }

  private static EnginePath int8(String products, String inputs) {
    return new EnginePath(
        "onednn",
        Precision.INT8,
        ImmutableMap.of(BF16, products, INT8, inputs),
        inputs.equals("rounded"));
  }

  /** Returns whether the processor has instructions for bfloat16, where that can be told. */
  private static boolean hasBf16() {
    Path info = Path.of("/proc/cpuinfo");
    try {
      return Files.exists(info)
          && Files.readString(info, UTF_8).matches("(?s).*\\b(avx512_bf16|amx_bf16)\\b.*");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
