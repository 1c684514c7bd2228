package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.stream.IntStream;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.onednn.Spec.Kind;

/**
 * The rows of a matrix quantised to 8-bit integers, with the largest absolute value of a row at 127
 * (symmetric, dynamic, per token: Yao et al. 2022, ZeroQuant, section 3.2).
 *
 * <p>Some inputs of language models have a few values that are much larger than the rest (Dettmers
 * et al. 2022, LLM.int8(), section 4), which would leave no precision for the others. Such rows are
 * listed as {@link #outliers}, to be multiplied without rounding.
 */
final class Int8Rows implements AutoCloseable {
  /** Interleaved parts of a row whose largest values are compared. */
  private static final int PARTS = 64;

  /**
   * Bound of a row's largest value as a multiple of the mean of its parts' largest values. Normally
   * distributed values reach 2; at this bound the step between integers is about a fifth of the
   * standard deviation of the other values.
   */
  private static final float OUTLIER_RATIO = 16;

  private final OneDnnEngine engine;
  private final int cols;
  private final Tensor values; // bytes [n, cols]
  private final Tensor factors; // F32 [1, n]
  private final int[] outliers;

  private Int8Rows(OneDnnEngine engine, int cols, Tensor values, Tensor factors, int[] outliers) {
    this.engine = engine;
    this.cols = cols;
    this.values = values;
    this.factors = factors;
    this.outliers = outliers;
  }

  /** Returns whether rows of this length can be rounded. */
  static boolean canRound(int cols) {
    return cols % PARTS == 0;
  }

  static Int8Rows of(OneDnnEngine engine, Dnnl dnnl, Tensor x) {
    int rows = x.rows();
    int cols = x.cols();
    int type = Matrices.type(x.dtype());
    Tensor in = engine.contiguous(x);
    Tensor absolute = engine.allocate(rows, cols, x.dtype());
    Tensor largest = engine.allocate(rows, PARTS, x.dtype());
    Matrices.blocks(
        rows,
        (r, n) -> {
          Md all = Md.of(type, n, cols, cols, 1);
          dnnl.run(
              Spec.of(Kind.ELTWISE, dnnl_eltwise_abs, 0, all, all),
              Matrices.at(in, r),
              Matrices.at(absolute, r));
          dnnl.run(
              Spec.of(
                  Kind.MAX_POOL,
                  Md.of(
                      type,
                      new long[] {n, PARTS, 1, cols / PARTS},
                      new long[] {cols, 1, cols, PARTS}),
                  Md.of(type, new long[] {n, PARTS, 1, 1}, new long[] {PARTS, 1, PARTS, PARTS})),
              Matrices.at(absolute, r),
              Matrices.at(largest, r));
        });
    Tensor wide = engine.cast(largest, DType.F32); // F32 is read much faster
    float[] parts = engine.read(wide);
    engine.releaseIfCopy(wide, largest);
    engine.release(largest);
    engine.release(absolute);
    float[] factor = new float[rows];
    float[] inverse = new float[rows];
    IntStream.Builder outliers = IntStream.builder();
    for (int r = 0; r < rows; r++) {
      float largestOfRow = 0;
      float sum = 0;
      for (int p = r * PARTS; p < (r + 1) * PARTS; p++) {
        largestOfRow = Math.max(largestOfRow, parts[p]);
        sum += parts[p];
      }
      factor[r] = largestOfRow / 127;
      inverse[r] = largestOfRow == 0 ? 0 : 127 / largestOfRow;
      if (!(largestOfRow * PARTS <= OUTLIER_RATIO * sum)) {
        outliers.add(r);
      }
    }
    Tensor factors = engine.filled(1, rows, factor);
    Tensor inverses = engine.filled(1, rows, inverse);
    Tensor values =
        engine.allocate(
            1, Math.toIntExact(((long) rows * cols + Float.BYTES - 1) / Float.BYTES), DType.F32);
    Int8Rows result = new Int8Rows(engine, cols, values, factors, outliers.build().toArray());
    Matrices.blocks(
        rows,
        (r, n) ->
            dnnl.run(
                Spec.of(
                    Kind.BINARY,
                    dnnl_binary_mul,
                    0,
                    Md.of(type, n, cols, cols, 1).asBatch(),
                    Md.of(dnnl_f32, n, 1, 1, 1).asBatch(),
                    result.md(n)),
                Matrices.at(in, r),
                Matrices.at(inverses) + (long) Float.BYTES * r,
                result.at(r)));
    engine.release(inverses);
    engine.releaseIfCopy(in, x);
    return result;
  }

  /** Describes {@code rows} rows as {@code [1, rows, cols]}. */
  Md md(int rows) {
    return Md.of(dnnl_s8, rows, cols, cols, 1).asBatch();
  }

  /** Returns the address of a row's integers. */
  long at(int row) {
    return Matrices.at(values) + (long) row * cols;
  }

  /** Returns the address of a row's scale: the factor of its integers. */
  long factorsAt(int row) {
    return Matrices.at(factors) + (long) Float.BYTES * row;
  }

  /** Returns the rows that rounding would distort too much, ascending. */
  int[] outliers() {
    return outliers;
  }

  @Override
  public void close() {
    engine.release(values);
    engine.release(factors);
  }
}
