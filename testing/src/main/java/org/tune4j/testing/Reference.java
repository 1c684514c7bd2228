package org.tune4j.testing;

import java.util.Arrays;
import java.util.function.UnaryOperator;
import org.apache.commons.math3.special.Erf;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Spans;

/**
 * The operations of {@link Engine} in float64, directly from their definitions. Matrices are
 * row-major; the length of a vector is the number of columns of the matrix it is applied to.
 */
final class Reference {
  private Reference() {}

  static double[] doubles(float[] values) {
    double[] out = new double[values.length];
    for (int i = 0; i < out.length; i++) {
      out[i] = values[i];
    }
    return out;
  }

  static double[] abs(double[] a) {
    return Arrays.stream(a).map(Math::abs).toArray();
  }

  static double[] plus(double[] a, double[] b) {
    double[] out = a.clone();
    for (int i = 0; i < out.length; i++) {
      out[i] += b[i];
    }
    return out;
  }

  static double[] times(double[] a, double factor) {
    return Arrays.stream(a).map(v -> v * factor).toArray();
  }

  static double[] transpose(double[] a, int rows, int cols) {
    double[] out = new double[a.length];
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        out[c * rows + r] = a[r * cols + c];
      }
    }
    return out;
  }

  /** Returns {@code [n, k] [k, m]}. */
  static double[] product(double[] a, double[] b, int n, int k, int m) {
    double[] out = new double[n * m];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < k; j++) {
        for (int c = 0; c < m; c++) {
          out[i * m + c] += a[i * k + j] * b[j * m + c];
        }
      }
    }
    return out;
  }

  /** Returns {@code x W^T + bias + residual}; the last two may be null. */
  static double[] linear(
      double[] x, double[] w, double[] bias, double[] residual, int n, int in, int out) {
    double[] y = product(x, transpose(w, out, in), n, in, out);
    for (int i = 0; i < y.length; i++) {
      y[i] += (bias == null ? 0 : bias[i % out]) + (residual == null ? 0 : residual[i]);
    }
    return y;
  }

  static double[] columns(double[] a, int cols, int from, int count) {
    int rows = a.length / cols;
    double[] out = new double[rows * count];
    for (int r = 0; r < rows; r++) {
      System.arraycopy(a, r * cols + from, out, r * count, count);
    }
    return out;
  }

  static double[] rows(double[] a, int cols, int... index) {
    double[] out = new double[index.length * cols];
    for (int i = 0; i < index.length; i++) {
      System.arraycopy(a, index[i] * cols, out, i * cols, cols);
    }
    return out;
  }

  // ---- norms

  static double[] rmsNorm(double[] x, double[] weight, double eps) {
    int d = weight.length;
    double[] y = new double[x.length];
    for (int from = 0; from < x.length; from += d) {
      double squares = 0;
      for (int c = 0; c < d; c++) {
        squares += x[from + c] * x[from + c];
      }
      for (int c = 0; c < d; c++) {
        y[from + c] = x[from + c] / Math.sqrt(squares / d + eps) * weight[c];
      }
    }
    return y;
  }

  static double[] layerNorm(double[] x, double[] weight, double[] bias, double eps) {
    int d = weight.length;
    double[] y = new double[x.length];
    for (int from = 0; from < x.length; from += d) {
      double mean = mean(x, from, d);
      double variance = 0;
      for (int c = 0; c < d; c++) {
        variance += (x[from + c] - mean) * (x[from + c] - mean) / d;
      }
      for (int c = 0; c < d; c++) {
        y[from + c] = (x[from + c] - mean) / Math.sqrt(variance + eps) * weight[c] + bias[c];
      }
    }
    return y;
  }

  private static double mean(double[] x, int from, int d) {
    double sum = 0;
    for (int c = 0; c < d; c++) {
      sum += x[from + c];
    }
    return sum / d;
  }

  /**
   * Returns the size of the terms whose differences are a norm's output (if {@code dy} is null) or
   * its gradient with respect to the input; rounding errors are relative to it.
   */
  static double[] normMagnitude(
      double[] x, double[] weight, double eps, boolean centred, double[] dy) {
    int d = weight.length;
    double[] out = new double[x.length];
    for (int from = 0; from < x.length; from += d) {
      double mean = centred ? mean(x, from, d) : 0;
      double squares = 0;
      double slope = 0;
      for (int c = 0; c < d; c++) {
        squares += (x[from + c] - mean) * (x[from + c] - mean) / d;
        slope += dy == null ? 0 : Math.abs(weight[c] * dy[from + c]) / d;
      }
      double s = 1 / Math.sqrt(squares + eps);
      for (int c = 0; c < d; c++) {
        double normed = (Math.abs(x[from + c]) + Math.abs(mean)) * s;
        out[from + c] =
            dy == null
                ? normed * Math.abs(weight[c])
                : s * (Math.abs(weight[c] * dy[from + c]) + slope) * (1 + normed);
      }
    }
    return out;
  }

  // ---- attention

  static double[] rope(double[] x, int cols, RopeTable table, int[] positions, boolean inverse) {
    double[] y = x.clone();
    int half = table.half();
    for (int r = 0; r < positions.length; r++) {
      for (int h = 0; h < cols; h += 2 * half) {
        for (int i = 0; i < half; i++) {
          double cos = table.cos()[positions[r] * half + i];
          double sin = table.sin()[positions[r] * half + i] * (inverse ? -1 : 1);
          int at = r * cols + h + i;
          y[at] = x[at] * cos - x[at + half] * sin;
          y[at + half] = x[at + half] * cos + x[at] * sin;
        }
      }
    }
    return y;
  }

  /**
   * Returns the attention probabilities of query {@code i} of span {@code s} over the span's keys.
   */
  private static double[] probabilities(
      double[] q, double[] k, Spans spans, AttentionShape shape, int s, int h, int i) {
    int keys = spans.keyLength()[s];
    int start = spans.keyStart()[s];
    int own = i + keys - spans.queryLength()[s];
    int kv = h / (shape.heads() / shape.kvHeads());
    int d = shape.headDim();
    int row = spans.queryStart()[s] + i;
    double[] p = new double[keys];
    double max = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < keys; j++) {
      boolean past = j <= own && (shape.window() == 0 || own - j < shape.window());
      int[] branch = spans.branch();
      boolean visible =
          branch == null || branch[start + j] == 0 || branch[start + j] == branch[start + own];
      p[j] = Double.NEGATIVE_INFINITY;
      if (past && visible) {
        p[j] = 0;
        for (int c = 0; c < d; c++) {
          p[j] +=
              q[row * shape.queryCols() + h * d + c]
                  * k[(start + j) * shape.kvCols() + kv * d + c]
                  * shape.scale();
        }
        max = Math.max(max, p[j]);
      }
    }
    double sum = 0;
    for (int j = 0; j < keys; j++) {
      p[j] = Math.exp(p[j] - max);
      sum += p[j];
    }
    return times(p, 1 / sum);
  }

  static double[] attention(double[] q, double[] k, double[] v, Spans spans, AttentionShape shape) {
    double[] out = new double[q.length];
    int d = shape.headDim();
    for (int s = 0; s < spans.count(); s++) {
      for (int h = 0; h < shape.heads(); h++) {
        int kv = h / (shape.heads() / shape.kvHeads());
        for (int i = 0; i < spans.queryLength()[s]; i++) {
          double[] p = probabilities(q, k, spans, shape, s, h, i);
          int row = (spans.queryStart()[s] + i) * shape.queryCols() + h * d;
          for (int j = 0; j < p.length; j++) {
            for (int c = 0; c < d; c++) {
              out[row + c] += p[j] * v[(spans.keyStart()[s] + j) * shape.kvCols() + kv * d + c];
            }
          }
        }
      }
    }
    return out;
  }

  /**
   * Returns the gradients with respect to q, k, v in closed form or, if {@code magnitude}, the size
   * of their terms.
   */
  static double[][] attentionGradient(
      double[] q,
      double[] k,
      double[] v,
      Spans spans,
      AttentionShape shape,
      double[] dOut,
      boolean magnitude) {
    double[] dq = new double[q.length];
    double[] dk = new double[k.length];
    double[] dv = new double[v.length];
    int d = shape.headDim();
    for (int s = 0; s < spans.count(); s++) {
      for (int h = 0; h < shape.heads(); h++) {
        int kv = h / (shape.heads() / shape.kvHeads());
        for (int i = 0; i < spans.queryLength()[s]; i++) {
          double[] p = probabilities(q, k, spans, shape, s, h, i);
          int row = (spans.queryStart()[s] + i) * shape.queryCols() + h * d;
          double[] dp = new double[p.length];
          double mean = 0;
          for (int j = 0; j < p.length; j++) {
            int key = (spans.keyStart()[s] + j) * shape.kvCols() + kv * d;
            for (int c = 0; c < d; c++) {
              double term = dOut[row + c] * v[key + c];
              dp[j] += magnitude ? Math.abs(term) : term;
              dv[key + c] += p[j] * (magnitude ? Math.abs(dOut[row + c]) : dOut[row + c]);
            }
            mean += p[j] * dp[j];
          }
          for (int j = 0; j < p.length; j++) {
            int key = (spans.keyStart()[s] + j) * shape.kvCols() + kv * d;
            double ds = p[j] * (magnitude ? dp[j] + mean : dp[j] - mean) * shape.scale();
            for (int c = 0; c < d; c++) {
              dq[row + c] += ds * (magnitude ? Math.abs(k[key + c]) : k[key + c]);
              dk[key + c] += ds * (magnitude ? Math.abs(q[row + c]) : q[row + c]);
            }
          }
        }
      }
    }
    return new double[][] {dq, dk, dv};
  }

  // ---- activations

  static double[] gelu(double[] x, boolean tanh) {
    return Arrays.stream(x)
        .map(
            v ->
                0.5
                    * v
                    * (1
                        + (tanh
                            ? Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v))
                            : Erf.erf(v / Math.sqrt(2)))))
        .toArray();
  }

  static double[] swiglu(double[] gateUp, int f) {
    double[] y = new double[gateUp.length / 2];
    for (int i = 0; i < y.length; i++) {
      double gate = gateUp[i / f * 2 * f + i % f];
      y[i] = gate / (1 + Math.exp(-gate)) * gateUp[i / f * 2 * f + f + i % f];
    }
    return y;
  }

  // ---- loss

  /** Returns the cross-entropy of each row of {@code softmax(h W^T)}. */
  static double[] crossEntropy(double[] h, double[] w, int in, int[] targets) {
    int vocabulary = w.length / in;
    double[] z = linear(h, w, null, null, targets.length, in, vocabulary);
    double[] losses = new double[targets.length];
    for (int r = 0; r < losses.length; r++) {
      losses[r] = logSumExp(z, r * vocabulary, vocabulary) - z[r * vocabulary + targets[r]];
    }
    return losses;
  }

  /**
   * Returns the gradient of {@code sum(weights * crossEntropy)} with respect to {@code h} in closed
   * form or, if {@code magnitude}, the size of its terms.
   */
  static double[] crossEntropyGradient(
      double[] h, double[] w, int in, int[] targets, float[] weights, boolean magnitude) {
    int vocabulary = w.length / in;
    double[] z = linear(h, w, null, null, targets.length, in, vocabulary);
    for (int r = 0; r < targets.length; r++) {
      double log = logSumExp(z, r * vocabulary, vocabulary);
      for (int i = 0; i < vocabulary; i++) {
        double hot = i == targets[r] ? 1 : 0;
        double p = Math.exp(z[r * vocabulary + i] - log);
        z[r * vocabulary + i] =
            magnitude ? Math.abs(weights[r]) * (p + hot) : weights[r] * (p - hot);
      }
    }
    return product(z, magnitude ? abs(w) : w, targets.length, vocabulary, in);
  }

  private static double logSumExp(double[] z, int from, int n) {
    double max = Double.NEGATIVE_INFINITY;
    for (int i = 0; i < n; i++) {
      max = Math.max(max, z[from + i]);
    }
    double sum = 0;
    for (int i = 0; i < n; i++) {
      sum += Math.exp(z[from + i] - max);
    }
    return max + Math.log(sum);
  }

  // ---- central differences

  /**
   * Returns the gradient of {@code sum(dy * f(x))} with respect to {@code x}, by central
   * differences.
   */
  static double[] gradient(UnaryOperator<double[]> f, double[] x, double[] dy) {
    double[] gradient = new double[x.length];
    double[] at = x.clone();
    for (int i = 0; i < x.length; i++) {
      double h = 1e-5 * Math.max(1, Math.abs(x[i]));
      at[i] = x[i] + h;
      double[] above = f.apply(at);
      at[i] = x[i] - h;
      double[] below = f.apply(at);
      at[i] = x[i];
      for (int j = 0; j < dy.length; j++) {
        gradient[i] += dy[j] * (above[j] - below[j]) / (2 * h);
      }
    }
    return gradient;
  }
}
