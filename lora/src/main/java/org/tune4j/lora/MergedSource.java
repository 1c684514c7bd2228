package org.tune4j.lora;

import java.util.stream.IntStream;
import org.tune4j.core.engine.MatrixSource;

/**
 * A weight with an adapter merged in, computed as it is read: {@code into + s B A}, and with DoRA
 * {@code c (into + s B A)}, where {@code c = m / ||base + s B A||} by row. What it is merged into
 * may hold other adapters; the norms are those of the base without them, as in the forward pass
 * (PEFT since 0.21).
 *
 * @param into what it is merged into, {@code [out, in]}
 * @param base the weight without any adapter, {@code [out, in]}
 * @param rank of the adapter
 * @param scale {@code s}
 * @param a {@code [rank, in]}
 * @param b {@code [out, rank]}
 * @param magnitude {@code [out]}, or null without DoRA
 */
record MergedSource(
    MatrixSource into,
    MatrixSource base,
    int rank,
    float scale,
    float[] a,
    float[] b,
    float[] magnitude)
    implements MatrixSource {
  /** What a row of zeros is taken to have. */
  static final double LEAST_SQUARED_NORM = 1e-30;

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
    add(row, count, values);
    if (magnitude == null) {
      return;
    }
    int n = cols();
    float[] own = values; // rows whose norms count
    if (!into.equals(base)) {
      own = new float[count * n];
      base.read(row, count, own);
      add(row, count, own);
    }
    for (int r = 0; r < count; r++) {
      float c = magnitude[row + r] / norm(own, r);
      for (int i = r * n; i < (r + 1) * n; i++) {
        values[i] *= c;
      }
    }
  }

  /** Returns {@code ||base + s B A||} by row. */
  float[] norms() {
    float[] norms = new float[rows()];
    IntStream.range(0, norms.length)
        .parallel()
        .forEach(
            row -> {
              float[] values = new float[cols()];
              base.read(row, 1, values);
              add(row, 1, values);
              norms[row] = norm(values, 0);
            });
    return norms;
  }

  /** Adds {@code s B A} to rows. */
  private void add(int row, int count, float[] values) {
    int n = cols();
    for (int r = 0; r < count; r++) {
      for (int k = 0; k < rank; k++) {
        float f = scale * b[(row + r) * rank + k];
        for (int i = 0; i < n; i++) {
          values[r * n + i] += f * a[k * n + i];
        }
      }
    }
  }

  private float norm(float[] values, int r) {
    int n = cols();
    double sum = 0;
    for (int i = r * n; i < (r + 1) * n; i++) {
      sum += (double) values[i] * values[i];
    }
    return (float) Math.sqrt(Math.max(sum, LEAST_SQUARED_NORM));
  }
}
