package org.tune4j.core.engine.onednn;

import static com.google.common.base.Preconditions.checkArgument;
import static org.bytedeco.dnnl.global.dnnl.*;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.nd4j.BufferEngine;
import org.tune4j.core.engine.nd4j.BufferTensor;
import org.tune4j.core.engine.nd4j.PlainMatrix;
import org.tune4j.core.engine.onednn.Dnnl.Kind;
import org.tune4j.core.engine.onednn.Dnnl.Md;
import org.tune4j.core.engine.onednn.Dnnl.PostOp;
import org.tune4j.core.engine.onednn.Dnnl.Spec;

/**
 * The fast engine on CPUs: oneDNN primitives on ND4J buffers.
 *
 * <p>oneDNN's element-wise primitives are only fast on contiguous arrays, its products and reorders
 * on any: so what works on a block of columns is first moved out of it by a reorder, which costs as
 * much as a copy.
 *
 * <p>A primitive serves one shape. Rows vary from step to step, so they are run in blocks: a
 * multiple of 32, then powers of two, of which there are few.
 */
public final class OneDnnEngine extends BufferEngine {
  private static final int LOGITS_IN_CHUNK = 14 << 20;
  private static final int HEAD_ROWS = 16;
  private static final int FLAT_CHUNK = 1 << 14;
  private static final int LEAST_ROUNDED = 32; // with fewer rows reading the weights is what takes

  private final Dnnl dnnl = new Dnnl();
  private TiledAttention attention = new TiledAttention(this, dnnl);
  private final boolean widen;
  private final boolean roundInputs;
  private final Tensor scalar;
  private final Tensor one;
  private Tensor ones;
  private Angles angles;

  OneDnnEngine(Precision precision) {
    super(precision);
    widen = computeType() == DType.BF16 && !ProductRates.multipliesBf16(dnnl);
    roundInputs = precision == Precision.INT8 && ProductRates.multipliesInt8(dnnl);
    scalar = persistent(1, 1, DType.F32);
    one = persistent(1, 1, DType.F32);
    write(one, new float[] {1});
  }

  @Override
  public String name() {
    return "onednn";
  }

  // ---- operands

  static int type(DType dtype) {
    return Md.type(dtype);
  }

  static long at(Tensor t) {
    return ((BufferTensor) t).address();
  }

  static long at(Tensor t, long row) {
    return at(t) + row * t.stride() * t.dtype().bytes();
  }

  /** Describes some rows of a matrix. */
  private static Md md(Tensor t, int rows) {
    return Md.of(type(t.dtype()), rows, t.cols(), t.stride(), 1);
  }

  private static Md vector(int length) {
    return Md.of(dnnl_f32, new long[] {length}, new long[] {1});
  }

  private static boolean dense(Tensor t) {
    return t.stride() == t.cols() || t.rows() == 1;
  }

  /** Returns a contiguous tensor of the same values: itself or a copy. */
  Tensor densely(Tensor t) {
    return dense(t) ? t : cast(t, t.dtype());
  }

  void releaseIfCopy(Tensor copy, Tensor original) {
    if (copy != original) {
      release(copy);
    }
  }

  /** Work on some rows. */
  interface RowBlock {
    void run(int from, int count);
  }

  /** Splits rows into blocks of few different sizes. */
  static void blocks(int rows, RowBlock block) {
    int from = 0;
    if (rows >= 1024) {
      from = rows & ~255;
      block.run(0, from);
    }
    int middle = (rows - from) & ~31;
    if (middle > 0) {
      block.run(from, middle);
      from += middle;
    }
    for (int size = 16; size > 0; size >>= 1) {
      if ((rows & size) != 0) {
        block.run(from, size);
        from += size;
      }
    }
  }

  /** Returns the size of the first of the {@link #blocks}. */
  private static int firstBlock(int rows) {
    int large = rows >= 1024 ? rows & ~255 : rows & ~31;
    return large > 0 ? large : Integer.highestOneBit(rows);
  }

  static int firstVisible(int own, int window) {
    return firstKey(own, window);
  }

  static boolean seen(int[] branch, int key, int own) {
    return visible(branch, key, own);
  }

  /** Returns an F32 arena tensor of these values. */
  Tensor filled(int rows, int cols, float[] values) {
    return make(rows, cols, DType.F32, values);
  }

  // ---- storage

  @Override
  public void resetArena() {
    super.resetArena();
    attention.forget();
    angles = null;
  }

  /** What lies in a step's arena and is used by several of its operations. */
  private record StepState(TiledAttention attention, Angles angles) {}

  @Override
  protected Object setAside() {
    StepState state = new StepState(attention, angles);
    attention = new TiledAttention(this, dnnl);
    angles = null;
    return state;
  }

  @Override
  protected void takeBack(Object kept) {
    StepState state = (StepState) kept;
    attention = state.attention;
    angles = state.angles;
  }

  @Override
  public void fill(Tensor t, float value) {
    if (value != 0 || !dense(t)) {
      super.fill(t, value);
    } else if (t.size() > 0) {
      clear(t, 0);
    }
  }

  /** Sets every byte of a contiguous tensor. */
  static void clear(Tensor t, int value) {
    Pointer.memset(new Dnnl.Address().at(at(t)), value, t.size() * t.dtype().bytes());
  }

  @Override
  public void copy(Tensor from, Tensor to) {
    checkArgument(
        from.rows() == to.rows() && from.cols() == to.cols(), "copy of %s to %s", from, to);
    if (from.cols() == 0) {
      return;
    }
    blocks(
        from.rows(),
        (r, n) -> dnnl.run(Spec.of(Kind.REORDER, md(from, n), md(to, n)), at(from, r), at(to, r)));
  }

