package org.tune4j.core.engine.onednn;

import static com.google.common.base.Preconditions.checkArgument;
import static org.bytedeco.dnnl.global.dnnl.*;
import static org.tune4j.core.engine.onednn.Matrices.at;
import static org.tune4j.core.engine.onednn.Matrices.blocks;
import static org.tune4j.core.engine.onednn.Matrices.clear;
import static org.tune4j.core.engine.onednn.Matrices.isContiguous;
import static org.tune4j.core.engine.onednn.Matrices.md;

import java.util.List;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.nd4j.BufferEngine;
import org.tune4j.core.engine.nd4j.StoredForm;
import org.tune4j.core.engine.nd4j.StoredMatrix;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/**
 * The fast engine for CPUs: oneDNN primitives on ND4J buffers.
 *
 * <p>oneDNN's element-wise primitives are fast only on contiguous arrays, its products and reorders
 * on any. Element-wise operations on a block of columns therefore start with a reorder, which costs
 * as much as a copy.
 *
 * <p>Each kind of operation has its own file: {@link Products}, {@link Norms}, {@link
 * TiledAttention}, {@link Rotation}, {@link Activations}, {@link OutputHead}; those on storage are
 * here.
 */
public final class OneDnnEngine extends BufferEngine {
  private final Dnnl dnnl = new Dnnl();
  private TiledAttention attention = new TiledAttention(this, dnnl);
  private Rotation rotation = new Rotation(this, dnnl);
  private final Norms norms = new Norms(this, dnnl);
  private final Activations activations = new Activations(this, dnnl);
  private final ProductPath path;
  private final Products products;
  private final OutputHead head;
  private final Tensor scalar;
  private Tensor ones;

  OneDnnEngine(Precision precision) {
    super(precision);
    path = ProductPath.of(precision);
    products = new Products(this, dnnl, path);
    head = new OutputHead(this, dnnl, products);
    scalar = persistent(1, 1, DType.F32);
  }

  @Override
  public String name() {
    return "onednn";
  }

  @Override
  public String describe() {
    return super.describe() + path.describe(precision());
  }

  // ---- operands

  /** Returns the tensor itself if it is contiguous, else a contiguous copy. */
  Tensor contiguous(Tensor t) {
    return isContiguous(t) ? t : cast(t, t.dtype());
  }

  void releaseIfCopy(Tensor copy, Tensor original) {
    if (copy != original) {
      release(copy);
    }
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
    rotation.forget();
  }

  /** State in a step's arena that several of its operations share. */
  private record StepState(TiledAttention attention, Rotation rotation) {}

  @Override
  protected Object setAside() {
    StepState state = new StepState(attention, rotation);
    attention = new TiledAttention(this, dnnl);
    rotation = new Rotation(this, dnnl);
    return state;
  }

  @Override
  protected void takeBack(Object kept) {
    StepState state = (StepState) kept;
    attention = state.attention;
    rotation = state.rotation;
  }

