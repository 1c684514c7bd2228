package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.onednn.Dnnl.Kind;
import org.tune4j.core.engine.onednn.Dnnl.Md;
import org.tune4j.core.engine.onednn.Dnnl.Spec;

/**
 * Whether this processor multiplies bfloat16 faster than F32. Most that have the instruction do;
 * some run it at half the rate of F32, and then inputs are better widened and only the weights kept
 * in bfloat16.
 */
final class Bf16Rate {
  private static final int SIZE = 384;
  private static Boolean faster;

  private Bf16Rate() {}

  static synchronized boolean fasterThanF32(Dnnl dnnl) {
    if (faster == null) {
      faster = seconds(dnnl, dnnl_bf16) < seconds(dnnl, dnnl_f32);
    }
    return faster;
  }

  private static double seconds(Dnnl dnnl, int type) {
    try (INDArray a = Nd4j.ones(DataType.FLOAT, SIZE, SIZE);
        INDArray b = Nd4j.ones(DataType.FLOAT, SIZE, SIZE);
        INDArray c = Nd4j.ones(DataType.FLOAT, SIZE, SIZE)) {
      Spec spec =
          Spec.of(
              Kind.MATMUL,
              Md.of(type, SIZE, SIZE, SIZE, 1),
              Md.of(dnnl_bf16, SIZE, SIZE, 1, SIZE),
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