  @Override
  public void add(Tensor from, Tensor to) {
    boolean dense = dense(from) && dense(to);
    blocks(
        from.rows(),
        (r, n) -> {
          if (dense) {
            binary(dnnl_binary_add, to, md(from, n), at(from, r), to, r, n);
          } else {
            dnnl.run(
                Spec.of(Kind.REORDER, md(from, n), md(to, n)).then(PostOp.sum()),
                at(from, r),
                at(to, r));
          }
        });
  }

  /** Rows {@code [r, r + n)}: {@code out = a op b}; {@code b} may be broadcast. */
  private void binary(int op, Tensor a, Md bMd, long b, Tensor out, int r, int n) {
    dnnl.run(Spec.of(Kind.BINARY, op, 0, md(a, n), bMd, md(out, n)), at(a, r), b, at(out, r));
  }

  @Override
  public void scale(Tensor t, float factor) {
    write(scalar, new float[] {factor});
    broadcast(dnnl_binary_mul, t, scalar);
  }

  @Override
  public void scaleColumns(Tensor x, Tensor scale) {
    broadcast(dnnl_binary_mul, x, scale);
  }

  @Override
  public void addColumns(Tensor x, Tensor bias) {
    broadcast(dnnl_binary_add, x, bias);
  }

  /** {@code x = x op row} in place, where {@code row} is one row or one element. */
  private void broadcast(int op, Tensor x, Tensor row) {
    // with a row and another type than its own oneDNN falls to its slow reference
    Tensor d = row.cols() > 1 ? cast(x, row.dtype()) : densely(x);
    blocks(x.rows(), (r, n) -> binary(op, d, md(row, 1), at(row), d, r, n));
    if (d != x) {
      copy(d, x);
      release(d);
    }
  }

  @Override
  public Tensor columnDots(Tensor a, Tensor b) {
    Tensor x = densely(a);
    Tensor y = densely(b);
    Tensor products = allocate(a.rows(), a.cols(), DType.F32);
    blocks(
        a.rows(),
        (r, n) -> binary(dnnl_binary_mul, x, md(y, n), at(y, r), products, r, n)); // [n, cols]
    releaseIfCopy(x, a);
    releaseIfCopy(y, b);
    Tensor sums = allocate(1, a.cols(), DType.F32);
    gemm(1, ones(a.rows()), false, products, false, 0, sums);
    release(products);
    return sums;
  }

  /** Returns F32 {@code [1, n]} of ones. */
  private Tensor ones(int n) {
    if (ones == null || ones.cols() < n) {
      if (ones != null) {
        free(ones);
      }
      ones = persistent(1, Math.max(1024, n), DType.F32);
      super.fill(ones, 1);
    }
    return columns(ones, 0, n);
  }

  // ---- products

  /** Rows at multiples of 512 bytes fall on few sets of the caches: half the rate in a product. */
  @Override
  protected int weightStride(int cols) {
    int bytes = computeType().bytes();
    return (long) cols * bytes % 512 == 0 ? cols + 64 / bytes : cols;
  }

  @Override
  public void gemm(
      float alpha,
      Tensor a,
      boolean transposeA,
      Tensor b,
      boolean transposeB,
      float beta,
      Tensor c) {
    int inner = transposeA ? a.rows() : a.cols();
    checkArgument(
        c.rows() == (transposeA ? a.cols() : a.rows())
            && c.cols() == (transposeB ? b.rows() : b.cols())
            && inner == (transposeB ? b.cols() : b.rows()),
        "%s = %s%s x %s%s",
        c,
        a,
        transposeA ? "'" : "",
        b,
        transposeB ? "'" : "");
    if (c.size() == 0) {
      return;
    }
    if (inner == 0) {
      if (beta == 0) {
        fill(c, 0);
      }
      return;
    }
    PostOp[] fresh = alpha == 1 ? new PostOp[0] : new PostOp[] {PostOp.scale(alpha)};
    PostOp[] adding =
        alpha == 1 ? new PostOp[] {PostOp.sum()} : new PostOp[] {PostOp.scale(alpha), PostOp.sum()};
    int ta = type(a.dtype());
    int tb = type(b.dtype());
    if (!transposeA) {
      Md weights =
          transposeB
              ? Md.of(tb, inner, c.cols(), 1, b.stride())
              : Md.of(tb, inner, c.cols(), b.stride(), 1);
      blocks(
          c.rows(),
          (r, n) ->
              dnnl.run(
                  Spec.of(Kind.MATMUL, md(a, n), weights, md(c, n))
                      .then(beta == 0 ? fresh : adding),
                  at(a, r),
                  at(b),
                  at(c, r)));
    } else {
      boolean parts = inner != firstBlock(inner) && c.dtype() != DType.F32;
      Tensor sum = c;
      if (parts) { // they are added before anything is rounded
        sum = beta == 0 ? allocate(c.rows(), c.cols(), DType.F32) : cast(c, DType.F32);
      }
      Tensor to = sum;
      blocks(
          inner,
          (r, n) ->
              dnnl.run(
                  Spec.of(
                          Kind.MATMUL,
                          Md.of(ta, c.rows(), n, 1, a.stride()),
                          transposeB
                              ? Md.of(tb, n, c.cols(), 1, b.stride())
                              : Md.of(tb, n, c.cols(), b.stride(), 1),
                          md(to, c.rows()))
                      .then(beta == 0 && r == 0 ? fresh : adding),
                  at(a, r),
                  transposeB ? at(b) + (long) r * b.dtype().bytes() : at(b, r),
                  at(to)));
      if (parts) {
        copy(to, c);
        release(to);
      }
    }
  }