  @Override
  public void fill(Tensor t, float value) {
    if (value != 0 || !isContiguous(t)) {
      super.fill(t, value);
    } else if (t.size() > 0) {
      clear(t, 0);
    }
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
    boolean contiguous = isContiguous(from) && isContiguous(to);
    blocks(
        from.rows(),
        (r, n) -> {
          if (contiguous) {
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
    // with a row of another type oneDNN falls back to its slow reference implementation
    Tensor d = row.cols() > 1 ? cast(x, row.dtype()) : contiguous(x);
    blocks(x.rows(), (r, n) -> binary(op, d, md(row, 1), at(row), d, r, n));
    if (d != x) {
      copy(d, x);
      release(d);
    }
  }

  @Override
  public Tensor columnDots(Tensor a, Tensor b) {
    Tensor x = contiguous(a);
    Tensor y = contiguous(b);
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
  Tensor ones(int n) {
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

  @Override
  protected int weightStride(StoredForm form, int cols) {
    return form.padded(cols);
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
    products.gemm(alpha, a, transposeA, b, transposeB, beta, c);
  }

  @Override
  public Tensor linear(Tensor x, FrozenMatrix weight, Tensor residual) {
    StoredMatrix w = (StoredMatrix) weight;
    DType wanted = residual == null ? computeType() : DType.F32;
    return converted(products.forward(x, w, residual, wanted, products.roundsInputs(x, w)), wanted);
  }

  /** Converts a tensor to another type, releasing the original. */
  private Tensor converted(Tensor t, DType wanted) {
    Tensor result = cast(t, wanted);
    releaseIfCopy(t, result);
    return result;
  }

  @Override
  public Tensor linearBackward(Tensor dy, FrozenMatrix weight) {
    StoredMatrix w = (StoredMatrix) weight;
    return w.scales() == null
        ? products.backward(dy, w, computeType(), false)
        : scaledBackward(dy, w, products.roundsInputs(dy, w));
  }

  private Tensor scaledBackward(Tensor dy, StoredMatrix w, boolean rounded) {
    Tensor scaled =
        allocate(dy.rows(), dy.cols(), DType.F32); // dy with the scales that the integers lack
    copy(dy, scaled);
    scaleColumns(scaled, w.scales());
    Tensor dx = products.backward(scaled, w, DType.F32, rounded);
    release(scaled);
    return converted(dx, computeType());
  }

  @Override
  public Tensor logits(Tensor h, FrozenMatrix weight) {
    return products.logits(h, weight);
  }

  @Override
  public HeadLoss headLoss(
      Tensor h, FrozenMatrix weight, int[] targets, float[] weights, Runnable between) {
    return head.loss(h, weight, targets, weights, between);
  }

  @Override
  protected int headChunk(int rows, int vocabulary) {
    return OutputHead.chunk(rows, vocabulary);
  }

  @Override
  public LogitsLoss crossEntropy(Tensor logits, int[] targets, float[] weights) {
    return head.crossEntropy(logits, targets, weights);
  }

  @Override
  public Tensor logitsBackward(Tensor dLogits, FrozenMatrix weight) {
    StoredMatrix w = (StoredMatrix) weight;
    // unlike in layers, this gradient is not rounded to 8 bits
    return w.scales() == null
        ? super.logitsBackward(dLogits, weight)
        : scaledBackward(dLogits, w, false);
  }

  // ---- norms

  @Override
  public Normed rmsNorm(Tensor x, Tensor weight, float eps) {
    return norms.rmsNorm(x, weight, eps);
  }

  @Override
  public void rmsNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate) {
    norms.rmsNormBackward(x, weight, eps, stats, dy, dx, accumulate);
  }

  @Override
  public Normed layerNorm(Tensor x, Tensor weight, Tensor bias, float eps) {
    return norms.layerNorm(x, weight, bias, eps);
  }

  @Override
  public void layerNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate) {
    norms.layerNormBackward(x, weight, eps, stats, dy, dx, accumulate);
  }

  @Override
  public Tensor headNorm(Tensor x, Tensor weight, float eps) {
    return norms.headNorm(x, weight, eps);
  }

  @Override
  public void headNormBackward(Tensor saved, Tensor weight, float eps, Tensor dxy) {
    norms.headNormBackward(saved, weight, eps, dxy);
  }

  // ---- attention

  @Override
  public void rope(Tensor x, RopeTable table, int[] positions, boolean inverse) {
    rotation.rope(x, table, positions, inverse);
  }

  @Override
  public Attended attention(
      Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape shape, boolean forBackward) {
    // a last tile of one row would need products over a single query, which oneDNN 3.11 adds up
    // wrongly
    boolean oneRowTile = forBackward && q.rows() % Tiling.MIN_TILE == 1;
    if (!oneRowTile && Tiling.possible(q, k, spans)) {
      return attention.forward(q, k, v, spans, shape, forBackward);
    }
    if (forBackward) {
      return super.attention(q, k, v, spans, shape, true);
    }
    return new Attended(attention.cached(q, k, v, spans, shape), List.of());
  }

  @Override
  public long attentionBytes(int rows, int sequence, int heads) {
    return (long) computeType().bytes() * heads * rows * sequence;
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

  @Override
  public Tensor gelu(Tensor x, boolean tanh) {
    return activations.gelu(x, tanh);
  }

  @Override
  public Tensor geluBackward(Tensor x, boolean tanh, Tensor dy) {
    return activations.geluBackward(x, tanh, dy);
  }

  @Override
  public Tensor swiglu(Tensor gateUp) {
    return activations.swiglu(gateUp);
  }

  @Override
  public Tensor swigluBackward(Tensor gateUp, Tensor dy) {
    return activations.swigluBackward(gateUp, dy);
  }

  @Override
  public void close() {
    super.close();
    dnnl.close();
  }
}
