package org.tune4j.lora;

import com.google.common.collect.MapMaker;
import java.util.Arrays;
import java.util.concurrent.ConcurrentMap;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.tune4j.core.engine.MatrixSource;

/**
 * Initial values computed from base weights. PiSSA and OLoRA move a part {@code s B A} of the
 * weight into the adapter, which is trained from there. As the weight is shared, it is not
 * modified; the adapter subtracts the part instead, which is equivalent.
 *
 * <ul>
 *   <li>PiSSA (Meng et al. 2024, "PiSSA", section 3): the {@code r} largest singular values, half
 *       of each in A and half in B.
 *   <li>OLoRA (Büyükakyüz 2024, "OLoRA", section 2): B is Q's first {@code r} columns and A is R's
 *       first rows of {@code W = Q R}.
 * </ul>
 */
final class BasePart {
  private static final Logger LOG = LoggerFactory.getLogger(BasePart.class);

  /**
   * Cached by weight, as a decomposition takes seconds and several adapters may start from one
   * model.
   */
  private static final ConcurrentMap<MatrixSource, Principal> CACHE =
      new MapMaker().weakKeys().makeMap();

  /**
   * The largest singular values and their vectors.
   *
   * @param values descending, {@code [r]}
   * @param left left vectors, {@code [r, out]}
   * @param right right vectors times their values, {@code [r, in]}
   */
  private record Principal(double[] values, double[] left, double[] right) {}

  private BasePart() {}

  /**
   * Returns PiSSA's initial values.
   *
   * @param weight {@code [out, in]}
   * @param rank at most {@code min(out, in)}
   * @param scale {@code s}, positive
   */
  static Factors pissa(MatrixSource weight, int rank, double scale) {
    Principal p = CACHE.get(weight);
    if (p == null || p.values.length < rank) {
      p = principal(weight, rank);
      CACHE.put(weight, p);
    }
    int out = weight.rows();
    int in = weight.cols();
    float[] a = new float[rank * in];
    float[] b = new float[out * rank];
    for (int k = 0; k < rank; k++) {
      double root = Math.sqrt(p.values[k] / scale); // both in A and in B
      for (int c = 0; c < in && root > 0; c++) {
        a[k * in + c] = (float) (p.right[k * in + c] / (root * scale));
      }
      for (int o = 0; o < out; o++) {
        b[o * rank + k] = (float) (p.left[k * out + o] * root);
      }
    }
    return new Factors(rank, a, b);
  }

  /**
   * Returns the best approximation of a matrix of a given rank: B is the left singular vectors
   * times their values, A the right ones, as in PEFT.
   *
   * @param matrix {@code [out, in]}
   * @param rank at most {@code min(out, in)}
   */
  static Factors truncated(MatrixSource matrix, int rank) {
    Principal p = principal(matrix, rank);
    int out = matrix.rows();
    int in = matrix.cols();
    float[] a = new float[rank * in];
    float[] b = new float[out * rank];
    for (int k = 0; k < rank && p.values[k] > 0; k++) {
      for (int c = 0; c < in; c++) {
        a[k * in + c] = (float) (p.right[k * in + c] / p.values[k]);
      }
      for (int o = 0; o < out; o++) {
        b[o * rank + k] = (float) (p.left[k * out + o] * p.values[k]);
      }
    }
    return new Factors(rank, a, b);
  }

  /**
   * Decomposes by the eigenvectors of {@code W W'}, or of {@code W' W} if that is smaller, in
   * double precision. The product {@code u (u' W)} of a left vector and its scaled right one does
   * not depend on the precision of the eigenvalue.
   */
  private static Principal principal(MatrixSource weight, int rank) {
    int out = weight.rows();
    int in = weight.cols();
    long start = System.nanoTime();
    INDArray w = Nd4j.createFromArray(matrix(weight)).castTo(DataType.DOUBLE).reshape(out, in);
    boolean wide = out <= in;
    INDArray g = wide ? w.mmul(w.transpose()) : w.transpose().mmul(w); // [n, n]
    INDArray vectors = PrincipalVectors.of(g, rank); // [n, r]
    double[] values = new double[rank];
    double[] left = new double[rank * out];
    double[] right = new double[rank * in];
    for (int k = 0; k < rank; k++) {
      INDArray v = vectors.getColumn(k).dup().reshape(1, g.rows());
      double[] own = v.toDoubleVector();
      double[] other = (wide ? v.mmul(w) : v.mmul(w.transpose())).toDoubleVector();
      double norm = 0;
      for (double x : other) {
        norm += x * x;
      }
      values[k] = Math.sqrt(norm);
      for (int c = 0; c < in; c++) {
        right[k * in + c] = wide ? other[c] : own[c] * values[k];
      }
      for (int o = 0; o < out; o++) {
        left[k * out + o] = wide ? own[o] : values[k] == 0 ? 0 : other[o] / values[k];
      }
    }
    LOG.debug(
        "decomposed a weight of {} x {} in {} ms", out, in, (System.nanoTime() - start) / 1000000);
    return new Principal(values, left, right);
  }

