package org.tune4j.core.engine.onednn;

import static com.google.common.base.Preconditions.checkArgument;
import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.onednn.Dnnl.Kind;
import org.tune4j.core.engine.onednn.Dnnl.Md;
import org.tune4j.core.engine.onednn.Dnnl.Spec;

/**
 * How fast this processor multiplies each type, in comparison with F32.
 *
 * <p>Most that have an instruction for bfloat16 gain by it; some run it at half the rate of F32,
 * and then inputs are better widened and only the weights kept in bfloat16. Most that have one for
 * 8-bit integers multiply them four times as fast; without it they are slower than F32.
 *
 * <p>What is measured decides, unless it is said: {@code -Dtune4j.onednn.bf16=native} or {@code
 * widened}, {@code -Dtune4j.onednn.int8=rounded} or {@code exact} (inputs of products with 8-bit
 * weights). Results of the two differ by their roundings, so one that is to be repeated on another
 * kind of processor says it; tests run on both wherever they run.
 */
final class ProductRates {
  private static final String BF16 = "tune4j.onednn.bf16";
  private static final String INT8 = "tune4j.onednn.int8";
  private static final int SIZE = 384;
  private static final double ROUNDING_PAYS = 1.5; // products for which inputs are rounded first
  private static Boolean bf16;
  private static Boolean int8;

  private ProductRates() {}

  /** Returns whether bfloat16 inputs are multiplied as they are, not widened. */
  static boolean multipliesBf16(Dnnl dnnl) {
    Boolean said = said(BF16, "native", "widened");
    return said != null ? said : bf16FasterThanF32(dnnl);
  }

  /** Returns whether inputs of products with 8-bit weights are rounded to 8 bits. */
  static boolean multipliesInt8(Dnnl dnnl) {
    Boolean said = said(INT8, "rounded", "exact");
    return said != null ? said : int8FasterThanF32(dnnl);
  }

  /** Returns whether a property says yes or no; null if it is not set. */
  private static Boolean said(String property, String yes, String no) {
    String value = System.getProperty(property);
    if (value == null) {
      return null;
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

  private static synchronized boolean bf16FasterThanF32(Dnnl dnnl) {
    if (bf16 == null) {
      bf16 = seconds(dnnl, dnnl_bf16, dnnl_bf16) < seconds(dnnl, dnnl_f32, dnnl_bf16);
    }
    return bf16;
  }

  private static synchronized boolean int8FasterThanF32(Dnnl dnnl) {
    if (int8 == null) {
      int8 = ROUNDING_PAYS * seconds(dnnl, dnnl_s8, dnnl_s8) < seconds(dnnl, dnnl_f32, dnnl_s8);
    }
    return int8;
  }

  private static double seconds(Dnnl dnnl, int type, int weights) {
    try (INDArray a = Nd4j.ones(DataType.FLOAT, SIZE, SIZE);
        INDArray b = Nd4j.ones(DataType.FLOAT, SIZE, SIZE);
        INDArray c = Nd4j.ones(DataType.FLOAT, SIZE, SIZE)) {
      Spec spec =
          Spec.of(
              Kind.MATMUL,
              Md.of(type, SIZE, SIZE, SIZE, 1),
              Md.of(weights, SIZE, SIZE, 1, SIZE),
              Md.of(dnnl_f32, SIZE, SIZE, SIZE, 1));
      double[] times = new double[9];
      for (int i = 0; i < times.length; i++) {
        long start = System.nanoTime();
        dnnl.run(spec, address(a), address(b), address(c));
        times[i] = System.nanoTime() - start;
      }
      Arrays.sort(times);
      return times[times.length / 4];
    }
  }

  private static long address(INDArray a) {
    return a.data().pointer().address();
  }
}
