package org.tune4j.core.engine.onednn;

import static com.google.common.base.Preconditions.checkArgument;
import static org.bytedeco.dnnl.global.dnnl.*;
import static org.tune4j.core.engine.onednn.Matrices.at;
import static org.tune4j.core.engine.onednn.Matrices.blocks;
import static org.tune4j.core.engine.onednn.Matrices.firstBlock;
import static org.tune4j.core.engine.onednn.Matrices.md;
import static org.tune4j.core.engine.onednn.Matrices.type;

import java.util.function.BinaryOperator;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.nd4j.StoredMatrix;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/**
 * Matrix products. Inputs of products with frozen weights have the compute type or are widened to
 * F32; with 8-bit weights they may be {@linkplain Int8Rows rounded} as well.
 */
final class Products {
  private static final int MIN_ROUNDED_ROWS = 32; // with fewer rows, reading the weights dominates

  private final OneDnnEngine engine;
  private final Dnnl dnnl;
  private final DType inputType;
  private final boolean roundInputs;

  Products(OneDnnEngine engine, Dnnl dnnl, ProductPath path) {
    this.engine = engine;
    this.dnnl = dnnl;
    this.inputType = path.widensInputs() ? DType.F32 : engine.computeType();
    this.roundInputs = path.roundsInputs();
  }

