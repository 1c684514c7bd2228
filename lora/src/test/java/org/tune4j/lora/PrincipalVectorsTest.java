package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

class PrincipalVectorsTest {
  /** Returns products of {@code n} random vectors whose lengths fall by a factor, [n, n]. */
  private static INDArray products(int n, int length, double decay) {
    Random random = new Random(n + length);
    double[][] x = new double[n][length];
    for (double[] row : x) {
      for (int c = 0; c < length; c++) {
        row[c] = Math.pow(decay, c) * random.nextGaussian();
      }
    }
    INDArray m = Nd4j.create(x);
    return m.mmul(m.transpose());
  }

  private static INDArray projector(INDArray vectors) {
    return vectors.mmul(vectors.transpose());
  }

  private static void check(INDArray found, INDArray g, int rank) {
    INDArray expected = PrincipalVectors.full(g, rank).vectors();
    assertThat(found.shape()).containsExactly(g.rows(), rank);
    INDArray identity = Nd4j.eye(rank).castTo(DataType.DOUBLE);
    assertThat(found.transpose().mmul(found).sub(identity).norm2Number().doubleValue())
        .isCloseTo(0, within(1e-9));
    double captured = projector(found).mul(g).sumNumber().doubleValue();
    double most = projector(expected).mul(g).sumNumber().doubleValue();
    assertThat(captured).isCloseTo(most, within(1e-10 * most));
    assertThat(projector(found).sub(projector(expected)).norm2Number().doubleValue())
        .isLessThan(1e-7);
    for (int k = 0; k < rank; k++) { // each by itself, of either sign
      double cosine = found.getColumn(k).mul(expected.getColumn(k)).sumNumber().doubleValue();
      assertThat(Math.abs(cosine)).as("vector %s", k).isCloseTo(1, within(1e-7));
    }
  }

  @ParameterizedTest
  @CsvSource({"200, 150, 0.97, 4", "260, 300, 0.95, 8", "240, 200, 0.9, 16", "150, 80, 0.8, 1"})
  void fewOfAMatrixAreThoseOfTheWhole(int n, int length, double decay, int rank) {
    INDArray g = products(n, length, decay);
    check(PrincipalVectors.lanczos(g, rank).orElseThrow(), g, rank);
  }

  @Test
  void ofALargeMatrixFewAreFound() {
    INDArray g = products(520, 100, 0.9);
    assertThat(PrincipalVectors.of(g, 3)).isEqualTo(PrincipalVectors.lanczos(g, 3).orElseThrow());
    check(PrincipalVectors.of(g, 3), g, 3);
  }

  @ParameterizedTest
  @CsvSource({"90, 100, 1, 4", "120, 100, 1, 70", "150, 200, 1, 150"})
  void whatIsSmallOrManyIsDecomposedWhole(int n, int length, double decay, int rank) {
    INDArray g = products(n, length, decay);
    assertThat(PrincipalVectors.lanczos(g, rank)).isEmpty();
    check(PrincipalVectors.of(g, rank), g, rank);
  }

  /** Such matrices have no next vector; any that complete the basis will do. */
  @Test
  void matricesOfLowRankAreDecomposedWhole() {
    for (INDArray g :
        new INDArray[] {
          products(200, 3, 1),
          Nd4j.eye(200).castTo(DataType.DOUBLE),
          Nd4j.zeros(DataType.DOUBLE, 200, 200)
        }) {
      assertThat(PrincipalVectors.lanczos(g, 8)).isEmpty();
    }
    INDArray g = products(520, 3, 1);
    INDArray found = PrincipalVectors.of(g, 8);
    assertThat(projector(found).mmul(g).sub(g).norm2Number().doubleValue())
        .isLessThan(1e-9 * g.norm2Number().doubleValue());
  }

  /** Four equal ones, more than one vector would find. */
  @Test
  void equalValuesAreAllFound() {
    double[] values = new double[160];
    for (int i = 0; i < values.length; i++) {
      values[i] = i < 4 ? 100 : 50.0 / (i + 1);
    }
    INDArray basis = PrincipalVectors.full(products(160, 200, 1), 160).vectors();
    INDArray g = basis.mmul(Nd4j.diag(Nd4j.create(values))).mmul(basis.transpose());
    INDArray found = PrincipalVectors.lanczos(g, 4).orElseThrow();
    assertThat(projector(found).mul(g).sumNumber().doubleValue()).isCloseTo(400, within(1e-8));
  }
}
