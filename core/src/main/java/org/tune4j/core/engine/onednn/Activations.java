package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;
import static org.tune4j.core.engine.onednn.Matrices.at;
import static org.tune4j.core.engine.onednn.Matrices.blocks;
import static org.tune4j.core.engine.onednn.Matrices.md;
import static org.tune4j.core.engine.onednn.Matrices.type;

import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/** GELU and SwiGLU. */
final class Activations {
  private final OneDnnEngine engine;
  private final Dnnl dnnl;
  private final Tensor one;

  Activations(OneDnnEngine engine, Dnnl dnnl) {
    this.engine = engine;
    this.dnnl = dnnl;
    one = engine.persistent(1, 1, DType.F32);
    engine.write(one, new float[] {1});
  }

  private static int gelu(boolean tanh) {
    return tanh ? dnnl_eltwise_gelu_tanh : dnnl_eltwise_gelu_erf;
  }

  Tensor gelu(Tensor x, boolean tanh) {
    Tensor in = engine.contiguous(x);
    Tensor y = engine.allocate(x.rows(), x.cols(), engine.computeType());
    blocks(
        x.rows(),
        (r, n) ->
            dnnl.run(
                Spec.of(Kind.ELTWISE, gelu(tanh), 0, md(in, n), md(y, n)), at(in, r), at(y, r)));
    engine.releaseIfCopy(in, x);
    return y;
  }

  Tensor geluBackward(Tensor x, boolean tanh, Tensor dy) {
    Tensor in = engine.contiguous(x);
    Tensor g = engine.contiguous(dy);
    Tensor dx = engine.allocate(x.rows(), x.cols(), engine.computeType());
    blocks(
        x.rows(),
        (r, n) ->
            dnnl.run(
                Spec.of(Kind.ELTWISE_BACKWARD, gelu(tanh), 0, md(in, n), md(g, n), md(dx, n)),
                at(in, r),
                at(g, r),
                at(dx, r)));
    engine.releaseIfCopy(in, x);
    engine.releaseIfCopy(g, dy);
    return dx;
  }

  /** Separates the gate and up halves of some rows, or joins them again if {@code back}. */
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

  /** {@code out = swish(gate) * times} on contiguous blocks, in one primitive. */
  private void swishTimes(Md md, long gate, long times, long out) {
    dnnl.run(
        Spec.of(Kind.BINARY, dnnl_binary_mul, 0, md, Md.of(dnnl_f32, 1, 1, 1, 1), md)
            .then(PostOp.eltwise(dnnl_eltwise_swish, 1), PostOp.binary(dnnl_binary_mul, md)),
        gate,
        at(one),
        out,
        times);
  }

  Tensor swiglu(Tensor gateUp) {
    int f = gateUp.cols() / 2;
    Tensor y = engine.allocate(gateUp.rows(), f, engine.computeType());
    Tensor apart = engine.allocate(2 * gateUp.rows(), f, engine.computeType());
    blocks(
        gateUp.rows(),
        (r, n) -> {
          halves(gateUp, r, n, at(apart, 2L * r), false);
          swishTimes(md(y, n), at(apart, 2L * r), at(apart, 2L * r + n), at(y, r));
        });
    engine.release(apart);
    return y;
  }

  Tensor swigluBackward(Tensor gateUp, Tensor dy) {
    int f = gateUp.cols() / 2;
    Tensor g = engine.contiguous(dy);
    Tensor d = engine.allocate(gateUp.rows(), 2 * f, engine.computeType());
    Tensor apart = engine.allocate(2 * gateUp.rows(), f, engine.computeType()); // gate, up
    Tensor dApart = engine.allocate(2 * gateUp.rows(), f, engine.computeType());
    blocks(
        gateUp.rows(),
        (r, n) -> {
          long gate = at(apart, 2L * r);
          long up = at(apart, 2L * r + n);
          long dGate = at(dApart, 2L * r);
          long dUp = at(dApart, 2L * r + n);
          Md md = Md.of(type(engine.computeType()), n, f, f, 1);
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
    engine.release(apart);
    engine.release(dApart);
    engine.releaseIfCopy(g, dy);
    return d;
  }
}