  /**
   * A frozen weight as products see it, row-major {@code [out, in]}.
   *
   * @param scales of 8-bit values, by output channel; null for others
   */
  private record Frozen(
      long address, int type, int out, int in, int stride, Tensor scales, Tensor bias) {
    static Frozen of(FrozenMatrix w) {
      if (w instanceof Int8Matrix m) {
        return new Frozen(m.address(), dnnl_s8, m.out(), m.in(), m.stride(), m.scales(), m.bias());
      }
      PlainMatrix m = (PlainMatrix) w;
      return new Frozen(
          at(m.weight()),
          OneDnnEngine.type(m.weight().dtype()),
          m.out(),
          m.in(),
          m.weight().stride(),
          null,
          m.bias());
    }

    Md transposed() {
      return Md.of(type, in, out, 1, stride);
    }

    Md plain() {
      return Md.of(type, out, in, stride, 1);
    }
  }

  @Override
  public FrozenMatrix freeze(MatrixSource source, float[] bias) {
    return precision() == Precision.INT8
        ? new Int8Matrix(this, source, bias)
        : super.freeze(source, bias);
  }

  @Override
  public Tensor embed(FrozenMatrix table, int[] ids) {
    if (!(table instanceof Int8Matrix m)) {
      return super.embed(table, ids);
    }
    float[] scales = read(m.scales());
    float[] rows = new float[ids.length * m.in()];
    byte[] buffer = new byte[m.in()];
    for (int i = 0; i < ids.length; i++) {
      checkArgument(ids[i] >= 0 && ids[i] < m.out(), "row %s of %s", ids[i], m.out());
      m.read(ids[i], scales[ids[i]], buffer, rows, i * m.in());
    }
    return make(ids.length, m.in(), DType.F32, rows);
  }

  /** Returns what enters a product with frozen weights. */
  private Tensor widened(Tensor x) {
    return widen ? cast(x, DType.F32) : x;
  }

  @Override
  public Tensor linear(Tensor x, FrozenMatrix weight, Tensor residual) {
    Frozen w = Frozen.of(weight);
    DType wanted = residual == null ? computeType() : DType.F32;
    return converted(
        rounds(x.rows(), w, x.cols())
            ? linearOfRounded(x, w, residual)
            : linearOf(x, w, residual, wanted),
        wanted);
  }

  private Tensor linearOf(Tensor x, Frozen w, Tensor residual, DType wanted) {
    // oneDNN 3.11 crashes on 8-bit weights with a bfloat16 result
    Tensor y = allocate(x.rows(), w.out, w.scales == null ? wanted : DType.F32); // [n, out]
    Tensor in = widened(x);
    blocks(
        x.rows(),
        (r, n) -> {
          List<Md> mds = new ArrayList<>(List.of(md(in, n), w.transposed()));
          List<PostOp> then = new ArrayList<>();
          LongStream.Builder operands = LongStream.builder().add(at(in, r)).add(w.address);
          if (w.bias != null && w.scales == null) {
            mds.add(md(w.bias, 1));
            operands.add(at(w.bias));
          }
          mds.add(md(y, n));
          operands.add(at(y, r));
          if (w.scales != null) {
            then.add(PostOp.binary(dnnl_binary_mul, md(w.scales, 1)));
            operands.add(at(w.scales));
            if (w.bias != null) {
              then.add(PostOp.binary(dnnl_binary_add, md(w.bias, 1)));
              operands.add(at(w.bias));
            }
          }
          if (residual != null) {
            then.add(PostOp.binary(dnnl_binary_add, md(residual, n)));
            operands.add(at(residual, r));
          }
          dnnl.run(new Spec(Kind.MATMUL, 0, 0, mds, then), operands.build().toArray());
        });
    releaseIfCopy(in, x);
    return y;
  }

  /** Returns a tensor in another type, handing back what it was in. */
  private Tensor converted(Tensor t, DType wanted) {
    Tensor result = cast(t, wanted);
    releaseIfCopy(t, result);
    return result;
  }

  @Override
  public Tensor linearBackward(Tensor dy, FrozenMatrix weight) {
    return converted(through(dy, Frozen.of(weight)), computeType());
  }

  /** Returns {@code dy W}, of the compute type or, for 8-bit weights, F32. */
  private Tensor through(Tensor dy, Frozen w) {
    if (w.scales == null) {
      Tensor in = widened(dy);
      Tensor dx = allocate(dy.rows(), w.in, computeType());
      product(in, w.plain(), w.address, dx);
      releaseIfCopy(in, dy);
      return dx;
    }
    Tensor scaled = allocate(dy.rows(), dy.cols(), DType.F32); // the integers lack their scales
    copy(dy, scaled);
    scaleColumns(scaled, w.scales);
    Tensor dx = rounds(dy.rows(), w, dy.cols()) ? throughRounded(scaled, w) : throughOf(scaled, w);
    release(scaled);
    return dx;
  }

  /** Returns F32 {@code dy W} for 8-bit weights and gradients times their scales. */
  private Tensor throughOf(Tensor scaled, Frozen w) {
    Tensor in = widen ? scaled : cast(scaled, computeType());
    Tensor dx = allocate(scaled.rows(), w.in, DType.F32);
    product(in, w.plain(), w.address, dx);
    releaseIfCopy(in, scaled);
    return dx;
  }

