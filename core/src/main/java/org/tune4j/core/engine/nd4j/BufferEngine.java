package org.tune4j.core.engine.nd4j;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.ShortPointer;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.MemoryUsage;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.Floats;

/**
 * What engines on ND4J buffers share: storage, and every operation in its plain form on values
 * copied to the heap. An engine supplies {@link #gemm} and overrides what its library does faster.
 *
 * <p>ND4J's own element-wise operations are not used: at the sizes of a training step each of them
 * allocates, and one took 5 to 50 times as long as copying to the heap, a loop that the JIT
 * compiler vectorises, and copying back.
 */
public abstract class BufferEngine implements Engine {
  private final Precision precision;
  private final ReentrantLock lock = new ReentrantLock(true); // fair: generations take turns
  private Arena arena = new Arena(); // of the step in progress; guarded by the lock, as those below
  private final List<Arena> arenas = new ArrayList<>(List.of(arena)); // guarded by itself
  private final Deque<Arena> spare = new ArrayDeque<>();
  private final IdentityHashMap<INDArray, Long> persistent = new IdentityHashMap<>();
  private final boolean hostMemory;
  private long weightBytes;
  private boolean closed; // guarded by persistent

  /** Prepares storage. */
  protected BufferEngine(Precision precision) {
    this.precision = precision;
    hostMemory = Poison.hostMemory();
  }

  @Override
  public final Precision precision() {
    return precision;
  }

  @Override
  public final ReentrantLock lock() {
    return lock;
  }

  // ---- storage

  @Override
  public final BufferTensor allocate(int rows, int cols, DType dtype) {
    Arena.Block block = arena.take((long) rows * cols * dtype.bytes());
    return new BufferTensor(block.slab, block.offset, rows, cols, cols, dtype, block);
  }

  @Override
  public final BufferTensor persistent(int rows, int cols, DType dtype) {
    BufferTensor t = uninitialised(rows, cols, dtype);
    t.slab().assign(0);
    return t;
  }

  /** Returns a tensor outside the arena with unspecified contents. */
  private BufferTensor uninitialised(int rows, int cols, DType dtype) {
    long bytes = (long) rows * cols * dtype.bytes();
    INDArray slab = Arena.slab(bytes);
    Poison.fill(slab, 0, slab.length() * Float.BYTES);
    synchronized (persistent) {
      persistent.put(slab, bytes);
    }
    return new BufferTensor(slab, Arena.firstAligned(slab), rows, cols, cols, dtype, null);
  }

  @Override
  public final void free(Tensor t) {
    INDArray slab = ((BufferTensor) t).slab();
    synchronized (persistent) {
      if (closed) { // which freed it
        return;
      }
      checkArgument(
          persistent.remove(slab) != null, "%s is not a persistent tensor, or was freed before", t);
    }
    slab.close();
  }

  @Override
  public final void release(Tensor t) {
    Arena.Block block = ((BufferTensor) t).block;
    if (block != null) {
      arena.release(block);
    }
  }

  @Override
  public void resetArena() {
    arena.reset();
  }

  /**
   * Takes what an engine keeps for the length of a step out of the way of another step; {@link
   * #takeBack} puts it back.
   */
  protected Object setAside() {
    return null;
  }

  /** Puts back what {@link #setAside} returned, in place of what another step left. */
  protected void takeBack(Object kept) {}

  @Override
  public final void giveWay() {
    if (lock.getHoldCount() != 1 || !lock.hasQueuedThreads()) {
      return;
    }
    Arena mine = arena;
    Object kept = setAside();
    arena = spare.isEmpty() ? added(new Arena()) : spare.pop();
    lock.unlock();
    lock.lock(); // fair: behind all that wait by now
    resetArena();
    spare.push(arena);
    arena = mine;
    takeBack(kept);
  }

  private Arena added(Arena fresh) {
    synchronized (arenas) {
      arenas.add(fresh);
    }
    return fresh;
  }

  @Override
  public void freeArena() {
    resetArena();
    arena.close();
    spare.forEach(Arena::close);
  }

  @Override
  public final MemoryUsage memory() {
    long held;
    synchronized (persistent) {
      held = persistent.values().stream().mapToLong(Long::longValue).sum();
    }
    synchronized (arenas) {
      return new MemoryUsage(
          weightBytes,
          held,
          arena.stepPeak(),
          arenas.stream().mapToLong(Arena::peak).max().orElse(0),
          arenas.stream().mapToLong(Arena::reserved).sum());
    }
  }

