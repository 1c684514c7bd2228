package org.tune4j.core.engine;

import static com.google.common.base.Preconditions.checkArgument;

/**
 * A thin handle over a matrix in an engine's storage: {@code rows x cols} elements of one {@link
 * DType}, row-major, with {@code stride} elements from one row to the next, so that a block of
 * columns is a view. Vectors are matrices of one row.
 *
 * <p>Handles are compared by identity. A handle belongs to the engine that created it, and to that
 * engine's step arena unless it came from {@link Engine#persistent}; arena handles are invalid
 * after {@link Engine#resetArena()}.
 */
public abstract class Tensor {
  private final int rows;
  private final int cols;
  private final int stride;
  private final DType dtype;

  /** Describes a matrix; for engines. */
  protected Tensor(int rows, int cols, int stride, DType dtype) {
    checkArgument(
        rows >= 0 && cols >= 0 && stride >= cols,
        "rows %s, cols %s, stride %s",
        rows,
        cols,
        stride);
    this.rows = rows;
    this.cols = cols;
    this.stride = stride;
    this.dtype = dtype;
  }

  /** Returns the number of rows. */
  public final int rows() {
    return rows;
  }

  /** Returns the number of columns. */
  public final int cols() {
    return cols;
  }

  /** Returns the distance between the starts of two rows, in elements. */
  public final int stride() {
    return stride;
  }

  /** Returns the type of its elements. */
  public final DType dtype() {
    return dtype;
  }

  /** Returns {@code rows * cols}. */
  public final long size() {
    return (long) rows * cols;
  }

  @Override
  public String toString() {
    return dtype + "[" + rows + "," + cols + (stride == cols ? "" : "/" + stride) + "]";
  }
}
