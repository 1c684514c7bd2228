package org.tune4j.core.model;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.SplitMix64;

/**
 * Untrained weights: matrices are normally distributed with the configuration's standard deviation,
 * norms are 1, biases 0.
 */
record RandomWeights(float standardDeviation, long seed) implements Weights {
  @Override
  public MatrixSource matrix(String name, int rows, int cols) {
    long tensorSeed = seed * 31 + name.hashCode();
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
        for (int r = 0;
            r < count;
            r++) { // one generator per row, so that any block can be read again
          SplittableRandom random = new SplittableRandom(tensorSeed * SplitMix64.GAMMA + row + r);
          for (int c = 0; c < cols; c++) {
            into[r * cols + c] = (float) (standardDeviation * random.nextGaussian());
          }
        }
      }
    };
  }

  @Override
  public MatrixSource transposed(String name, int rows, int cols) {
    return matrix(name, rows, cols);
  }

  @Override
  public float[] vector(String name, int length) {
    float[] values = new float[length];
    Arrays.fill(values, name.endsWith(".bias") ? 0 : 1);
    return values;
  }
}