  @Override
  public final Tensor rows(Tensor t, int from, int count) {
    if (from == 0 && count == t.rows()) {
      return t;
    }
    checkArgument(
        from >= 0 && count >= 0 && from + count <= t.rows(), "rows %s+%s of %s", from, count, t);
    return ((BufferTensor) t).sub((long) from * t.stride(), count, t.cols(), t.stride());
  }

  @Override
  public final Tensor columns(Tensor t, int from, int count) {
    if (from == 0 && count == t.cols()) {
      return t;
    }
    checkArgument(
        from >= 0 && count >= 0 && from + count <= t.cols(), "columns %s+%s of %s", from, count, t);
    return ((BufferTensor) t).sub(from, t.rows(), count, t.stride());
  }

  @Override
  public final Tensor view(Tensor t, long offset, int rows, int cols) {
    checkArgument(
        t.stride() == t.cols() && offset >= 0 && offset + (long) rows * cols <= t.size(),
        "[%s,%s] at %s of %s",
        rows,
        cols,
        offset,
        t);
    return ((BufferTensor) t).sub(offset, rows, cols, cols);
  }

  @Override
  public final float[] read(Tensor t) {
    float[] values = new float[Math.toIntExact(t.size())];
    read(t, values);
    return values;
  }

  /** Copies values out to the start of {@code into}. */
  protected final void read(Tensor t, float[] into) {
    BufferTensor b = (BufferTensor) t;
    if (!hostMemory) {
      float[] values = b.array().dup('c').data().asFloat();
      System.arraycopy(values, 0, into, 0, Math.toIntExact(t.size()));
      return;
    }
    int runs = b.stride() == b.cols() ? 1 : b.rows();
    int length = Math.toIntExact(b.size()) / Math.max(1, runs);
    if (length == 0) {
      return;
    }
    if (b.dtype() == DType.F32) {
      FloatPointer p = new FloatPointer(b.slab().data().pointer());
      for (int r = 0; r < runs; r++) {
        p.position(b.offset() / Float.BYTES + (long) r * b.stride()).get(into, r * length, length);
      }
    } else {
      ShortPointer p = new ShortPointer(b.slab().data().pointer());
      short[] bits = new short[length];
      for (int r = 0; r < runs; r++) {
        p.position(b.offset() / Short.BYTES + (long) r * b.stride()).get(bits, 0, length);
        for (int i = 0; i < length; i++) {
          into[r * length + i] = Float.intBitsToFloat(bits[i] << 16);
        }
      }
    }
  }

  @Override
  public final void write(Tensor t, float[] values) {
    checkArgument(values.length >= t.size(), "%s values for %s", values.length, t);
    BufferTensor b = (BufferTensor) t;
    if (!hostMemory) {
      b.array().assign(Nd4j.create(values, new long[] {t.rows(), t.cols()}, 'c'));
      return;
    }
    int runs = b.stride() == b.cols() ? 1 : b.rows();
    int length = Math.toIntExact(b.size()) / Math.max(1, runs);
    if (length == 0) {
      return;
    }
    if (b.dtype() == DType.F32) {
      FloatPointer p = new FloatPointer(b.slab().data().pointer());
      for (int r = 0; r < runs; r++) {
        p.position(b.offset() / Float.BYTES + (long) r * b.stride())
            .put(values, r * length, length);
      }
    } else {
      ShortPointer p = new ShortPointer(b.slab().data().pointer());
      short[] bits = new short[length];
      for (int r = 0; r < runs; r++) {
        for (int i = 0; i < length; i++) {
          bits[i] = Floats.toBf16(values[r * length + i]);
        }
        p.position(b.offset() / Short.BYTES + (long) r * b.stride()).put(bits, 0, length);
      }
    }
  }

  @Override
  public final INDArray toArray(Tensor t) {
    return Nd4j.create(read(t), new long[] {t.rows(), t.cols()}, 'c');
  }

  @Override
  public final void write(Tensor t, INDArray values) {
    checkArgument(values.length() == t.size(), "%s values for %s", values.length(), t);
    write(t, values.dup('c').data().asFloat());
  }

  @Override
  public void fill(Tensor t, float value) {
    float[] values = new float[Math.toIntExact(t.size())];
    if (value != 0) {
      Arrays.fill(values, value);
    }
    write(t, values);
  }

