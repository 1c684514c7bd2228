package org.tune4j.core.engine.nd4j;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.List;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.SplitMix64;
import org.tune4j.core.engine.Tensor;

/**
 * The base of engines on ND4J buffers: every operation in its plain form, on values copied to the
 * heap. An engine supplies {@link #gemm} and overrides what its library does faster. The file is
 * long but flat: each operation is a loop or two.
 *
 * <p>ND4J's own element-wise operations are not used: they allocate, and at the sizes of a training
 * step they took 5 to 50 times as long as copying to the heap, a loop that the JIT compiler
 * vectorises, and copying back.
 */
public abstract class BufferEngine extends BufferStorage {
  private static final int FLAT_CHUNK = 1 << 14;

  /** Creates an engine without any storage yet. */
  protected BufferEngine(Precision precision) {
    super(precision);
  }

  // ---- products

  /**
   * Returns the distance between the rows of a frozen weight, in elements: {@code cols}, or {@link
   * StoredForm#padded} if the engine's products support it.
   */
  protected int weightStride(StoredForm form, int cols) {
    return cols;
  }

  @Override
  public final FrozenMatrix freeze(MatrixSource source, float[] bias) {
    StoredForm form = StoredForm.of(precision());
    return new StoredMatrix(this, form, weightStride(form, source.cols()), source, bias);
  }

  @Override
  public final long weightBytes(int out, int in) {
    StoredForm form = StoredForm.of(precision());
    return form.bytes(out, weightStride(form, in));
  }

  /** Returns 0: the plain attention recomputes its probabilities. */
  @Override
  public long attentionBytes(int rows, int sequence, int heads) {
    return 0;
  }

  @Override
  public long headLossBytes(int rows, int vocabulary) {
    long elements = (long) headChunk(rows, vocabulary) * vocabulary;
    return elements * (Float.BYTES + computeType().bytes()); // logits, their gradient
  }

  /** Returns how many rows of logits {@link #headLoss} holds at a time. */
  protected int headChunk(int rows, int vocabulary) {
    return Math.max(1, Math.min(rows, (8 << 20) / vocabulary));
  }

  private static Tensor weightOf(FrozenMatrix w) {
    return ((StoredMatrix) w).weight();
  }

  @Override
  public final Tensor embed(FrozenMatrix table, int[] ids) {
    return ((StoredMatrix) table).rows(ids);
  }

  @Override
  public Tensor linear(Tensor x, FrozenMatrix w, Tensor residual) {
    Tensor y = allocate(x.rows(), w.out(), residual == null ? computeType() : DType.F32);
    if (residual != null) {
      copy(residual, y);
    }
    gemm(1, x, false, weightOf(w), true, residual == null ? 0 : 1, y);
    Tensor bias = ((StoredMatrix) w).bias();
    if (bias != null) {
      addColumns(y, bias);
    }
    return y;
  }

  @Override
  public Tensor linearBackward(Tensor dy, FrozenMatrix w) {
    Tensor dx = allocate(dy.rows(), w.in(), computeType());
    gemm(1, dy, false, weightOf(w), false, 0, dx);
    return dx;
  }

  @Override
  public Tensor dropout(Tensor x, float p, long seed) {
    float[] v = read(x);
    float keep = 1 / (1 - p);
    // a threshold on 24 random bits
    int threshold = (int) (p * (1 << 24));
    for (int i = 0; i < v.length; i++) {
      v[i] = (int) (SplitMix64.at(seed, i + 1) >>> 40) < threshold ? 0 : v[i] * keep;
    }
    return make(x.rows(), x.cols(), x.dtype(), v);
  }

  @Override
  public void scaleColumns(Tensor x, Tensor scale) {
    float[] v = read(x);
    float[] s = read(scale);
    for (int r = 0, i = 0; r < x.rows(); r++) {
      for (int c = 0; c < s.length; c++, i++) {
        v[i] *= s[c];
      }
    }
    write(x, v);
  }

