package org.tune4j.testing;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import org.tune4j.core.engine.DType;

/**
 * Elementwise error bounds of products: rounding of the result and the operands to their types, and
 * of each addition in F32 (Higham 2002, Accuracy and Stability of Numerical Algorithms, section
 * 3.5).
 */
final class ErrorBounds {
  /** Unit roundoff of F32. */
  private static final double F32 = 0x1p-24;

  /** Unit roundoff of bfloat16. */
  static final double BF16 = 0x1p-8;

  /** For second-order terms and the rounding of scales. */
  private static final double MARGIN = 1.02;

  private ErrorBounds() {}

  private static double unit(DType type) {
    return type == DType.F32 ? F32 : BF16;
  }

  /**
   * Returns the bounds of sums of {@code k} exact products that are stored as {@code result}.
   *
   * @param terms sums of the products' absolute values
   */
  static double[] sum(double[] exact, double[] terms, int k, DType result) {
    double[] bounds = new double[exact.length];
    for (int i = 0; i < bounds.length; i++) {
      // four more operations: multiplication, scale, bias and residual
      bounds[i] =
          MARGIN * (unit(result) * Math.abs(exact[i]) + (k + 4) * F32 * terms[i])
              + Float.MIN_NORMAL;
    }
    return bounds;
  }

  /** Returns bounds that also include an error of the operands. */
  static double[] plus(double[] bounds, double[] operands, DType result) {
    double[] sum = bounds.clone();
    for (int i = 0; i < sum.length; i++) {
      sum[i] += MARGIN * (1 + unit(result)) * operands[i];
    }
    return sum;
  }

  /** Returns half the quantisation step of each row in 8 bits. */
  static double[] halfSteps(double[] values, int cols) {
    double[] steps = new double[values.length / cols];
    for (int i = 0; i < values.length; i++) {
      steps[i / cols] = Math.max(steps[i / cols], Math.abs(values[i]) / 254);
    }
    return steps;
  }

  /** Returns a matrix with a constant value in each row. */
  static double[] rows(double[] ofRow, int cols) {
    double[] all = new double[ofRow.length * cols];
    for (int r = 0; r < ofRow.length; r++) {
      Arrays.fill(all, r * cols, (r + 1) * cols, ofRow[r]);
    }
    return all;
  }

  static void assertWithin(String what, float[] actual, double[] exact, double[] bounds) {
    assertThat(actual).as(what).hasSameSizeAs(exact);
    for (int i = 0; i < actual.length; i++) {
      if (!(Math.abs(actual[i] - exact[i]) <= bounds[i])) {
        throw new AssertionError(
            "%s: element %d is %s, expected %s within %s"
                .formatted(what, i, actual[i], exact[i], bounds[i]));
      }
    }
  }
}