  @Override
  public void copy(Tensor from, Tensor to) {
    write(to, read(from));
  }

  @Override
  public Tensor cast(Tensor t, DType dtype) {
    if (t.dtype() == dtype && t.stride() == t.cols()) {
      return t;
    }
    Tensor out = allocate(t.rows(), t.cols(), dtype);
    copy(t, out);
    return out;
  }

  /** Allocates a tensor and fills it. */
  protected final Tensor make(int rows, int cols, DType dtype, float[] values) {
    Tensor t = allocate(rows, cols, dtype);
    write(t, values);
    return t;
  }

  // ---- products

  /**
   * Returns a tensor with unspecified contents for a frozen weight, outside the arena; freed by
   * {@link #freeWeights}.
   */
  public final Tensor weights(int rows, int cols, DType dtype) {
    BufferTensor t = uninitialised(rows, cols, dtype);
    synchronized (persistent) {
      persistent.put(t.slab(), 0L); // not counted twice
    }
    weightBytes += t.size() * dtype.bytes();
    return t;
  }

  /** Frees what {@link #weights} returned. */
  public final void freeWeights(Tensor t) {
    free(t);
    weightBytes -= t.size() * t.dtype().bytes();
  }

  /**
   * Returns the distance between the rows of a frozen weight, in elements, at least {@code cols}.
   */
  protected int weightStride(int cols) {
    return cols;
  }

  @Override
  public FrozenMatrix freeze(MatrixSource source, float[] bias) {
    return new PlainMatrix(this, source, bias);
  }

  @Override
  public Tensor embed(FrozenMatrix table, int[] ids) {
    return cast(gatherRows(((PlainMatrix) table).weight(), ids), DType.F32);
  }

  @Override
  public Tensor linear(Tensor x, FrozenMatrix w, Tensor residual) {
    PlainMatrix p = (PlainMatrix) w;
    Tensor y = allocate(x.rows(), w.out(), residual == null ? computeType() : DType.F32);
    if (residual != null) {
      copy(residual, y);
    }
    gemm(1, x, false, p.weight(), true, residual == null ? 0 : 1, y);
    if (p.bias() != null) {
      addColumns(y, p.bias());
    }
    return y;
  }

  @Override
  public Tensor linearBackward(Tensor dy, FrozenMatrix w) {
    Tensor dx = allocate(dy.rows(), w.in(), computeType());
    gemm(1, dy, false, ((PlainMatrix) w).weight(), false, 0, dx);
    return dx;
  }

