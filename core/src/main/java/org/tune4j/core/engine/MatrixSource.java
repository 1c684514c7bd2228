package org.tune4j.core.engine;

/**
 * The values of a frozen matrix, read in blocks of rows, so that converting a file needs no second
 * copy of it. Reading again gives the same values. Implementations throw {@link
 * java.io.UncheckedIOException} if reading fails.
 */
public interface MatrixSource {
  /**
   * Returns the number of rows: output features of a projection, vocabulary entries of an
   * embedding.
   */
  int rows();

  /** Returns the number of columns: input features. */
  int cols();

  /** Reads rows {@code [row, row + count)} into {@code into}, row-major from index 0. */
  void read(int row, int count, float[] into);

  /** Returns a source over values held in memory, row-major. */
  static MatrixSource of(int rows, int cols, float[] values) {
    return new MatrixSource() {
      @Override
      public int rows() {
        return rows;
      }

      @Override
      public int cols() {
        return cols;
      }

      @Override
      public void read(int row, int count, float[] into) {
        System.arraycopy(values, row * cols, into, 0, count * cols);
      }
    };
  }
}