  @Override
  public void addColumns(Tensor x, Tensor bias) {
    float[] v = read(x);
    float[] b = read(bias);
    for (int r = 0, i = 0; r < x.rows(); r++) {
      for (int c = 0; c < b.length; c++, i++) {
        v[i] += b[c];
      }
    }
    write(x, v);
  }

  @Override
  public Tensor columnDots(Tensor a, Tensor b) {
    float[] x = read(a);
    float[] y = read(b);
    double[] sums = new double[a.cols()];
    for (int r = 0, i = 0; r < a.rows(); r++) {
      for (int c = 0; c < sums.length; c++, i++) {
        sums[c] += x[i] * y[i];
      }
    }
    float[] out = new float[sums.length];
    for (int c = 0; c < out.length; c++) {
      out[c] = (float) sums[c];
    }
    return make(1, out.length, DType.F32, out);
  }

  @Override
  public void add(Tensor from, Tensor to) {
    float[] x = read(from);
    float[] y = read(to);
    for (int i = 0; i < x.length; i++) {
      y[i] += x[i];
    }
    write(to, y);
  }

  @Override
  public void scale(Tensor t, float factor) {
    float[] v = read(t);
    for (int i = 0; i < v.length; i++) {
      v[i] *= factor;
    }
    write(t, v);
  }

  // ---- norms

  @Override
  public Normed rmsNorm(Tensor x, Tensor weight, float eps) {
    int n = x.rows();
    int d = x.cols();
    float[] v = read(x);
    float[] w = read(weight);
    float[] stats = new float[n];
    for (int r = 0; r < n; r++) {
      stats[r] = inverseRms(v, r * d, d, eps);
      for (int c = 0; c < d; c++) {
        v[r * d + c] *= stats[r] * w[c];
      }
    }
    return new Normed(make(n, d, computeType(), v), make(1, n, DType.F32, stats));
  }

  private static float inverseRms(float[] v, int from, int d, float eps) {
    double sum = 0;
    for (int c = 0; c < d; c++) {
      sum += (double) v[from + c] * v[from + c];
    }
    return (float) (1 / Math.sqrt(sum / d + eps));
  }

