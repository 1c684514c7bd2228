package org.tune4j.lora;

import java.util.function.Supplier;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.Tensor;

/** DoRA's magnitudes {@code m} of one module, and its coefficients {@code c = m / norm}. */
final class Magnitudes {
  /** Squared norm assumed for a row of zeros. */
  private static final double MIN_SQUARED_NORM = 1e-30;

  final Weight weight; // [1, out]
  float[] norms;
  Tensor coefficients; // F32 [1, out]
  private int version = -1; // of the parameters that the coefficients were computed from
  private FrozenMatrix weights; // the weights that the coefficients were computed from

  Magnitudes(LoraAdapter adapter, Target t) {
    weight = adapter.weight(t.name() + "." + Dora.MAGNITUDE);
  }

  /** Computes the coefficients again if anything has changed. */
  void refresh(Engine e, FrozenMatrix base, Supplier<float[]> measure) {
    if (version == weight.in().version() && weights == base) {
      return;
    }
    norms = measure.get();
    float[] c = e.read(weight.exact());
    for (int j = 0; j < c.length; j++) {
      c[j] /= norms[j];
    }
    if (coefficients == null) {
      coefficients = e.persistent(1, c.length, DType.F32);
    }
    e.write(coefficients, c);
    version = weight.in().version();
    weights = base;
  }

  /**
   * Accumulates their gradient.
   *
   * @param d the gradient by the rescaled output
   * @param unscaled what was rescaled
   */
  void addGradient(Engine e, Tensor d, Tensor unscaled) {
    float[] dots = e.read(e.columnDots(d, unscaled));
    float[] gradient = e.read(weight.gradient());
    for (int j = 0; j < dots.length; j++) {
      gradient[j] += dots[j] / norms[j];
    }
    e.write(weight.gradient(), gradient);
  }

  void free() {
    if (coefficients != null) {
      weight.in().engine().free(coefficients);
      coefficients = null;
      version = -1;
    }
  }

  /** Output before it is rescaled, and the coefficients of this step. */
  record Rescaling(Tensor unscaled, Tensor c) {
    static Rescaling of(Engine e, Tensor unscaled, Magnitudes m) {
      return new Rescaling(GroupLora.copyOf(e, unscaled), GroupLora.copyOf(e, m.coefficients));
    }

    void release(Engine e) {
      e.release(unscaled);
      e.release(c);
    }
  }

  static float norm(double square) {
    return (float) Math.sqrt(Math.max(square, MIN_SQUARED_NORM));
  }

  /**
   * Returns {@code ||w + s b A||} by output, from {@code ||w||^2 + 2 s b.(A w) + s^2 b' (A A') b}.
   *
   * @param squares {@code ||w||^2}
   * @param b {@code [out, r]}
   * @param wa {@code A w} of all outputs, {@code [r, out]}
   * @param aa {@code A A'}, {@code [r, r]}
   */
  static float[] norms(double[] squares, double s, float[] b, float[] wa, double[] aa) {
    int out = squares.length;
    int r = b.length / out;
    float[] norms = new float[out];
    for (int o = 0; o < out; o++) {
      double sum = squares[o];
      for (int k = 0; k < r; k++) {
        double bk = b[o * r + k];
        sum += 2 * s * bk * wa[k * out + o];
        for (int l = 0; l < r; l++) {
          sum += s * s * bk * b[o * r + l] * aa[k * r + l];
        }
      }
      norms[o] = norm(sum);
    }
    return norms;
  }

  static double square(float[] values, int from, int to) {
    double sum = 0;
    for (int i = from; i < to; i++) {
      sum += (double) values[i] * values[i];
    }
    return sum;
  }
}