  void gemm(
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
        engine.fill(c, 0);
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
      if (parts) { // added in F32, rounded once at the end
        sum =
            beta == 0 ? engine.allocate(c.rows(), c.cols(), DType.F32) : engine.cast(c, DType.F32);
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
        engine.copy(to, c);
        engine.release(to);
      }
    }
  }

  // ---- frozen weights

  private static Md transposed(StoredMatrix w) {
    return Md.of(typeOf(w), w.in(), w.out(), 1, w.stride());
  }

  private static Md plain(StoredMatrix w) {
    return Md.of(typeOf(w), w.out(), w.in(), w.stride(), 1);
  }

  private static int typeOf(StoredMatrix w) {
    return switch (w.form()) {
      case F32 -> dnnl_f32;
      case BF16 -> dnnl_bf16;
      case INT8 -> dnnl_s8;
    };
  }

  /** Returns whether inputs are rounded to 8 bits. */
  boolean roundsInputs(Tensor x, StoredMatrix w) {
    return roundInputs
        && w.scales() != null
        && x.rows() >= MIN_ROUNDED_ROWS
        && Int8Rows.canRound(x.cols());
  }

  /** Returns {@code h W'}: F32 {@code [n, vocabulary]}. */
  Tensor logits(Tensor h, FrozenMatrix head) {
    StoredMatrix w = (StoredMatrix) head;
    return forward(h, w, null, DType.F32, roundsInputs(h, w));
  }

  /**
   * Returns {@code x W' + bias (+ residual)}: F32 if the weights have scales, else of the {@code
   * wanted} type.
   */
  Tensor forward(Tensor x, StoredMatrix w, Tensor residual, DType wanted, boolean rounded) {
    // oneDNN 3.11 crashes on 8-bit weights with a bfloat16 result
    DType type = w.scales() == null ? wanted : DType.F32;
    Tensor added = residual == null || !rounded ? residual : engine.contiguous(residual);
    Tensor y = engine.allocate(x.rows(), w.out(), type); // [n, out]
    try (LeftOperand left = left(x, rounded)) {
      blocks(
          x.rows(),
          (r, n) -> {
            Call call = left.times(transposed(w), w.address(), r, n);
            if (w.bias() != null && w.scales() == null) {
              call.with(md(w.bias(), 1), at(w.bias()));
            }
            call.with(left.shaped(md(y, n)), at(y, r));
            left.scale(call, r, n);
            if (w.scales() != null) {
              call.then(dnnl_binary_mul, left.shaped(md(w.scales(), 1)), at(w.scales()));
              if (w.bias() != null) {
                call.then(dnnl_binary_add, left.shaped(md(w.bias(), 1)), at(w.bias()));
              }
            }
            if (added != null) {
              call.then(dnnl_binary_add, left.shaped(md(added, n)), at(added, r));
            }
            call.run(dnnl);
          });
      recompute(left.outliers(), x, added, y, (own, with) -> forward(own, w, with, wanted, false));
    }
    if (added != residual) {
      engine.release(added);
    }
    return y;
  }

  /** Returns {@code dy W} without the weights' scales, which {@code dy} must include. */
  Tensor backward(Tensor dy, StoredMatrix w, DType wanted, boolean rounded) {
    Tensor dx = engine.allocate(dy.rows(), w.in(), wanted); // [n, in]
    try (LeftOperand left = left(dy, rounded)) {
      blocks(
          dy.rows(),
          (r, n) -> {
            Call call = left.times(plain(w), w.address(), r, n);
            call.with(left.shaped(md(dx, n)), at(dx, r));
            left.scale(call, r, n);
            call.run(dnnl);
          });
      recompute(left.outliers(), dy, null, dx, (own, none) -> backward(own, w, wanted, false));
    }
    return dx;
  }

  /** Recomputes outlier rows without rounding. */
  private void recompute(
      int[] outliers, Tensor x, Tensor added, Tensor y, BinaryOperator<Tensor> exactly) {
    if (outliers.length == 0) {
      return;
    }
    Tensor own = engine.gatherRows(x, outliers);
    Tensor with = added == null ? null : engine.gatherRows(added, outliers);
    Tensor exact = exactly.apply(own, with);
    engine.scatterRows(exact, outliers, y);
    engine.release(exact);
    if (with != null) {
      engine.release(with);
    }
    engine.release(own);
  }

  private LeftOperand left(Tensor x, boolean rounded) {
    return rounded ? new RoundedRows(Int8Rows.of(engine, dnnl, x)) : new Rows(x);
  }

  /** The left operand of a product. */
  private interface LeftOperand extends AutoCloseable {
    /** Starts a call of rows {@code [r, r + n)} times weights. */
    Call times(Md weights, long address, int r, int n);

    /** Adapts a matrix to the rank of this product's operands. */
    Md shaped(Md md);

    /** Adds a multiplication of the result by the scales of the rows, if they have any. */
    void scale(Call call, int r, int n);

    int[] outliers();

    @Override
    void close();
  }

  /** Unrounded rows in the input type. */
  private final class Rows implements LeftOperand {
    private final Tensor x;
    private final Tensor in;

    Rows(Tensor x) {
      this.x = x;
      in = x.dtype() == inputType ? x : engine.cast(x, inputType);
    }

    @Override
    public Call times(Md weights, long address, int r, int n) {
      return new Call(Kind.MATMUL, 0).with(md(in, n), at(in, r)).with(weights, address);
    }

    @Override
    public Md shaped(Md md) {
      return md;
    }

    @Override
    public void scale(Call call, int r, int n) {}

    @Override
    public int[] outliers() {
      return new int[0];
    }

    @Override
    public void close() {
      engine.releaseIfCopy(in, x);
    }
  }

  /** Rows of 8-bit integers with a scale each. */
  private record RoundedRows(Int8Rows rows) implements LeftOperand {
    @Override
    public Call times(Md weights, long address, int r, int n) {
      return new Call(Kind.MATMUL, 0).with(rows.md(n), rows.at(r)).with(weights.asBatch(), address);
    }

    @Override
    public Md shaped(Md md) {
      return md.asBatch();
    }

    @Override
    public void scale(Call call, int r, int n) {
      call.then(dnnl_binary_mul, Md.of(dnnl_f32, n, 1, 1, 1).asBatch(), rows.factorsAt(r));
    }

    @Override
    public int[] outliers() {
      return rows.outliers();
    }

    @Override
    public void close() {
      rows.close();
    }
  }
}
