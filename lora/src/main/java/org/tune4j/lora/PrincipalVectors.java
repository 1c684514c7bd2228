package org.tune4j.lora;

import java.util.Arrays;
import java.util.Optional;
import java.util.SplittableRandom;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * Computes the eigenvectors of the largest or smallest eigenvalues of a symmetric positive
 * semidefinite matrix.
 *
 * <p>A few vectors of a large matrix are found by block Lanczos with full reorthogonalisation
 * (Golub and Van Loan, "Matrix Computations", section 10.3): a basis {@code Q} is extended by the
 * product of the matrix with its last block, and the eigenvectors are computed from {@code Q' G Q},
 * until the residual is small compared with the gap to the next eigenvalue, which bounds the error
 * of their span (Davis and Kahan). Small matrices, and those that do not converge, are decomposed
 * completely.
 */
final class PrincipalVectors {
  private static final int BLOCK = 4; // at most so many equal eigenvalues are separated
  private static final int SMALL = 512; // decomposed completely in a few hundredths of a second
  private static final double ERROR = 1e-8; // of the span; float has 6e-8
  private static final double ROUNDING = 1e-13; // rounding, relative to the largest eigenvalue

  private PrincipalVectors() {}

  /**
   * Returns the vectors in columns, {@code [n, rank]}, those of the largest eigenvalues first.
   *
   * @param g {@code [n, n]}, in double precision
   * @param rank at most n
   */
  static INDArray of(INDArray g, int rank) {
    return Optional.of(g)
        .filter(m -> m.rows() > SMALL)
        .flatMap(m -> lanczos(m, rank))
        .orElseGet(() -> full(g, rank).vectors);
  }

  /** Eigenvalues, descending, and their vectors in columns. */
  record Eigen(double[] values, INDArray vectors) {}

  /** Decomposes a matrix completely. */
  static Eigen full(INDArray g, int count) {
    int n = g.rows();
    INDArray vectors = g.dup('f');
    INDArray values = Nd4j.create(DataType.DOUBLE, new long[] {n}, 'f');
    int info = Nd4j.getBlasWrapper().lapack().syev('V', 'U', vectors, values); // ascending
    if (info != 0) {
      throw new ArithmeticException("the singular values of a weight do not converge: " + info);
    }
    INDArray found = Nd4j.create(DataType.DOUBLE, new long[] {n, count}, 'f');
    double[] descending = new double[n];
    for (int k = 0; k < n; k++) {
      descending[k] = values.getDouble(n - 1 - k);
      if (k < count) {
        found.putColumn(k, vectors.getColumn(n - 1 - k));
      }
    }
    return new Eigen(descending, found);
  }

  /** Returns the vectors of the smallest eigenvalues in rows, the smallest last. */
  static double[][] smallest(INDArray g, int rank) {
    int n = g.rows();
    double[][] all = full(g, n).vectors.transpose().toDoubleMatrix();
    return Arrays.copyOfRange(all, n - rank, n);
  }

  /**
   * Makes rows orthonormal; a row that depends on earlier ones is replaced by any independent
   * vector.
   */
  static void complete(double[][] rows) {
    double longest = 0;
    for (double[] row : rows) {
      longest = Math.max(longest, Arrays.stream(row).map(v -> v * v).sum());
    }
    int next = 0; // next unit vector to try
    for (int k = 0; k < rows.length; k++) {
      double minNorm = 1e-12 * Math.sqrt(longest);
      while (orthonormalise(Arrays.copyOf(rows, k + 1), minNorm) == null) {
        rows[k] = new double[rows[k].length];
        rows[k][next++] = 1;
        minNorm = 1e-6;
      }
    }
  }

  /** Returns the vectors if a basis of half the size is enough to find them. */
  static Optional<INDArray> lanczos(INDArray g, int rank) {
    int n = g.rows();
    int maxSize = n / 2 / BLOCK * BLOCK;
    int check = rank + 2 * BLOCK;
    if (check > maxSize) {
      return Optional.empty();
    }
    INDArray q = Nd4j.create(DataType.DOUBLE, new long[] {n, maxSize}, 'f'); // the basis
    double[][] t = new double[maxSize][maxSize]; // Q' G Q
    double[][] block = new double[BLOCK][n]; // columns
    SplittableRandom random = new SplittableRandom(1);
    for (double[] column : block) {
      for (int i = 0; i < n; i++) {
        column[i] = random.nextGaussian();
      }
    }
    double[][] r = orthonormalise(block, 0);
    for (int size = BLOCK; size <= maxSize && r != null; size += BLOCK) {
      INDArray x = Nd4j.create(block).transpose().dup('f'); // [n, BLOCK]
      q.get(NDArrayIndex.all(), NDArrayIndex.interval(size - BLOCK, size)).assign(x);
      INDArray basis = q.get(NDArrayIndex.all(), NDArrayIndex.interval(0, size));
      INDArray z = g.mmul(x);
      for (int pass = 0; pass < 2; pass++) { // twice is enough for orthogonality
        INDArray parts = basis.transpose().mmul(z); // [size, BLOCK]
        z.subi(basis.mmul(parts));
        for (int i = 0; i < size; i++) {
          for (int k = 0; k < BLOCK; k++) {
            t[i][size - BLOCK + k] += parts.getDouble(i, k);
          }
        }
      }
      block = z.transpose().toDoubleMatrix();
      r = orthonormalise(block, ROUNDING * t[0][0]);
      if (r != null && size >= check) {
        Eigen found = full(symmetric(t, size), rank);
        double left = 0; // G v - value v = Q_next R v_last
        for (int k = 0; k < rank; k++) {
          for (double[] row : r) {
            double sum = 0;
            for (int j = 0; j < BLOCK; j++) {
              sum += row[j] * found.vectors.getDouble(size - BLOCK + j, k);
            }
            left += sum * sum;
          }
        }
        double gap = found.values[rank - 1] - found.values[rank];
        if (Math.sqrt(left) <= Math.max(ERROR * gap, ROUNDING * found.values[0])) {
          return Optional.of(basis.mmul(found.vectors));
        }
        check = size + Math.max(BLOCK, size / 4);
      }
    }
    return Optional.empty();
  }

  private static INDArray symmetric(double[][] t, int size) {
    double[][] m = new double[size][size];
    for (int i = 0; i < size; i++) {
      for (int j = i; j < size; j++) {
        m[i][j] = t[i][j]; // the lower half was never computed
        m[j][i] = t[i][j];
      }
    }
    return Nd4j.create(m);
  }

  /**
   * Makes columns orthonormal (Gram-Schmidt, twice).
   *
   * @param minNorm a column that becomes shorter than this depends on the others
   * @return {@code R} of {@code X = Q R}, by rows; null if a column depends on the others
   */
  private static double[][] orthonormalise(double[][] columns, double minNorm) {
    int count = columns.length;
    double[][] r = new double[count][count];
    for (int k = 0; k < count; k++) {
      for (int pass = 0; pass < 2; pass++) {
        for (int j = 0; j < k; j++) {
          double dot = 0;
          for (int i = 0; i < columns[k].length; i++) {
            dot += columns[j][i] * columns[k][i];
          }
          for (int i = 0; i < columns[k].length; i++) {
            columns[k][i] -= dot * columns[j][i];
          }
          r[j][k] += dot;
        }
      }
      double square = 0;
      for (double v : columns[k]) {
        square += v * v;
      }
      double norm = Math.sqrt(square);
      if (!(norm > minNorm)) {
        return null;
      }
      r[k][k] = norm;
      for (int i = 0; i < columns[k].length; i++) {
        columns[k][i] /= norm;
      }
    }
    return r;
  }
}
