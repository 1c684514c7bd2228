package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;
import static org.tune4j.core.engine.onednn.Matrices.at;
import static org.tune4j.core.engine.onednn.Matrices.blocks;
import static org.tune4j.core.engine.onednn.Matrices.md;

import org.bytedeco.javacpp.FloatPointer;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine.HeadLoss;
import org.tune4j.core.engine.Engine.LogitsLoss;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.nd4j.Address;
import org.tune4j.core.engine.nd4j.StoredMatrix;
import org.tune4j.core.engine.onednn.Spec.Kind;

/** Cross-entropy over a vocabulary, with the logits of one chunk of rows at a time. */
final class OutputHead {
  private static final int LOGITS_PER_CHUNK = 14 << 20;
  private static final int ROW_MULTIPLE = 16;

  private final OneDnnEngine engine;
  private final Dnnl dnnl;
  private final Products products;

  OutputHead(OneDnnEngine engine, Dnnl dnnl, Products products) {
    this.engine = engine;
    this.dnnl = dnnl;
    this.products = products;
  }

  HeadLoss loss(Tensor h, FrozenMatrix head, int[] targets, float[] weights, Runnable between) {
    int n = h.rows();
    int vocabulary = head.out();
    int in = h.cols();
    float[] losses = new float[n];
    Tensor dh = weights == null ? null : engine.allocate(n, in, engine.computeType());
    int chunk = chunk(n, vocabulary);
    for (int from = 0; from < n; from += chunk) {
      between.run();
      int count = Math.min(chunk, n - from);
      int padded = padded(count);
      Tensor x = engine.rows(h, from, count);
      if (padded != count) { // a product with fewer rows takes as long
        x = engine.allocate(padded, in, h.dtype());
        engine.fill(engine.rows(x, count, padded - count), 0);
        engine.copy(engine.rows(h, from, count), engine.rows(x, 0, count));
      }
      Tensor z = products.logits(x, head); // F32 [padded, vocabulary]
      FloatPointer values = new FloatPointer(new Address(at(z)));
      float[] before = new float[count];
      for (int r = 0; r < count; r++) {
        int target = OneDnnEngine.checkTarget(targets[from + r], vocabulary);
        before[r] = values.get((long) r * vocabulary + target);
      }
      Md rows = md(z, padded);
      dnnl.run(Spec.of(Kind.SOFTMAX, dnnl_softmax_accurate, 0, rows, rows), at(z), at(z));
      for (int r = 0; r < count; r++) {
        long place = (long) r * vocabulary + targets[from + r];
        float p = values.get(place);
        losses[from + r] =
            p > 1e-30f ? (float) Math.log(1 / p) : exactLoss(engine.rows(x, r, 1), head, before[r]);
        values.put(place, p - 1);
      }
      if (dh != null) {
        // rows of softmax - onehot are weighted after the product, where they are shorter
        StoredMatrix w = (StoredMatrix) head;
        if (w.scales() != null) {
          engine.scaleColumns(z, w.scales());
        }
        Tensor d = products.backward(z, w, DType.F32, false);
        scaleRows(engine.rows(d, 0, count), weights, from, engine.rows(dh, from, count));
        engine.release(d);
      }
      engine.release(z);
      if (padded != count) {
        engine.release(x);
      }
    }
    return new HeadLoss(losses, dh);
  }

  LogitsLoss crossEntropy(Tensor logits, int[] targets, float[] weights) {
    int vocabulary = logits.cols();
    Tensor z = engine.contiguous(logits);
    Tensor p = engine.allocate(z.rows(), vocabulary, DType.F32);
    blocks(
        z.rows(),
        (r, n) -> {
          Md rows = md(z, n);
          dnnl.run(Spec.of(Kind.SOFTMAX, dnnl_softmax_accurate, 0, rows, rows), at(z, r), at(p, r));
        });
    FloatPointer values = new FloatPointer(new Address(at(p)));
    float[] losses = new float[z.rows()];
    for (int r = 0; r < losses.length; r++) {
      long place = (long) r * vocabulary + OneDnnEngine.checkTarget(targets[r], vocabulary);
      float q = values.get(place);
      losses[r] =
          q > 1e-30f ? (float) Math.log(1 / q) : exactLoss(engine.rows(z, r, 1), targets[r]);
      values.put(place, q - 1);
    }
    engine.releaseIfCopy(z, logits);
    if (weights == null) {
      engine.release(p);
      return new LogitsLoss(losses, null);
    }
    for (int from = 0, to; from < weights.length; from = to) {
      to = from + 1; // rows of one task are adjacent and have equal weights
      while (to < weights.length && weights[to] == weights[from]) {
        to++;
      }
      engine.scale(engine.rows(p, from, to - from), weights[from]);
    }
    return new LogitsLoss(losses, p);
  }

  /** Returns the rows per chunk, so that chunks are about equal. */
  static int chunk(int rows, int vocabulary) {
    int max = Math.max(ROW_MULTIPLE, LOGITS_PER_CHUNK / vocabulary);
    int chunks = (rows - 1) / max + 1;
    return padded((rows - 1) / chunks + 1);
  }

  private static int padded(int rows) {
    return (rows + ROW_MULTIPLE - 1) / ROW_MULTIPLE * ROW_MULTIPLE;
  }

  /** Recomputes the loss of a row whose probability is too small for a float. */
  private float exactLoss(Tensor h, FrozenMatrix head, float logit) {
    Tensor z = products.logits(h, head);
    double all = logSum(engine.read(z));
    engine.release(z);
    return (float) (all - logit);
  }

  private float exactLoss(Tensor logits, int target) {
    float[] row = engine.read(logits);
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

  private void scaleRows(Tensor rows, float[] weights, int from, Tensor to) {
    float[] v = engine.read(rows);
    int d = rows.cols();
    for (int r = 0; r < rows.rows(); r++) {
      float w = weights[from + r];
      for (int c = r * d; c < (r + 1) * d; c++) {
        v[c] *= w;
      }
    }
    engine.write(to, v);
  }
}
