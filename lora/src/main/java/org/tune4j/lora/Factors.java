package org.tune4j.lora;

import java.util.Arrays;

/**
 * The factors of a low-rank matrix {@code B A}.
 *
 * @param rank {@code r}
 * @param a {@code [r, in]}, row-major
 * @param b {@code [out, r]}, row-major
 */
record Factors(int rank, float[] a, float[] b) {
  /** Returns factors of the difference, of rank {@code rank + other.rank}. */
  Factors minus(Factors other) {
    int sum = rank + other.rank;
    int out = b.length / rank;
    float[] bothA = Arrays.copyOf(a, a.length + other.a.length);
    System.arraycopy(other.a, 0, bothA, a.length, other.a.length);
    float[] bothB = new float[out * sum];
    for (int o = 0; o < out; o++) {
      System.arraycopy(b, o * rank, bothB, o * sum, rank);
      for (int k = 0; k < other.rank; k++) {
        bothB[o * sum + rank + k] = -other.b[o * other.rank + k];
      }
    }
    return new Factors(sum, bothA, bothB);
  }
}
