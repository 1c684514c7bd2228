package org.tune4j.core.engine.nd4j;

import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Precision;

/** The storage format of a frozen weight, row-major {@code [out, in]}. */
public enum StoredForm {
  /** Unrounded. */
  F32(DType.F32, Float.BYTES),
  /** Rounded to bfloat16. */
  BF16(DType.BF16, Short.BYTES),
  /**
   * 8-bit integers with an F32 scale for each output channel: the largest absolute value of a row
   * becomes 127 (symmetric, per channel; Jacob et al. 2018, section 3).
   */
  INT8(null, Byte.BYTES);

  private static final int SET_BYTES = 256;
  private static final int LINE_BYTES = 64;

  private final DType dtype;
  private final int bytes;

  StoredForm(DType dtype, int bytes) {
    this.dtype = dtype;
    this.bytes = bytes;
  }

  /** Returns the format of weights in a precision. */
  public static StoredForm of(Precision precision) {
    return valueOf(precision.name());
  }

  /** Returns the type of the values, or null if they are integers with scales. */
  DType dtype() {
    return dtype;
  }

  /** Returns whether values are integers with separate scales. */
  public boolean scaled() {
    return dtype == null;
  }

  /**
   * Returns the distance between padded rows, in elements. Rows at multiples of a few cache lines
   * map to few cache sets, which halves the speed of products.
   */
  public int padded(int cols) {
    return (long) cols * bytes % SET_BYTES == 0 ? cols + LINE_BYTES / bytes : cols;
  }

  /** Returns the size of a matrix with its scales, in bytes. */
  long bytes(long rows, long stride) {
    return floats(rows, stride) * Float.BYTES + (scaled() ? Float.BYTES * rows : 0);
  }

  /** Returns the number of floats that hold a matrix without its scales. */
  long floats(long rows, long stride) {
    return (rows * stride * bytes + Float.BYTES - 1) / Float.BYTES;
  }
}