  /**
   * Returns MiCA's initial values: B is the left singular vectors of the smallest singular values,
   * A zero.
   *
   * @param weight {@code [out, in]}
   * @param table whether it is {@code [in, out]} instead
   * @param rank at most {@code min(out, in)}
   */
  static Factors mica(MatrixSource weight, boolean table, int rank) {
    INDArray stored =
        Nd4j.createFromArray(matrix(weight))
            .castTo(DataType.DOUBLE)
            .reshape(weight.rows(), weight.cols());
    INDArray w = table ? stored.transpose() : stored; // [out, in]
    int out = w.rows();
    int in = w.columns();
    double[][] left; // [rank, out]
    if (out <= in) {
      left = PrincipalVectors.smallest(w.mmul(w.transpose()), rank);
    } else {
      double[][] right = PrincipalVectors.smallest(w.transpose().mmul(w), rank);
      left = w.mmul(Nd4j.create(right).transpose()).transpose().toDoubleMatrix();
      PrincipalVectors.complete(left);
    }
    float[] b = new float[out * rank];
    for (int o = 0; o < out; o++) {
      for (int k = 0; k < rank; k++) {
        b[o * rank + k] = (float) left[k][o];
      }
    }
    return new Factors(rank, new float[rank * in], b);
  }

  private static float[] matrix(MatrixSource weight) {
    float[] values = new float[Math.multiplyExact(weight.rows(), weight.cols())];
    weight.read(0, weight.rows(), values);
    return values;
  }

  /**
   * Returns OLoRA's initial values, by Householder reflections of the first columns, as in LAPACK.
   *
   * @param weight {@code [out, in]}
   * @param rank at most {@code min(out, in)}
   */
  static Factors olora(MatrixSource weight, int rank) {
    int out = weight.rows();
    int in = weight.cols();
    float[] w = matrix(weight);
    double[][] columns = new double[rank][out];
    for (int k = 0; k < rank; k++) {
      for (int o = 0; o < out; o++) {
        columns[k][o] = w[o * in + k];
      }
    }
    double[][] reflectors = new double[rank][];
    for (int k = 0; k < rank; k++) {
      double[] x = columns[k];
      double below = 0;
      for (int o = k + 1; o < out; o++) {
        below += x[o] * x[o];
      }
      if (below == 0) {
        continue; // no reflection
      }
      double[] v = new double[out];
      double norm = Math.sqrt(below + x[k] * x[k]);
      v[k] = x[k] + Math.copySign(norm, x[k]);
      System.arraycopy(x, k + 1, v, k + 1, out - k - 1);
      reflectors[k] = v;
      for (int j = k; j < rank; j++) {
        reflect(v, columns[j]);
      }
    }
    double[][] q = new double[rank][out];
    for (int k = 0; k < rank; k++) {
      q[k][k] = 1;
      for (int j = rank - 1; j >= 0; j--) {
        if (reflectors[j] != null) {
          reflect(reflectors[j], q[k]);
        }
      }
    }
    float[] a = new float[rank * in];
    float[] b = new float[out * rank];
    double[] row = new double[in];
    for (int k = 0; k < rank; k++) {
      Arrays.fill(row, 0);
      for (int o = 0; o < out; o++) {
        b[o * rank + k] = (float) q[k][o];
        for (int c = 0; c < in; c++) {
          row[c] += q[k][o] * w[o * in + c]; // R = Q' W
        }
      }
      for (int c = 0; c < in; c++) {
        a[k * in + c] = (float) row[c];
      }
    }
    return new Factors(rank, a, b);
  }

  /** {@code x -= 2 v (v' x) / (v' v)}. */
  private static void reflect(double[] v, double[] x) {
    double dot = 0;
    double square = 0;
    for (int i = 0; i < v.length; i++) {
      dot += v[i] * x[i];
      square += v[i] * v[i];
    }
    double factor = 2 * dot / square;
    for (int i = 0; i < v.length; i++) {
      x[i] -= factor * v[i];
    }
  }
}