  // ---- products of 8-bit integers

  private boolean rounds(int rows, Frozen w, int cols) {
    return roundInputs && w.scales != null && rows >= LEAST_ROUNDED && Int8Rows.takes(cols);
  }

  /** Describes a matrix as a batch of one: only so may a product's result be scaled by row. */
  static Md layers(int type, long rows, long cols, long rowStride, long colStride) {
    long all = Math.max(rows * rowStride, cols * colStride);
    return Md.of(type, new long[] {1, rows, cols}, new long[] {all, rowStride, colStride});
  }

  private static Md layers(Tensor t, int rows) {
    return layers(type(t.dtype()), rows, t.cols(), t.stride(), 1);
  }

  /** F32 {@code y = factors (values W') scales + bias + residual}. */
  private Tensor linearOfRounded(Tensor x, Frozen w, Tensor residual) {
    Tensor y = allocate(x.rows(), w.out, DType.F32);
    Tensor added = residual == null ? null : densely(residual);
    try (Int8Rows rounded = Int8Rows.of(this, dnnl, x)) {
      blocks(
          x.rows(),
          (r, n) -> {
            List<PostOp> then = new ArrayList<>();
            LongStream.Builder operands = LongStream.builder();
            operands.add(rounded.at(r)).add(w.address).add(at(y, r));
            then.add(PostOp.binary(dnnl_binary_mul, layers(dnnl_f32, n, 1, 1, 1)));
            operands.add(rounded.factorsAt(r));
            then.add(PostOp.binary(dnnl_binary_mul, layers(w.scales, 1)));
            operands.add(at(w.scales));
            if (w.bias != null) {
              then.add(PostOp.binary(dnnl_binary_add, layers(w.bias, 1)));
              operands.add(at(w.bias));
            }
            if (added != null) {
              then.add(PostOp.binary(dnnl_binary_add, layers(added, n)));
              operands.add(at(added, r));
            }
            List<Md> mds =
                List.of(rounded.md(n), layers(w.type, w.in, w.out, 1, w.stride), layers(y, n));
            dnnl.run(new Spec(Kind.MATMUL, 0, 0, mds, then), operands.build().toArray());
          });
      int[] peaked = rounded.peaked();
      if (peaked.length > 0) {
        Tensor own = gatherRows(x, peaked);
        Tensor with = added == null ? null : gatherRows(added, peaked);
        Tensor exact = linearOf(own, w, with, DType.F32);
        scatterRows(exact, peaked, y);
        release(exact);
        if (with != null) {
          release(with);
        }
        release(own);
      }
    }
    if (added != null) {
      releaseIfCopy(added, residual);
    }
    return y;
  }

  private Tensor throughRounded(Tensor scaled, Frozen w) {
    Tensor dx = allocate(scaled.rows(), w.in, DType.F32);
    try (Int8Rows rounded = Int8Rows.of(this, dnnl, scaled)) {
      blocks(
          scaled.rows(),
          (r, n) ->
              dnnl.run(
                  Spec.of(
                          Kind.MATMUL,
                          rounded.md(n),
                          layers(w.type, w.out, w.in, w.stride, 1),
                          layers(dx, n))
                      .then(PostOp.binary(dnnl_binary_mul, layers(dnnl_f32, n, 1, 1, 1))),
                  rounded.at(r),
                  w.address,
                  at(dx, r),
                  rounded.factorsAt(r)));
      int[] peaked = rounded.peaked();
      if (peaked.length > 0) {
        Tensor own = gatherRows(scaled, peaked);
        Tensor exact = throughOf(own, w);
        scatterRows(exact, peaked, dx);
        release(exact);
        release(own);
      }
    }
    return dx;
  }

  private void product(Tensor x, Md weights, long address, Tensor y) {
    blocks(
        x.rows(),
        (r, n) ->
            dnnl.run(
                Spec.of(Kind.MATMUL, md(x, n), weights, md(y, n)), at(x, r), address, at(y, r)));
  }

  // ---- norms

  /** Moves a result to where it belongs, if it is not there already. */
  private void finish(Tensor out, Tensor to, boolean accumulate) {
    if (out != to) {
      if (accumulate) {
        add(out, to);
      } else {
        copy(out, to);
      }
      release(out);
    }
  }

  private Tensor scratch(int cols) {
    return allocate(1, cols, DType.F32);
  }

  @Override
  public Normed rmsNorm(Tensor x, Tensor weight, float eps) {
    int d = x.cols();
    Tensor in = densely(x);
    Tensor y = allocate(x.rows(), d, computeType());
    Tensor stats = scratch(x.rows());
    rms(in, weight, eps, stats, y);
    releaseIfCopy(in, x);
    return new Normed(y, stats);
  }

  private void rms(Tensor x, Tensor weight, float eps, Tensor stats, Tensor y) {
    blocks(
        x.rows(),
        (r, n) ->
            dnnl.run(
                Spec.of(Kind.RMS_NORM, 0, eps, md(x, n), vector(n), vector(x.cols()), md(y, n)),
                at(x, r),
                at(stats) + 4L * r,
                at(weight),
                at(y, r)));
  }

