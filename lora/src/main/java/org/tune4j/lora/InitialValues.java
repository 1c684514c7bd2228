package org.tune4j.lora;

import java.util.SplittableRandom;
import java.util.function.DoubleSupplier;

/**
 * The initial A {@code [r, in]} and B {@code [out, r]} of one module, row-major.
 *
 * @param a values of A
 * @param b values of B
 */
record InitialValues(float[] a, float[] b) {
  private static final double ORTHOGONAL_SIZE = 0.1; // PEFT's

  /** Draws them; {@code B A} is zero except for {@link LoraConfig.Initialisation#RANDOM}. */
  static InitialValues draw(
      LoraConfig.Initialisation how, int rank, int in, int out, SplittableRandom random) {
    double bound = 1 / Math.sqrt(in);
    double boundB = 1 / Math.sqrt(rank);
    return switch (how) {
      case KAIMING, EVA ->
          new InitialValues(drawn(rank * in, () -> uniform(random, bound)), new float[out * rank]);
      case RANDOM ->
          new InitialValues(
              drawn(rank * in, () -> uniform(random, bound)),
              drawn(out * rank, () -> uniform(random, boundB)));
      case GAUSSIAN ->
          new InitialValues(
              drawn(rank * in, () -> random.nextGaussian() / rank), new float[out * rank]);
      case MICA -> new InitialValues(new float[rank * in], new float[out * rank]);
      case ORTHOGONAL -> orthogonal(rank, in, out, random);
      case PISSA, OLORA -> throw new IllegalArgumentException(how + " takes them from the base");
    };
  }

  /**
   * Draws those of an embedding: as PEFT, A is zero and B standard normal, whatever the method;
   * both are normal for {@link LoraConfig.Initialisation#RANDOM}.
   *
   * @param entries of the table, the columns of A
   */
  static InitialValues ofEmbedding(
      LoraConfig.Initialisation how, int rank, int entries, int hidden, SplittableRandom random) {
    return new InitialValues(
        how == LoraConfig.Initialisation.RANDOM
            ? drawn(rank * entries, random::nextGaussian)
            : new float[rank * entries],
        drawn(hidden * rank, random::nextGaussian));
  }

  private static float[] drawn(int count, DoubleSupplier next) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) next.getAsDouble();
    }
    return values;
  }

  private static double uniform(SplittableRandom random, double bound) {
    return (2 * random.nextDouble() - 1) * bound;
  }

  /** A of odd and B of even rows of one random orthogonal basis: {@code B A = 0}. */
  private static InitialValues orthogonal(int rank, int in, int out, SplittableRandom random) {
    double[][] basis = new double[rank][rank];
    for (int i = 0; i < rank; i++) {
      for (int j = 0; j < rank; j++) {
        basis[i][j] = random.nextGaussian();
      }
      for (int pass = 0; pass < 2; pass++) { // Gram and Schmidt, twice to be exact
        for (int k = 0; k < i; k++) {
          double dot = 0;
          for (int j = 0; j < rank; j++) {
            dot += basis[i][j] * basis[k][j];
          }
          for (int j = 0; j < rank; j++) {
            basis[i][j] -= dot * basis[k][j];
          }
        }
      }
      double norm = 0;
      for (double v : basis[i]) {
        norm += v * v;
      }
      for (int j = 0; j < rank; j++) {
        basis[i][j] /= Math.sqrt(norm);
      }
    }
    double[] ofA = new double[rank * in];
    double[] ofB = new double[out * rank];
    for (int h = 0; h < rank; h += 2) {
      for (int c = 0; c < in; c++) {
        double z = ORTHOGONAL_SIZE * random.nextGaussian();
        for (int k = 0; k < rank; k++) {
          ofA[k * in + c] += z * basis[h][k];
        }
      }
      for (int o = 0; o < out; o++) {
        double z = ORTHOGONAL_SIZE * random.nextGaussian();
        for (int k = 0; k < rank; k++) {
          ofB[o * rank + k] += z * basis[h + 1][k];
        }
      }
    }
    return new InitialValues(floats(ofA), floats(ofB));
  }

  private static float[] floats(double[] values) {
    float[] f = new float[values.length];
    for (int i = 0; i < f.length; i++) {
      f[i] = (float) values[i];
    }
    return f;
  }
}
