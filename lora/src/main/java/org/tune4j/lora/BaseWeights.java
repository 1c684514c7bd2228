package org.tune4j.lora;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.Safetensors;
import org.tune4j.core.model.Projection;

/**
 * Checks base-model weights in an adapter file. PEFT stores those of targeted embeddings and heads,
 * in case their vocabulary was resized, and copies them into the base model when loading. Here the
 * base model is shared, so they must equal its own.
 */
final class BaseWeights {
  private static final int BLOCK = 1 << 20; // elements

  private BaseWeights() {}

  /**
   * Compares a stored weight with the base model's.
   *
   * @throws MalformedFileException if they differ
   */
  static void compare(Projection base, Safetensors weights, String key) throws IOException {
    MatrixSource own = base.source();
    Safetensors.Entry entry = weights.entry(key);
    List<Long> shape = new ArrayList<>(entry.shape());
    List<Long> expected = List.of((long) own.rows(), (long) own.cols());
    List<Long> transposed = List.of((long) own.cols(), (long) own.rows());
    if (!shape.equals(base.fanInFanOut() ? transposed : expected)) {
      throw new MalformedFileException(
          weights.file(),
          "tensor '" + key + "'",
          "a base weight of shape " + shape,
          (base.fanInFanOut() ? transposed : expected)
              + ", the shape of this base model's "
              + base.name()
              + ": the adapter is for another one, or for this one with its vocabulary resized");
    }
    double rounding =
        switch (entry.type()) {
          case BF16 -> 0x1p-8;
          case F16 -> 0x1p-10;
          default -> 0;
        };
    boolean same =
        entry.type().isFloat()
            && (base.fanInFanOut()
                ? sameTransposed(own, weights.floats(key), rounding)
                : same(own, weights, key, rounding));
    if (!same) {
      throw new MalformedFileException(
          weights.file(),
          "tensor '" + key + "'",
          "a base weight that differs from this base model's",
          "the weight of " + base.name() + ": the adapter comes with a changed base model");
    }
  }

  private static boolean same(MatrixSource own, Safetensors weights, String key, double rounding) {
    int cols = own.cols();
    int rows = Math.max(1, BLOCK / cols);
    float[] a = new float[rows * cols];
    float[] b = new float[rows * cols];
    for (int row = 0; row < own.rows(); row += rows) {
      int count = Math.min(rows, own.rows() - row);
      own.read(row, count, a);
      weights.readFloats(key, (long) row * cols, b, 0, count * cols);
      for (int i = 0; i < count * cols; i++) {
        if (!same(a[i], b[i], rounding)) {
          return false;
        }
      }
    }
    return true;
  }

  private static boolean sameTransposed(MatrixSource own, float[] stored, double rounding) {
    float[] row = new float[own.cols()];
    for (int r = 0; r < own.rows(); r++) {
      own.read(r, 1, row);
      for (int c = 0; c < row.length; c++) {
        if (!same(row[c], stored[c * own.rows() + r], rounding)) {
          return false;
        }
      }
    }
    return true;
  }

  private static boolean same(float a, float b, double rounding) {
    return Math.abs(a - b) <= rounding * Math.abs(a) + (rounding > 0 ? 1e-7 : 0);
  }
}