  @Override
  public Tensor dropout(Tensor x, float p, long seed) {
    float[] v = read(x);
    float keep = 1 / (1 - p);
    // a threshold on 24 random bits, hashed from seed and place (SplitMix64, Steele et al. 2014)
    int threshold = (int) (p * (1 << 24));
    for (int i = 0; i < v.length; i++) {
      long z = seed + 0x9E3779B97F4A7C15L * (i + 1);
      z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
      z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
      z ^= z >>> 31;
      v[i] = (int) (z >>> 40) < threshold ? 0 : v[i] * keep;
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

  /** With x̂ = x s: dx = s (w dy - x̂ mean(w dy x̂)), added at the same place. */
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
    rotate(v, x.cols(), table, positions, inverse);
    write(x, v);
  }

  private static void rotate(
      float[] v, int cols, RopeTable table, int[] positions, boolean inverse) {
    int half = table.half();
    float sign = inverse ? -1 : 1;
    float[] cos = table.cos();
    float[] sin = table.sin();
    for (int r = 0; r < positions.length; r++) {
      checkArgument(
          positions[r] < table.positions(),
          "position %s of a table of %s",
          positions[r],
          table.positions());
      int t = positions[r] * half;
      for (int h = r * cols; h < (r + 1) * cols; h += 2 * half) {
        for (int i = 0; i < half; i++) {
          float a = v[h + i];
          float b = v[h + half + i];
          float s = sign * sin[t + i];
          v[h + i] = a * cos[t + i] - b * s;
          v[h + half + i] = b * cos[t + i] + a * s;
        }
      }
    }
  }

  /**
   * Returns the first key that a query may see; keys from there to its own are further subject to
   * {@link #visible}.
   */
  protected static int firstKey(int own, int window) {
    return window > 0 ? Math.max(0, own - window + 1) : 0;
  }

  /** Returns whether a key at or before the query's own is visible to it. */
  protected static boolean visible(int[] branch, int key, int own) {
    return branch == null || branch[key] == 0 || branch[key] == branch[own];
  }

  @Override
  public Attended attention(
      Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape shape, boolean forBackward) {
    float[] out = new float[Math.toIntExact(q.size())];
    float[] qs = read(q);
    float[] ks = read(k);
    float[] vs = read(v);
    int d = shape.headDim();
    for (int s = 0; s < spans.count(); s++) {
      float[] p = new float[spans.keyLength()[s]];
      for (int h = 0; h < shape.heads(); h++) {
        int kv = h / (shape.heads() / shape.kvHeads()) * d;
        for (int i = 0; i < spans.queryLength()[s]; i++) {
          int row = (spans.queryStart()[s] + i) * q.cols() + h * d;
          int own = softmaxRow(qs, row, ks, k.cols(), kv, spans, s, i, shape, p);
          for (int j = 0; j <= own; j++) {
            int from = (spans.keyStart()[s] + j) * v.cols() + kv;
            for (int c = 0; c < d; c++) {
              out[row + c] += p[j] * vs[from + c];
            }
          }
        }
      }
    }
    return new Attended(make(q.rows(), q.cols(), computeType(), out), List.of());
  }

  /**
   * Fills {@code p} with the attention probabilities of one query and returns the place of its own
   * key.
   */
  private static int softmaxRow(
      float[] qs,
      int row,
      float[] ks,
      int kCols,
      int kv,
      Spans spans,
      int s,
      int i,
      AttentionShape shape,
      float[] p) {
    int start = spans.keyStart()[s];
    int own = i + spans.keyLength()[s] - spans.queryLength()[s];
    float max = Float.NEGATIVE_INFINITY;
    int first = firstKey(own, shape.window());
    for (int j = 0; j <= own; j++) {
      if (j < first || !visible(spans.branch(), start + j, start + own)) {
        p[j] = Float.NEGATIVE_INFINITY;
        continue;
      }
      float dot = 0;
      int from = (start + j) * kCols + kv;
      for (int c = 0; c < shape.headDim(); c++) {
        dot += qs[row + c] * ks[from + c];
      }
      p[j] = dot * shape.scale();
      max = Math.max(max, p[j]);
    }
    double sum = 0;
    for (int j = 0; j <= own; j++) {
      p[j] = (float) Math.exp(p[j] - max);
      sum += p[j];
    }
    float inverse = (float) (1 / sum);
    for (int j = 0; j <= own; j++) {
      p[j] *= inverse;
    }
    return own;
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
    float[] qs = read(q);
    float[] ks = read(k);
    float[] vs = read(v);
    float[] go = read(dOut);
    float[] gq = new float[qs.length];
    float[] gk = new float[ks.length];
    float[] gv = new float[vs.length];
    int d = shape.headDim();
    for (int s = 0; s < spans.count(); s++) {
      float[] p = new float[spans.keyLength()[s]];
      float[] dp = new float[p.length];
      for (int h = 0; h < shape.heads(); h++) {
        int kv = h / (shape.heads() / shape.kvHeads()) * d;
        for (int i = 0; i < spans.queryLength()[s]; i++) {
          int row = (spans.queryStart()[s] + i) * q.cols() + h * d;
          int own = softmaxRow(qs, row, ks, k.cols(), kv, spans, s, i, shape, p);
          double mean = 0;
          for (int j = 0; j <= own; j++) {
            int from = (spans.keyStart()[s] + j) * v.cols() + kv;
            float dot = 0;
            for (int c = 0; c < d; c++) {
              dot += go[row + c] * vs[from + c];
              gv[from + c] += p[j] * go[row + c];
            }
            dp[j] = dot;
            mean += (double) dot * p[j];
          }
          for (int j = 0; j <= own; j++) {
            float ds = p[j] * (dp[j] - (float) mean) * shape.scale();
            int from = (spans.keyStart()[s] + j) * k.cols() + kv;
            for (int c = 0; c < d; c++) {
              gq[row + c] += ds * ks[from + c];
              gk[from + c] += ds * qs[row + c];
            }
          }
        }
      }
    }
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
  public Tensor gatherRows(Tensor x, int[] index) {
    Tensor out = allocate(index.length, x.cols(), x.dtype());
    for (int i = 0; i < index.length; i++) {
      checkArgument(index[i] >= 0 && index[i] < x.rows(), "row %s of %s", index[i], x);
      copyRow(x, index[i], out, i);
    }
    return out;
  }

  private void copyRow(Tensor from, int i, Tensor to, int j) {
    BufferTensor a = (BufferTensor) from;
    BufferTensor b = (BufferTensor) to;
    if (!hostMemory) {
      b.array().getRow(j).assign(a.array().getRow(i));
      return;
    }
    int bytes = a.dtype().bytes();
    Pointer source = new org.bytedeco.javacpp.BytePointer(a.slab().data().pointer());
    Pointer target = new org.bytedeco.javacpp.BytePointer(b.slab().data().pointer());
    source.position(a.offset() + (long) i * a.stride() * bytes);
    target.position(b.offset() + (long) j * b.stride() * bytes);
    Pointer.memcpy(target, source, (long) a.cols() * bytes);
  }

  @Override
  public void scatterAddRows(Tensor from, int[] index, Tensor to) {
    for (int i = 0; i < index.length; i++) {
      add(rows(from, i, 1), rows(to, index[i], 1));
    }
  }

  @Override
  public void scatterRows(Tensor from, int[] index, Tensor to) {
    for (int i = 0; i < index.length; i++) {
      copyRow(from, i, to, index[i]);
    }
  }

  @Override
  public Tensor logits(Tensor h, FrozenMatrix head) {
    Tensor out = allocate(h.rows(), head.out(), DType.F32);
    gemm(1, h, false, ((PlainMatrix) head).weight(), true, 0, out);
    return out;
  }

  @Override
  public HeadLoss headLoss(
      Tensor h, FrozenMatrix head, int[] targets, float[] weights, Runnable between) {
    int n = h.rows();
    int vocabulary = head.out();
    float[] losses = new float[n];
    Tensor dh = weights == null ? null : allocate(n, h.cols(), computeType());
    int chunk = Math.max(1, Math.min(n, (8 << 20) / vocabulary));
    for (int from = 0; from < n; from += chunk) {
      between.run();
      int count = Math.min(chunk, n - from);
      Tensor z = logits(rows(h, from, count), head); // [count, vocabulary]
      float[] v = read(z);
      for (int r = 0; r < count; r++) {
        int target = targets[from + r];
        checkArgument(
            target >= 0 && target < vocabulary,
            "target %s of a vocabulary of %s",
            target,
            vocabulary);
        losses[from + r] =
            crossEntropyRow(
                v, r * vocabulary, vocabulary, target, weights == null ? 0 : weights[from + r]);
      }
      if (dh != null) {
        Tensor dz = make(count, vocabulary, computeType(), v);
        gemm(1, dz, false, ((PlainMatrix) head).weight(), false, 0, rows(dh, from, count));
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
              checkedTarget(targets[r], vocabulary),
              weights == null ? 0 : weights[r]);
    }
    return new LogitsLoss(
        losses, weights == null ? null : make(losses.length, vocabulary, DType.F32, v));
  }

  /** Returns a target that is in the vocabulary. */
  protected static int checkedTarget(int target, int vocabulary) {
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

  @Override
  public double sumOfSquares(Tensor t) {
    double sum = 0;
    for (float v : read(t)) {
      sum += (double) v * v;
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
    float[] ws = read(w);
    float[] gs = read(g);
    float[] ms = read(m);
    float[] vs = read(v);
    adamW(ws, gs, ms, vs, ws.length, gradScale, lr, beta1, beta2, eps, weightDecay, step);
    write(w, ws);
    write(m, ms);
    write(v, vs);
  }

  /** The formula of {@link #adamW} on the first {@code n} elements. */
  protected static void adamW(
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
    float size = (float) (lr / (1 - Math.pow(beta1, step)));
    float correction = (float) (1 / Math.sqrt(1 - Math.pow(beta2, step)));
    for (int i = 0; i < n; i++) {
      float grad = gs[i] * gradScale;
      ms[i] = beta1 * ms[i] + (1 - beta1) * grad;
      vs[i] = beta2 * vs[i] + (1 - beta2) * grad * grad;
      ws[i] = ws[i] * decay - size * ms[i] / ((float) Math.sqrt(vs[i]) * correction + eps);
    }
  }

  @Override
  public void close() {
    synchronized (arenas) {
      arenas.forEach(Arena::close); // also of steps that gave way and come back to find it closed
    }
    synchronized (persistent) {
      closed = true;
      persistent.keySet().forEach(INDArray::close);
      persistent.clear();
    }
  }
}
