package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;
import static org.tune4j.core.engine.onednn.Matrices.at;
import static org.tune4j.core.engine.onednn.Matrices.blocks;
import static org.tune4j.core.engine.onednn.Matrices.isContiguous;
import static org.tune4j.core.engine.onednn.Matrices.md;
import static org.tune4j.core.engine.onednn.Matrices.vector;

import java.util.List;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine.Normed;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;

/**
 * LayerNorm and RMSNorm. Their statistics are the rows {@code [n]} of a tensor: the variance for
 * RMSNorm; mean, then variance for LayerNorm.
 */
final class Norms {
  private final OneDnnEngine engine;
  private final Dnnl dnnl;

  Norms(OneDnnEngine engine, Dnnl dnnl) {
    this.engine = engine;
    this.dnnl = dnnl;
  }

  Normed rmsNorm(Tensor x, Tensor weight, float eps) {
    return forward(Kind.RMS_NORM, x, List.of(weight), eps, 1);
  }

  Normed layerNorm(Tensor x, Tensor weight, Tensor bias, float eps) {
    return forward(Kind.LAYER_NORM, x, List.of(weight, bias), eps, 2);
  }

  private Normed forward(Kind kind, Tensor x, List<Tensor> parameters, float eps, int statistics) {
    Tensor in = engine.contiguous(x);
    Tensor y = engine.allocate(x.rows(), x.cols(), engine.computeType());
    Tensor stats = engine.allocate(statistics, x.rows(), DType.F32);
    blocks(
        x.rows(),
        (r, n) -> {
          Call call = new Call(kind, eps).with(md(in, n), at(in, r));
          withStatistics(call, stats, r, n);
          parameters.forEach(p -> call.with(vector(p.cols()), at(p)));
          call.with(md(y, n), at(y, r)).run(dnnl);
        });
    engine.releaseIfCopy(in, x);
    return new Normed(y, stats);
  }

  private static void withStatistics(Call call, Tensor stats, int r, int n) {
    for (int s = 0; s < stats.rows(); s++) {
      call.with(vector(n), at(stats, s) + (long) Float.BYTES * r);
    }
  }

  void rmsNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate) {
    backward(Kind.RMS_NORM_BACKWARD, x, weight, eps, stats, dy, dx, accumulate);
  }

  void layerNormBackward(
      Tensor x, Tensor weight, float eps, Tensor stats, Tensor dy, Tensor dx, boolean accumulate) {
    backward(Kind.LAYER_NORM_BACKWARD, x, weight, eps, stats, dy, dx, accumulate);
  }

  private void backward(
      Kind kind,
      Tensor x,
      Tensor weight,
      float eps,
      Tensor stats,
      Tensor dy,
      Tensor dx,
      boolean accumulate) {
    int d = x.cols();
    Tensor in = engine.contiguous(x);
    Tensor g = engine.contiguous(dy);
    Tensor out = accumulate || !isContiguous(dx) ? engine.allocate(x.rows(), d, DType.F32) : dx;
    Tensor unused = engine.allocate(1, d, DType.F32);
    blocks(
        x.rows(),
        (r, n) -> {
          Call call = new Call(kind, eps).with(md(in, n), at(in, r));
          withStatistics(call, stats, r, n);
          call.with(vector(d), at(weight))
              .with(md(g, n), at(g, r))
              .with(md(out, n), at(out, r))
              .with(vector(d), at(unused))
              .run(dnnl);
        });
    engine.release(unused);
    boolean addedTo = false;
    if (kind == Kind.RMS_NORM_BACKWARD) {
      addedTo = accumulate && isContiguous(dx);
      addMeanBack(g, weight, eps, stats, out, addedTo ? dx : out);
    }
    engine.releaseIfCopy(in, x);
    engine.releaseIfCopy(g, dy);
    if (out != dx) {
      if (!accumulate) {
        engine.copy(out, dx);
      } else if (!addedTo) {
        engine.add(out, dx);
      }
      engine.release(out);
    }
  }

  /**
   * Works around oneDNN 3.11, which subtracts the mean of {@code weight * dy} from the gradient of
   * RMSNorm as if it were LayerNorm's: adds it again.
   *
   * @param to {@code dx}, or what the corrected {@code dx} is added to
   */
  private void addMeanBack(
      Tensor dy, Tensor weight, float eps, Tensor variance, Tensor dx, Tensor to) {
    Tensor w = weight;
    if (dy.dtype() == DType.BF16) { // split the weight into a sum of two bfloat16 rows
      w = engine.allocate(2, dy.cols(), DType.BF16);
      engine.copy(weight, engine.rows(w, 0, 1));
      float[] rest = engine.read(weight);
      float[] rounded = engine.read(engine.rows(w, 0, 1));
      for (int c = 0; c < rest.length; c++) {
        rest[c] -= rounded[c];
      }
      engine.write(engine.rows(w, 1, 1), rest);
    }
    Tensor sums = engine.allocate(dy.rows(), w.rows(), DType.F32); // [n, 1 or 2]
    engine.gemm(1f / dy.cols(), dy, false, w, true, 0, sums);
    float[] parts = engine.read(sums);
    float[] means = engine.read(variance);
    for (int r = 0; r < means.length; r++) {
      float sum = w.rows() == 1 ? parts[r] : parts[2 * r] + parts[2 * r + 1];
      means[r] = sum / (float) Math.sqrt(means[r] + eps);
    }
    Tensor m = engine.filled(dy.rows(), 1, means);
    Tensor row = engine.ones(to.cols());
    blocks(
        to.rows(),
        (r, n) -> {
          Spec product = Spec.of(Kind.MATMUL, md(m, n), md(row, 1), md(to, n));
          if (to == dx) {
            dnnl.run(product.then(PostOp.sum()), at(m, r), at(row), at(to, r));
          } else {
            dnnl.run(
                product.then(PostOp.sum(), PostOp.binary(dnnl_binary_add, md(dx, n))),
                at(m, r),
                at(row),
                at(to, r),
                at(dx, r));
          }
        });
    engine.release(m);
    engine.release(sums);
    engine.releaseIfCopy(w, weight);
  }

  Tensor headNorm(Tensor x, Tensor weight, float eps) {
    Tensor saved = engine.allocate(x.rows(), x.cols(), engine.computeType());
    engine.copy(x, saved);
    int d = weight.cols();
    Tensor heads = engine.view(saved, 0, x.rows() * (x.cols() / d), d); // [n * heads, d]
    Normed normed = rmsNorm(heads, weight, eps);
    engine.copy(engine.view(normed.y(), 0, x.rows(), x.cols()), x);
    engine.release(normed.stats());
    engine.release(normed.y());
    return saved;
  }

  void headNormBackward(Tensor saved, Tensor weight, float eps, Tensor dxy) {
    int d = weight.cols();
    Tensor x = engine.view(saved, 0, saved.rows() * (saved.cols() / d), d); // [n * heads, d]
    Normed normed = rmsNorm(x, weight, eps);
    engine.copy(dxy, engine.view(normed.y(), 0, dxy.rows(), dxy.cols()));
    Tensor dx = engine.allocate(x.rows(), d, DType.F32);
    rmsNormBackward(x, weight, eps, normed.stats(), normed.y(), dx, false);
    engine.copy(engine.view(dx, 0, dxy.rows(), dxy.cols()), dxy);
    engine.release(dx);
    engine.release(normed.stats());
    engine.release(normed.y());
  }
}