  @Override
  public void rmsNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate) {
    Tensor in = densely(x);
    Tensor g = densely(dy);
    Tensor out = accumulate || !dense(dx) ? allocate(x.rows(), x.cols(), DType.F32) : dx;
    Tensor unused = scratch(x.cols());
    blocks(
        x.rows(),
        (r, n) ->
            dnnl.run(
                Spec.of(
                    Kind.RMS_NORM_BACKWARD,
                    0,
                    eps,
                    md(in, n),
                    vector(n),
                    vector(x.cols()),
                    md(g, n),
                    md(out, n),
                    vector(x.cols())),
                at(in, r),
                at(stats) + 4L * r,
                at(weight),
                at(g, r),
                at(out, r),
                at(unused)));
    release(unused);
    addMeanBack(g, weight, eps, stats, out, dense(dx) && accumulate ? dx : out);
    releaseIfCopy(in, x);
    releaseIfCopy(g, dy);
    if (dense(dx) && accumulate) {
      release(out);
    } else {
      finish(out, dx, accumulate);
    }
  }

  /**
   * oneDNN 3.11 subtracts the mean of {@code weight * dy} from the gradient of RMSNorm as if it
   * were LayerNorm's: adds it again.
   *
   * @param to {@code dx}, or what the corrected {@code dx} is added to
   */
  private void addMeanBack(
      Tensor dy, Tensor weight, float eps, Tensor variance, Tensor dx, Tensor to) {
    Tensor w = weight;
    if (dy.dtype() == DType.BF16) { // the weight as a sum of two of its type
      w = allocate(2, dy.cols(), DType.BF16);
      copy(weight, rows(w, 0, 1));
      float[] rest = read(weight);
      float[] rounded = read(rows(w, 0, 1));
      for (int c = 0; c < rest.length; c++) {
        rest[c] -= rounded[c];
      }
      write(rows(w, 1, 1), rest);
    }
    Tensor sums = allocate(dy.rows(), w.rows(), DType.F32); // [n, 1 or 2]
    gemm(1f / dy.cols(), dy, false, w, true, 0, sums);
    float[] parts = read(sums);
    float[] means = read(variance);
    for (int r = 0; r < means.length; r++) {
      float sum = w.rows() == 1 ? parts[r] : parts[2 * r] + parts[2 * r + 1];
      means[r] = sum / (float) Math.sqrt(means[r] + eps);
    }
    Tensor m = make(dy.rows(), 1, DType.F32, means);
    Md row = md(ones(to.cols()), 1);
    blocks(
        to.rows(),
        (r, n) -> {
          Spec product = Spec.of(Kind.MATMUL, md(m, n), row, md(to, n));
          if (to == dx) {
            dnnl.run(product.then(PostOp.sum()), at(m, r), at(ones), at(to, r));
          } else {
            dnnl.run(
                product.then(PostOp.sum(), PostOp.binary(dnnl_binary_add, md(dx, n))),
                at(m, r),
                at(ones),
                at(to, r),
                at(dx, r));
          }
        });
    release(m);
    release(sums);
    releaseIfCopy(w, weight);
  }

  @Override
  public Normed layerNorm(Tensor x, Tensor weight, Tensor bias, float eps) {
    int rows = x.rows();
    Tensor in = densely(x);
    Tensor y = allocate(rows, x.cols(), computeType());
    Tensor stats = allocate(2, rows, DType.F32); // means, variances
    blocks(
        rows,
        (r, n) ->
            dnnl.run(
                Spec.of(
                    Kind.LAYER_NORM,
                    0,
                    eps,
                    md(in, n),
                    vector(n),
                    vector(n),
                    vector(x.cols()),
                    vector(x.cols()),
                    md(y, n)),
                at(in, r),
                at(stats) + 4L * r,
                at(stats, 1) + 4L * r,
                at(weight),
                at(bias),
                at(y, r)));
    releaseIfCopy(in, x);
    return new Normed(y, stats);
  }

  @Override
  public void layerNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate) {
    Tensor in = densely(x);
    Tensor g = densely(dy);
    Tensor out = accumulate || !dense(dx) ? allocate(x.rows(), x.cols(), DType.F32) : dx;
    Tensor unused = scratch(x.cols());
    blocks(
        x.rows(),
        (r, n) ->
            dnnl.run(
                Spec.of(
                    Kind.LAYER_NORM_BACKWARD,
                    0,
                    eps,
                    md(in, n),
                    vector(n),
                    vector(n),
                    vector(x.cols()),
                    md(g, n),
                    md(out, n),
                    vector(x.cols())),
                at(in, r),
                at(stats) + 4L * r,
                at(stats, 1) + 4L * r,
                at(weight),
                at(g, r),
                at(out, r),
                at(unused)));
    release(unused);
    releaseIfCopy(in, x);
    releaseIfCopy(g, dy);
    finish(out, dx, accumulate);
  }

  @Override
  public Tensor headNorm(Tensor x, Tensor weight, float eps) {
    Tensor saved = allocate(x.rows(), x.cols(), computeType());
    copy(x, saved);
    int d = weight.cols();
    Tensor heads = view(saved, 0, x.rows() * (x.cols() / d), d); // [n * heads, d]
    Tensor y = allocate(heads.rows(), d, computeType());
    Tensor stats = scratch(heads.rows());
    rms(heads, weight, eps, stats, y);
    copy(view(y, 0, x.rows(), x.cols()), x);
    release(stats);
    release(y);
    return saved;
  }

  @Override
  public void headNormBackward(Tensor saved, Tensor weight, float eps, Tensor dxy) {
    int d = weight.cols();
    Tensor x = view(saved, 0, saved.rows() * (saved.cols() / d), d); // [n * heads, d]
    Tensor y = allocate(x.rows(), d, computeType());
    Tensor stats = scratch(x.rows());
    rms(x, weight, eps, stats, y);
    copy(dxy, view(y, 0, dxy.rows(), dxy.cols()));
    Tensor dx = allocate(x.rows(), d, DType.F32);
    rmsNormBackward(x, weight, eps, stats, y, dx, false);
    copy(view(dx, 0, dxy.rows(), dxy.cols()), dxy);
    release(dx);
    release(stats);
    release(y);
  }

  // ---- attention

  /** Cosines and sines of the rows of a step: F32 {@code [n, half]}. */
  private record Angles(
      RopeTable table, int[] positions, Tensor cos, Tensor sin, Tensor minusSin) {}

  private Angles angles(RopeTable table, int[] positions) {
    if (angles == null || !angles.table.equals(table) || angles.positions != positions) {
      int half = table.half();
      float[] cos = new float[positions.length * half];
      float[] sin = new float[cos.length];
      float[] minus = new float[cos.length];
      for (int r = 0; r < positions.length; r++) {
        checkArgument(
            positions[r] >= 0 && positions[r] < table.positions(),
            "position %s of a table of %s",
            positions[r],
            table.positions());
        System.arraycopy(table.cos(), positions[r] * half, cos, r * half, half);
        System.arraycopy(table.sin(), positions[r] * half, sin, r * half, half);
      }
      for (int i = 0; i < sin.length; i++) {
        minus[i] = -sin[i];
      }
      int n = positions.length;
      angles =
          new Angles(
              table,
              positions,
              make(n, half, DType.F32, cos),
              make(n, half, DType.F32, sin),
              make(n, half, DType.F32, minus));
    }
    return angles;
  }

  @Override
  public void rope(Tensor x, RopeTable table, int[] positions, boolean inverse) {
    Angles angle = angles(table, positions);
    Tensor sin = inverse ? angle.minusSin : angle.sin;
    Tensor minusSin = inverse ? angle.sin : angle.minusSin;
    long half = table.half();
    long heads = x.cols() / (2 * half);
    Tensor parts = allocate(2 * x.rows(), x.cols() / 2, DType.F32); // [2, n, heads, half]
    Tensor turned = allocate(2 * x.rows(), x.cols() / 2, DType.F32);
    blocks(
        x.rows(),
        (r, n) -> {
          long[] dims = {n, heads, 2, half};
          Md packed = Md.of(type(x.dtype()), dims, new long[] {x.stride(), 2 * half, half, 1});
          Md split = Md.of(dnnl_f32, dims, new long[] {heads * half, half, n * heads * half, 1});
          long first = at(parts, 2L * r);
          long second = first + 4L * n * heads * half;
          long firstTurned = at(turned, 2L * r);
          long secondTurned = firstTurned + 4L * n * heads * half;
          dnnl.run(Spec.of(Kind.REORDER, packed, split), at(x, r), first);
          Md plane =
              Md.of(dnnl_f32, new long[] {n, heads, half}, new long[] {heads * half, half, 1});
          Md angleMd = Md.of(dnnl_f32, new long[] {n, 1, half}, new long[] {half, half, 1});
          Spec times = Spec.of(Kind.BINARY, dnnl_binary_mul, 0, plane, angleMd, plane);
          Spec timesPlus = times.then(PostOp.sum());
          // (a, b) -> (a cos - b sin, b cos + a sin)
          dnnl.run(times, second, at(minusSin, r), firstTurned);
          dnnl.run(timesPlus, first, at(angle.cos, r), firstTurned);
          dnnl.run(times, first, at(sin, r), secondTurned);
          dnnl.run(timesPlus, second, at(angle.cos, r), secondTurned);
          dnnl.run(Spec.of(Kind.REORDER, split, packed), firstTurned, at(x, r));
        });
    release(parts);
    release(turned);
  }

  @Override
  public Attended attention(
      Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape shape, boolean forBackward) {
    // a shorter last tile of one row would make products over one query, which oneDNN 3.11 gets
    // wrong when it adds them up
    boolean oneLeft = forBackward && q.rows() % TiledAttention.SMALLEST_TILE == 1;
    if (!oneLeft && attention.tiles(q, k, spans)) {
      return attention.forward(q, k, v, spans, shape, forBackward);
    }
    if (forBackward) {
      return super.attention(q, k, v, spans, shape, true);
    }
    return new Attended(attention.overCache(q, k, v, spans, shape), List.of());
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
    if (attended.saved().isEmpty()) {
      super.attentionBackward(q, k, v, spans, shape, attended, dOut, dq, dk, dv);
    } else {
      attention.backward(q, k, v, spans, shape, attended.saved().get(0), dOut, dq, dk, dv);
    }
  }

  // ---- activations

  private static int gelu(boolean tanh) {
    return tanh ? dnnl_eltwise_gelu_tanh : dnnl_eltwise_gelu_erf;
  }

  @Override
  public Tensor gelu(Tensor x, boolean tanh) {
    Tensor in = densely(x);
    Tensor y = allocate(x.rows(), x.cols(), computeType());
    blocks(
        x.rows(),
        (r, n) ->
            dnnl.run(
                Spec.of(Kind.ELTWISE, gelu(tanh), 0, md(in, n), md(y, n)), at(in, r), at(y, r)));
    releaseIfCopy(in, x);
    return y;
  }

  @Override
  public Tensor geluBackward(Tensor x, boolean tanh, Tensor dy) {
    Tensor in = densely(x);
    Tensor g = densely(dy);
    Tensor dx = allocate(x.rows(), x.cols(), computeType());
    blocks(
        x.rows(),
        (r, n) ->
            dnnl.run(
                Spec.of(Kind.ELTWISE_BACKWARD, gelu(tanh), 0, md(in, n), md(g, n), md(dx, n)),
                at(in, r),
                at(g, r),
                at(dx, r)));
    releaseIfCopy(in, x);
    releaseIfCopy(g, dy);
    return dx;
  }

  /** Moves the gate and up halves of some rows apart, or with {@code back} together again. */
  private void halves(Tensor joined, int r, int n, long apart, boolean back) {
    long f = joined.cols() / 2;
    long[] dims = {n, 2, f};
    Md one = Md.of(type(joined.dtype()), dims, new long[] {joined.stride(), f, 1});
    Md two = Md.of(type(joined.dtype()), dims, new long[] {f, n * f, 1});
    if (back) {
      dnnl.run(Spec.of(Kind.REORDER, two, one), apart, at(joined, r));
    } else {
      dnnl.run(Spec.of(Kind.REORDER, one, two), at(joined, r), apart);
    }
  }

  /** {@code out = swish(gate) * times} on contiguous blocks. */
  private void swishTimes(Md md, long gate, long times, long out) {
    dnnl.run(
        Spec.of(Kind.BINARY, dnnl_binary_mul, 0, md, Md.of(dnnl_f32, 1, 1, 1, 1), md)
            .then(PostOp.eltwise(dnnl_eltwise_swish, 1), PostOp.binary(dnnl_binary_mul, md)),
        gate,
        at(one),
        out,
        times);
  }

  @Override
  public Tensor swiglu(Tensor gateUp) {
    int f = gateUp.cols() / 2;
    Tensor y = allocate(gateUp.rows(), f, computeType());
    Tensor apart = allocate(2 * gateUp.rows(), f, computeType());
    blocks(
        gateUp.rows(),
        (r, n) -> {
          halves(gateUp, r, n, at(apart, 2L * r), false);
          swishTimes(md(y, n), at(apart, 2L * r), at(apart, 2L * r + n), at(y, r));
        });
    release(apart);
    return y;
  }

  @Override
  public Tensor swigluBackward(Tensor gateUp, Tensor dy) {
    int f = gateUp.cols() / 2;
    Tensor g = densely(dy);
    Tensor d = allocate(gateUp.rows(), 2 * f, computeType());
    Tensor apart = allocate(2 * gateUp.rows(), f, computeType()); // gate, up
    Tensor dApart = allocate(2 * gateUp.rows(), f, computeType());
    blocks(
        gateUp.rows(),
        (r, n) -> {
          long gate = at(apart, 2L * r);
          long up = at(apart, 2L * r + n);
          long dGate = at(dApart, 2L * r);
          long dUp = at(dApart, 2L * r + n);
          Md md = Md.of(type(computeType()), n, f, f, 1);
          halves(gateUp, r, n, gate, false);
          swishTimes(md, gate, at(g, r), dUp);
          dnnl.run(Spec.of(Kind.BINARY, dnnl_binary_mul, 0, md, md, md), at(g, r), up, dGate);
          dnnl.run(
              Spec.of(Kind.ELTWISE_BACKWARD, dnnl_eltwise_swish, 1, md, md, md),
              gate,
              dGate,
              dGate);
          halves(d, r, n, dGate, true);
        });
    release(apart);
    release(dApart);
    releaseIfCopy(g, dy);
    return d;
  }

  // ---- rows, head, loss

  private static void copyRow(Tensor from, int i, Tensor to, int j) {
    Pointer.memcpy(
        new Dnnl.Address().at(at(to, j)),
        new Dnnl.Address().at(at(from, i)),
        (long) from.cols() * from.dtype().bytes());
  }

  @Override
  public Tensor gatherRows(Tensor x, int[] index) {
    Tensor out = allocate(index.length, x.cols(), x.dtype());
    for (int i = 0; i < index.length; i++) {
      checkArgument(index[i] >= 0 && index[i] < x.rows(), "row %s of %s", index[i], x);
      copyRow(x, index[i], out, i);
    }
    return out;
  }

  @Override
  public void scatterRows(Tensor from, int[] index, Tensor to) {
    for (int i = 0; i < index.length; i++) {
      copyRow(from, i, to, index[i]);
    }
  }

  @Override
  public Tensor logits(Tensor h, FrozenMatrix head) {
    Frozen w = Frozen.of(head);
    if (rounds(h.rows(), w, h.cols())) {
      return linearOfRounded(h, w, null);
    }
    Tensor in = widened(h);
    Tensor z = allocate(h.rows(), w.out, DType.F32);
    product(in, w.transposed(), w.address, z);
    if (w.scales != null) {
      scaleColumns(z, w.scales);
    }
    releaseIfCopy(in, h);
    return z;
  }

  @Override
  public HeadLoss headLoss(
      Tensor h, FrozenMatrix head, int[] targets, float[] weights, Runnable between) {
    int n = h.rows();
    int vocabulary = head.out();
    int in = h.cols();
    float[] losses = new float[n];
    Tensor dh = weights == null ? null : allocate(n, in, computeType());
    int most = Math.max(HEAD_ROWS, LOGITS_IN_CHUNK / vocabulary);
    int chunk = padded((n + (n - 1) / most) / ((n - 1) / most + 1)); // about equal ones
    for (int from = 0; from < n; from += chunk) {
      between.run();
      int count = Math.min(chunk, n - from);
      int padded = padded(count);
      Tensor x = rows(h, from, count);
      if (padded != count) { // a product with few rows takes as long as one with HEAD_ROWS
        x = allocate(padded, in, h.dtype());
        fill(rows(x, count, padded - count), 0);
        copy(rows(h, from, count), rows(x, 0, count));
      }
      Tensor z = logits(x, head); // F32 [padded, vocabulary]
      FloatPointer values = new FloatPointer(new Dnnl.Address().at(at(z)));
      float[] before = new float[count];
      for (int r = 0; r < count; r++) {
        int target = targets[from + r];
        checkArgument(
            target >= 0 && target < vocabulary,
            "target %s of a vocabulary of %s",
            target,
            vocabulary);
        before[r] = values.get((long) r * vocabulary + target);
      }
      Md rows = md(z, padded);
      dnnl.run(Spec.of(Kind.SOFTMAX, dnnl_softmax_accurate, 0, rows, rows), at(z), at(z));
      for (int r = 0; r < count; r++) {
        long place = (long) r * vocabulary + targets[from + r];
        float p = values.get(place);
        losses[from + r] =
            p > 1e-30f ? (float) Math.log(1 / p) : unlikely(rows(x, r, 1), head, before[r]);
        values.put(place, p - 1);
      }
      if (dh != null) {
        // the products take softmax - onehot; rows are weighted afterwards, where they are short
        Frozen w = Frozen.of(head);
        if (w.scales != null) {
          scaleColumns(z, w.scales);
        }
        Tensor dz = widen ? z : cast(z, computeType());
        Tensor d = allocate(padded, in, DType.F32);
        product(dz, w.plain(), w.address, d);
        weigh(rows(d, 0, count), weights, from, rows(dh, from, count));
        release(d);
        releaseIfCopy(dz, z);
      }
      release(z);
      if (padded != count) {
        release(x);
      }
    }
    return new HeadLoss(losses, dh);
  }

  @Override
  public LogitsLoss crossEntropy(Tensor logits, int[] targets, float[] weights) {
    int vocabulary = logits.cols();
    Tensor z = densely(logits);
    Tensor p = allocate(z.rows(), vocabulary, DType.F32);
    blocks(
        z.rows(),
        (r, n) -> {
          Md rows = md(z, n);
          dnnl.run(Spec.of(Kind.SOFTMAX, dnnl_softmax_accurate, 0, rows, rows), at(z, r), at(p, r));
        });
    FloatPointer values = new FloatPointer(new Dnnl.Address().at(at(p)));
    float[] losses = new float[z.rows()];
    for (int r = 0; r < losses.length; r++) {
      long place = (long) r * vocabulary + checkedTarget(targets[r], vocabulary);
      float q = values.get(place);
      losses[r] = q > 1e-30f ? (float) Math.log(1 / q) : unlikely(rows(z, r, 1), targets[r]);
      values.put(place, q - 1);
    }
    releaseIfCopy(z, logits);
    if (weights == null) {
      release(p);
      return new LogitsLoss(losses, null);
    }
    for (int from = 0, to; from < weights.length; from = to) {
      to = from + 1; // rows of one task, which have one weight, lie together
      while (to < weights.length && weights[to] == weights[from]) {
        to++;
      }
      scale(rows(p, from, to - from), weights[from]);
    }
    return new LogitsLoss(losses, p);
  }

  @Override
  public Tensor logitsBackward(Tensor dLogits, FrozenMatrix head) {
    Frozen w = Frozen.of(head);
    if (w.scales == null) {
      return super.logitsBackward(dLogits, head);
    }
    // unlike a layer's, this gradient is not rounded to 8 bits
    Tensor scaled = allocate(dLogits.rows(), dLogits.cols(), DType.F32);
    copy(dLogits, scaled);
    scaleColumns(scaled, w.scales);
    Tensor dh = throughOf(scaled, w);
    release(scaled);
    return converted(dh, computeType());
  }

  private static int padded(int rows) {
    return (rows + HEAD_ROWS - 1) / HEAD_ROWS * HEAD_ROWS;
  }

  /** Returns the loss of a row whose probability is too small for a float. */
  private float unlikely(Tensor h, FrozenMatrix head, float logit) {
    Tensor z = logits(h, head);
    double all = logSum(read(z));
    release(z);
    return (float) (all - logit);
  }

  private float unlikely(Tensor logits, int target) {
    float[] row = read(logits);
    return (float) (logSum(row) - row[target]);
  }

  private static double logSum(float[] row) {
    double max = Double.NEGATIVE_INFINITY;
    for (float v : row) {
      max = Math.max(max, v);
    }
    double sum = 0;
    for (float v : row) {
      sum += Math.exp(v - max);
    }
    return max + Math.log(sum);
  }

  private void weigh(Tensor rows, float[] weights, int from, Tensor to) {
    float[] v = read(rows);
    int d = rows.cols();
    for (int r = 0; r < rows.rows(); r++) {
      float w = weights[from + r];
      for (int c = r * d; c < (r + 1) * d; c++) {
        v[c] *= w;
      }
    }
    write(to, v);
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
    int most = (int) Math.min(FLAT_CHUNK, w.size());
    float[] ws = new float[most];
    float[] gs = new float[most];
    float[] ms = new float[most];
    float[] vs = new float[most];
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

  @Override
  public void close() {
    super.close();
    dnnl.close();
  }
}
