package org.tune4j.testing;

import java.util.Arrays;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Precision;

/**
 * Error bounds of products with a frozen weight, relative to exact products with its original
 * values, which are exact in the compute type; see {@link ErrorBounds}.
 */
final class FrozenBounds {
  private final EnginePath path;
  private final double[] w; // [out, in]
  private final int in;
  private final int out;
  private final double[] steps; // half the quantisation step of each channel: [out]

  FrozenBounds(EnginePath path, double[] w, int in) {
    this.path = path;
    this.w = w;
    this.in = in;
    out = w.length / in;
    steps = path.precision() == Precision.INT8 ? ErrorBounds.halfSteps(w, in) : new double[out];
  }

  /** Returns the bounds of {@code x W' + bias + residual}; the last two may be null. */
  double[] forward(double[] x, double[] bias, double[] residual, DType result) {
    int n = x.length / in;
    double[] size = Reference.abs(x);
    double[] stored = Reference.plus(Reference.abs(w), ErrorBounds.rows(steps, in));
    double[] exact = Reference.linear(x, w, bias, residual, n, in, out);
    double[] terms =
        Reference.linear(
            size,
            stored,
            bias == null ? null : Reference.abs(bias),
            residual == null ? null : Reference.abs(residual),
            n,
            in,
            out);
    double[] operands = Reference.linear(size, ErrorBounds.rows(steps, in), null, null, n, in, out);
    if (path.roundsInputs()) {
      double[] rounding = ErrorBounds.rows(ErrorBounds.halfSteps(x, in), in);
      operands =
          Reference.plus(operands, Reference.linear(rounding, stored, null, null, n, in, out));
    }
    return ErrorBounds.plus(ErrorBounds.sum(exact, terms, in, result), operands, result);
  }

  /** Returns the bounds of {@code dy W}. */
  double[] backward(double[] dy, DType result) {
    int n = dy.length / out;
    double[] size = Reference.abs(dy);
    double[] stored = Reference.plus(Reference.abs(w), ErrorBounds.rows(steps, in));
    double[] exact = Reference.product(dy, w, n, out, in);
    double[] terms = Reference.product(size, stored, n, out, in);
    double[] bounds = ErrorBounds.sum(exact, terms, out, result);
    if (path.precision() != Precision.INT8) {
      return bounds;
    }
    double[] operands = Reference.product(size, ErrorBounds.rows(steps, in), n, out, in);
    // gradients multiplied by the channels' scales are rounded to the compute type
    operands = Reference.plus(operands, Reference.times(terms, ErrorBounds.BF16));
    if (path.roundsInputs()) {
      double[] scaled = dy.clone();
      for (int i = 0; i < scaled.length; i++) {
        scaled[i] *= 2 * steps[i % out];
      }
      double[] integers = new double[w.length]; // upper bounds of the absolute values
      Arrays.setAll(
          integers, i -> steps[i / in] == 0 ? 0 : Math.abs(w[i]) / (2 * steps[i / in]) + 0.5);
      double[] rounding = ErrorBounds.rows(ErrorBounds.halfSteps(scaled, out), out);
      operands = Reference.plus(operands, Reference.product(rounding, integers, n, out, in));
    }
    return ErrorBounds.plus(bounds, operands, result);
  }

  /**
   * Returns the bounds of the gradient of {@code sum(weights * crossEntropy)} with respect to
   * {@code h}, with this weight as output head: a product whose left operand is {@code weights *
   * (softmax - onehot)}, which inherits the errors of logits and is rounded to the compute type.
   */
  double[] lossGradient(double[] h, int[] targets, float[] weights, DType result) {
    int n = targets.length;
    double[] z = Reference.linear(h, w, null, null, n, in, out);
    double[] zBounds = forward(h, null, null, DType.F32);
    double[] exact = Reference.crossEntropyGradient(h, w, in, targets, weights, false);
    double[] size = new double[n * out];
    double[] error = new double[n * out];
    double rounding = path.precision() == Precision.F32 ? 0 : ErrorBounds.BF16;
    for (int r = 0; r < n; r++) {
      double max = Double.NEGATIVE_INFINITY;
      double maxError = 0;
      for (int v = r * out; v < (r + 1) * out; v++) {
        max = Math.max(max, z[v]);
        maxError = Math.max(maxError, zBounds[v]);
      }
      double sum = 0;
      for (int v = r * out; v < (r + 1) * out; v++) {
        sum += Math.exp(z[v] - max);
      }
      for (int v = 0; v < out; v++) {
        double p = Math.exp(z[r * out + v] - max) / sum;
        double hot = v == targets[r] ? 1 : 0;
        int i = r * out + v;
        size[i] = Math.abs(weights[r]) * (p + hot);
        // exponentials are accurate to a few units, plus the error of the logits
        error[i] = Math.abs(weights[r]) * (Math.abs(p - hot) * rounding + 1e-6 * (p + hot));
        error[i] += Math.abs(weights[r]) * p * Math.expm1(2 * maxError);
      }
    }
    double[] stored = Reference.plus(Reference.abs(w), ErrorBounds.rows(steps, in));
    double[] terms = Reference.product(size, stored, n, out, in);
    double[] operands = Reference.product(error, stored, n, out, in);
    operands =
        Reference.plus(operands, Reference.product(size, ErrorBounds.rows(steps, in), n, out, in));
    return ErrorBounds.plus(ErrorBounds.sum(exact, terms, out, result), operands, result);
  }
}