  @Override
  public void rmsNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate) {
    int d = x.cols();
    float[] v = read(x);
    float[] w = read(weight);
    float[] s = read(stats);
    float[] g = read(dy);
    float[] out = accumulate ? read(dx) : new float[v.length];
    for (int r = 0; r < x.rows(); r++) {
      addRmsGradient(v, r * d, w, s[r], g, r * d, out);
    }
    write(dx, out);
  }

  /** With x̂ = x s: adds dx = s (w dy - x̂ mean(w dy x̂)) to {@code out} at {@code gFrom}. */
  private static void addRmsGradient(
      float[] v, int from, float[] w, float s, float[] g, int gFrom, float[] out) {
    int d = w.length;
    double dot = 0;
    for (int c = 0; c < d; c++) {
      dot += (double) w[c] * g[gFrom + c] * v[from + c];
    }
    float k = (float) (dot * s * s / d);
    for (int c = 0; c < d; c++) {
      out[gFrom + c] += s * (w[c] * g[gFrom + c] - v[from + c] * k);
    }
  }

  @Override
  public Normed layerNorm(Tensor x, Tensor weight, Tensor bias, float eps) {
    int n = x.rows();
    int d = x.cols();
    float[] v = read(x);
    float[] w = read(weight);
    float[] b = read(bias);
    float[] stats = new float[2 * n]; // means, then reciprocal standard deviations
    for (int r = 0; r < n; r++) {
      double sum = 0;
      for (int c = 0; c < d; c++) {
        sum += v[r * d + c];
      }
      double mean = sum / d;
      double squares = 0;
      for (int c = 0; c < d; c++) {
        double e = v[r * d + c] - mean;
        squares += e * e;
      }
      stats[r] = (float) mean;
      stats[n + r] = (float) (1 / Math.sqrt(squares / d + eps));
      for (int c = 0; c < d; c++) {
        v[r * d + c] = (v[r * d + c] - stats[r]) * stats[n + r] * w[c] + b[c];
      }
    }
    return new Normed(make(n, d, computeType(), v), make(2, n, DType.F32, stats));
  }

  @Override
  public void layerNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate) {
    int n = x.rows();
    int d = x.cols();
    float[] v = read(x);
    float[] w = read(weight);
    float[] s = read(stats);
    float[] g = read(dy);
    float[] out = accumulate ? read(dx) : new float[v.length];
    for (int r = 0; r < n; r++) {
      float mean = s[r];
      float rstd = s[n + r];
      double sum = 0;
      double dot = 0;
      for (int c = 0; c < d; c++) {
        double wg = (double) w[c] * g[r * d + c];
        sum += wg;
        dot += wg * (v[r * d + c] - mean) * rstd;
      }
      float a = (float) (sum / d);
      float k = (float) (dot / d);
      for (int c = 0; c < d; c++) {
        int i = r * d + c;
        out[i] += rstd * (w[c] * g[i] - a - (v[i] - mean) * rstd * k);
      }
    }
    write(dx, out);
  }

  @Override
  public Tensor headNorm(Tensor x, Tensor weight, float eps) {
    int d = weight.cols();
    float[] v = read(x);
    Tensor saved = make(x.rows(), x.cols(), computeType(), v);
    float[] w = read(weight);
    for (int from = 0; from < v.length; from += d) {
      float s = inverseRms(v, from, d, eps);
      for (int c = 0; c < d; c++) {
        v[from + c] *= s * w[c];
      }
    }
    write(x, v);
    return saved;
  }

  @Override
  public void headNormBackward(Tensor saved, Tensor weight, float eps, Tensor dxy) {
    int d = weight.cols();
    float[] v = read(saved);
    float[] w = read(weight);
    float[] g = read(dxy);
    float[] out = new float[g.length];
    for (int from = 0; from < v.length; from += d) {
      addRmsGradient(v, from, w, inverseRms(v, from, d, eps), g, from, out);
    }
    write(dxy, out);
  }

  // ---- attention

  @Override
  public void rope(Tensor x, RopeTable table, int[] positions, boolean inverse) {
    float[] v = read(x);
    HeapAttention.rotate(v, x.cols(), table, positions, inverse);
    write(x, v);
  }

  @Override
  public Attended attention(
      Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape shape, boolean forBackward) {
    float[] out = HeapAttention.forward(read(q), read(k), read(v), spans, shape);
    return new Attended(make(q.rows(), q.cols(), computeType(), out), List.of());
  }

  @Override
  public void attentionBackward(
      Tensor q,
      Tensor k,
      Tensor v,
      Spans spans,
      AttentionShape shape,
      Attended attended,
      Tensor dOut,
      Tensor dq,
      Tensor dk,
      Tensor dv) {
    float[] gq = new float[Math.toIntExact(q.size())];
    float[] gk = new float[Math.toIntExact(k.size())];
    float[] gv = new float[Math.toIntExact(v.size())];
    HeapAttention.backward(read(q), read(k), read(v), spans, shape, read(dOut), gq, gk, gv);
    write(dq, gq);
    write(dk, gk);
    write(dv, gv);
  }

  // ---- activations

  private static final float TANH_C = (float) Math.sqrt(2 / Math.PI);

  @Override
  public Tensor gelu(Tensor x, boolean tanh) {
    float[] v = read(x);
    for (int i = 0; i < v.length; i++) {
      v[i] *= (float) normalCdf(v[i], tanh);
    }
    return make(x.rows(), x.cols(), computeType(), v);
  }

  private static double normalCdf(float x, boolean tanh) {
    return tanh
        ? 0.5 * (1 + Math.tanh(TANH_C * (x + 0.044715 * x * x * x)))
        : 0.5 * (1 + org.apache.commons.math3.special.Erf.erf(x / Math.sqrt(2)));
  }

  @Override
  public Tensor geluBackward(Tensor x, boolean tanh, Tensor dy) {
    float[] v = read(x);
    float[] g = read(dy);
    for (int i = 0; i < v.length; i++) {
      double a = v[i];
      double cdf = normalCdf(v[i], tanh);
      double slope;
      if (tanh) {
        double t = 2 * cdf - 1;
        slope = 0.5 * (1 - t * t) * TANH_C * (1 + 3 * 0.044715 * a * a);
      } else {
        slope = Math.exp(-0.5 * a * a) / Math.sqrt(2 * Math.PI);
      }
      g[i] *= (float) (cdf + a * slope);
    }
    return make(x.rows(), x.cols(), computeType(), g);
  }

  private static float sigmoid(float x) {
    return (float) (1 / (1 + Math.exp(-x)));
  }

  @Override
  public Tensor swiglu(Tensor gateUp) {
    int n = gateUp.rows();
    int f = gateUp.cols() / 2;
    float[] v = read(gateUp);
    float[] out = new float[n * f];
    for (int r = 0; r < n; r++) {
      for (int c = 0; c < f; c++) {
        float gate = v[2 * r * f + c];
        out[r * f + c] = gate * sigmoid(gate) * v[(2 * r + 1) * f + c];
      }
    }
    return make(n, f, computeType(), out);
  }

  @Override
  public Tensor swigluBackward(Tensor gateUp, Tensor dy) {
    int n = gateUp.rows();
    int f = gateUp.cols() / 2;
    float[] v = read(gateUp);
    float[] g = read(dy);
    float[] out = new float[v.length];
    for (int r = 0; r < n; r++) {
      for (int c = 0; c < f; c++) {
        float gate = v[2 * r * f + c];
        float s = sigmoid(gate);
        float d = g[r * f + c];
        out[2 * r * f + c] = d * v[(2 * r + 1) * f + c] * s * (1 + gate * (1 - s));
        out[(2 * r + 1) * f + c] = d * gate * s;
      }
    }
    return make(n, 2 * f, computeType(), out);
  }

  // ---- rows, head, loss

  @Override
  public void scatterAddRows(Tensor from, int[] index, Tensor to) {
    for (int i = 0; i < index.length; i++) {
      add(rows(from, i, 1), rows(to, index[i], 1));
    }
  }

  @Override
  public Tensor logits(Tensor h, FrozenMatrix head) {
    Tensor out = allocate(h.rows(), head.out(), DType.F32);
    gemm(1, h, false, weightOf(head), true, 0, out);
    return out;
  }

  @Override
  public HeadLoss headLoss(
      Tensor h, FrozenMatrix head, int[] targets, float[] weights, Runnable between) {
    int n = h.rows();
    int vocabulary = head.out();
    float[] losses = new float[n];
    Tensor dh = weights == null ? null : allocate(n, h.cols(), computeType());
    int chunk = headChunk(n, vocabulary);
    for (int from = 0; from < n; from += chunk) {
      between.run();
      int count = Math.min(chunk, n - from);
      Tensor z = logits(rows(h, from, count), head); // [count, vocabulary]
      float[] v = read(z);
      for (int r = 0; r < count; r++) {
        int target = checkTarget(targets[from + r], vocabulary);
        losses[from + r] =
            crossEntropyRow(
                v, r * vocabulary, vocabulary, target, weights == null ? 0 : weights[from + r]);
      }
      if (dh != null) {
        Tensor dz = make(count, vocabulary, computeType(), v);
        gemm(1, dz, false, weightOf(head), false, 0, rows(dh, from, count));
        release(dz);
      }
      release(z);
    }
    return new HeadLoss(losses, dh);
  }

  @Override
  public LogitsLoss crossEntropy(Tensor logits, int[] targets, float[] weights) {
    int vocabulary = logits.cols();
    float[] losses = new float[logits.rows()];
    float[] v = read(logits);
    for (int r = 0; r < losses.length; r++) {
      losses[r] =
          crossEntropyRow(
              v,
              r * vocabulary,
              vocabulary,
              checkTarget(targets[r], vocabulary),
              weights == null ? 0 : weights[r]);
    }
    return new LogitsLoss(
        losses, weights == null ? null : make(losses.length, vocabulary, DType.F32, v));
  }

  /** Returns the target after checking that it is in the vocabulary. */
  public static int checkTarget(int target, int vocabulary) {
    checkArgument(
        target >= 0 && target < vocabulary, "target %s of a vocabulary of %s", target, vocabulary);
    return target;
  }

  /**
   * Returns -log softmax at the target and turns the logits into {@code weight * (softmax -
   * onehot)}.
   */
  private static float crossEntropyRow(float[] v, int from, int n, int target, float weight) {
    float max = Float.NEGATIVE_INFINITY;
    for (int i = from; i < from + n; i++) {
      max = Math.max(max, v[i]);
    }
    double sum = 0;
    float atTarget = v[from + target];
    for (int i = from; i < from + n; i++) {
      v[i] = (float) Math.exp(v[i] - max);
      sum += v[i];
    }
    float k = (float) (weight / sum);
    for (int i = from; i < from + n; i++) {
      v[i] *= k;
    }
    v[from + target] -= weight;
    return (float) (Math.log(sum) + max - atTarget);
  }

  // ---- optimizer

  /** Returns elements of a contiguous tensor as one row. */
  private Tensor flat(Tensor t, int from, int count) {
    return t.rows() == 1 ? columns(t, from, count) : view(t, from, 1, count);
  }

  @Override
  public double sumOfSquares(Tensor t) {
    float[] values = new float[(int) Math.min(FLAT_CHUNK, t.size())];
    double sum = 0;
    for (long from = 0; from < t.size(); from += FLAT_CHUNK) {
      int n = (int) Math.min(FLAT_CHUNK, t.size() - from);
      read(flat(t, (int) from, n), values);
      double part = 0;
      for (int i = 0; i < n; i++) {
        part += (double) values[i] * values[i];
      }
      sum += part;
    }
    return sum;
  }

  @Override
  public void adamW(
      Tensor w,
      Tensor g,
      Tensor m,
      Tensor v,
      float gradScale,
      float lr,
      float beta1,
      float beta2,
      float eps,
      float weightDecay,
      int step) {
    int chunk = (int) Math.min(FLAT_CHUNK, w.size());
    float[] ws = new float[chunk];
    float[] gs = new float[chunk];
    float[] ms = new float[chunk];
    float[] vs = new float[chunk];
    for (int from = 0; from < w.size(); from += FLAT_CHUNK) { // in pieces that stay in the cache
      int n = (int) Math.min(FLAT_CHUNK, w.size() - from);
      read(flat(w, from, n), ws);
      read(flat(g, from, n), gs);
      read(flat(m, from, n), ms);
      read(flat(v, from, n), vs);
      adamW(ws, gs, ms, vs, n, gradScale, lr, beta1, beta2, eps, weightDecay, step);
      write(flat(w, from, n), ws);
      write(flat(m, from, n), ms);
      write(flat(v, from, n), vs);
    }
  }

  /** The formula of {@link #adamW} on the first {@code n} elements. */
  private static void adamW(
      float[] ws,
      float[] gs,
      float[] ms,
      float[] vs,
      int n,
      float gradScale,
      float lr,
      float beta1,
      float beta2,
      float eps,
      float weightDecay,
      int step) {
    float decay = 1 - lr * weightDecay;
    float stepSize = (float) (lr / (1 - Math.pow(beta1, step)));
    float correction = (float) (1 / Math.sqrt(1 - Math.pow(beta2, step)));
    for (int i = 0; i < n; i++) {
      float grad = gs[i] * gradScale;
      ms[i] = beta1 * ms[i] + (1 - beta1) * grad;
      vs[i] = beta2 * vs[i] + (1 - beta2) * grad * grad;
      ws[i] = ws[i] * decay - stepSize * ms[i] / ((float) Math.sqrt(vs[i]) * correction + eps);
    }
  }
}
