package org.tune4j.lora;

import org.tune4j.core.engine.MatrixSource;

/**
 * A weight with an update added, {@code into + s B A}, computed as it is read.
 *
 * @param into what it is added to, {@code [out, in]}
 * @param scale {@code s}
 * @param update {@code B A}
 */
record MergedSource(MatrixSource into, float scale, Factors update) implements MatrixSource {
  @Override
  public int rows() {
    return into.rows();
  }

  @Override
  public int cols() {
    return into.cols();
  }

  @Override
  public void read(int row, int count, float[] values) {
    into.read(row, count, values);
    int n = cols();
    int rank = update.rank();
    float[] a = update.a();
    float[] b = update.b();
    for (int r = 0; r < count; r++) {
      for (int k = 0; k < rank; k++) {
        float f = scale * b[(row + r) * rank + k];
        for (int i = 0; i < n; i++) {
          values[r * n + i] += f * a[k * n + i];
        }
      }
    }
  }
}
