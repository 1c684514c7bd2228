package org.tune4j.core.engine.onednn;

import static com.google.common.base.Preconditions.checkArgument;
import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.bytedeco.dnnl.global.dnnl.*;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Precision;

/**
 * How products with frozen weights are computed, where processors differ. As the paths round
 * differently, the choice depends on the processor's instructions and not on measurements. It can
 * be overridden by {@code -Dtune4j.onednn.bf16=native} or {@code widened} and {@code
 * -Dtune4j.onednn.int8=rounded} or {@code exact}: set these to reproduce a run on another kind of
 * processor. Tests run all paths everywhere.
 *
 * @param widensInputs whether bfloat16 inputs are widened to F32 and only weights are kept in
 *     bfloat16: on processors without bfloat16 instructions, and on Intel's without AMX, which run
 *     them at half the rate of F32
 * @param roundsInputs whether inputs of products with 8-bit weights are rounded to 8 bits: on
 *     processors with VNNI, which multiplies them four times as fast as F32
 */
record ProductPath(boolean widensInputs, boolean roundsInputs) {
  private static final String BF16 = "tune4j.onednn.bf16";
  private static final String INT8 = "tune4j.onednn.int8";
  private static final int HAS_VNNI =
      (dnnl_cpu_isa_avx512_core_vnni & ~dnnl_cpu_isa_avx512_core)
          | (dnnl_cpu_isa_avx2_vnni & ~dnnl_cpu_isa_avx2);
  private static final int HAS_BF16 =
      dnnl_cpu_isa_avx512_core_bf16 & ~dnnl_cpu_isa_avx512_core_vnni;
  private static final int HAS_AMX = dnnl_cpu_isa_avx512_core_amx & ~dnnl_cpu_isa_avx512_core_fp16;

  /** Returns the path for a precision on this processor. */
  static ProductPath of(Precision precision) {
    boolean x86 = Set.of("amd64", "x86_64").contains(System.getProperty("os.arch"));
    ProductPath defaults =
        x86
            ? of(dnnl_get_effective_cpu_isa(), madeByIntel())
            : new ProductPath(false, false); // the engine is not offered without bfloat16 products
    boolean bf16 = isSet(BF16, "native", "widened", !defaults.widensInputs);
    boolean int8 = isSet(INT8, "rounded", "exact", defaults.roundsInputs);
    return new ProductPath(
        precision.computeType() == DType.BF16 && !bf16, precision == Precision.INT8 && int8);
  }

  /** Returns the default path on an x86-64 processor with these instructions. */
  static ProductPath of(int isa, boolean intel) {
    boolean bf16 = (isa & HAS_BF16) != 0 && (!intel || (isa & HAS_AMX) == HAS_AMX);
    return new ProductPath(!bf16, (isa & HAS_VNNI) != 0);
  }

  /** Returns whether a property has the value {@code yes} rather than {@code no}. */
  private static boolean isSet(String property, String yes, String no, boolean defaultValue) {
    String value = System.getProperty(property);
    if (value == null) {
      return defaultValue;
    }
    checkArgument(
        value.equals(yes) || value.equals(no),
        "-D%s=%s: expected '%s' or '%s'",
        property,
        value,
        yes,
        no);
    return value.equals(yes);
  }

  private static boolean madeByIntel() {
    String vendor = System.getenv().getOrDefault("PROCESSOR_IDENTIFIER", ""); // on Windows
    try {
      Path info = Path.of("/proc/cpuinfo");
      vendor += Files.exists(info) ? Files.readString(info, ISO_8859_1) : "";
    } catch (IOException e) { // containers may hide it
      return vendor.contains("GenuineIntel");
    }
    return vendor.contains("GenuineIntel");
  }

  /** Describes the path for a precision; empty if there is only one. */
  String describe(Precision precision) {
    return switch (precision) {
      case F32 -> "";
      case BF16 -> widensInputs ? ", inputs widened" : ", bfloat16 inputs";
      case INT8 ->
          describe(Precision.BF16) + (roundsInputs ? ", rounded to 8 bits" : ", not rounded");
    };
  }
}
