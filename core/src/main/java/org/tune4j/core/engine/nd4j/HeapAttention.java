package org.tune4j.core.engine.nd4j;

import static com.google.common.base.Preconditions.checkArgument;

import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Spans;

/**
 * Softmax attention over spans and rotary embedding on row-major heap arrays: queries {@code
 * [queries, heads * headDim]}, keys and values {@code [keys, kvHeads * headDim]}.
 */
final class HeapAttention {
  private HeapAttention() {}

  /** Rotates the heads of all rows in place. */
  static void rotate(float[] v, int cols, RopeTable table, int[] positions, boolean inverse) {
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

  /** Returns the attention of queries {@code qs} to keys {@code ks} with values {@code vs}. */
  static float[] forward(float[] qs, float[] ks, float[] vs, Spans spans, AttentionShape shape) {
    float[] out = new float[qs.length];
    int d = shape.headDim();
    for (int s = 0; s < spans.count(); s++) {
      float[] p = new float[spans.keyLength()[s]];
      for (int h = 0; h < shape.heads(); h++) {
        int kv = h / (shape.heads() / shape.kvHeads()) * d;
        for (int i = 0; i < spans.queryLength()[s]; i++) {
          int row = (spans.queryStart()[s] + i) * shape.queryCols() + h * d;
          int own = softmaxRow(qs, row, ks, shape.kvCols(), kv, spans, s, i, shape, p);
          for (int j = 0; j <= own; j++) {
            int from = (spans.keyStart()[s] + j) * shape.kvCols() + kv;
            for (int c = 0; c < d; c++) {
              out[row + c] += p[j] * vs[from + c];
            }
          }
        }
      }
    }
    return out;
  }

  /**
   * Fills {@code p} with the attention probabilities of one query and returns the index of its own
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
    int first = shape.firstKey(own);
    for (int j = 0; j <= own; j++) {
      if (j < first || !spans.visible(start + j, start + own)) {
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

  /** Adds the gradients to {@code gq}, {@code gk} and {@code gv}, given that of the result. */
  static void backward(
      float[] qs,
      float[] ks,
      float[] vs,
      Spans spans,
      AttentionShape shape,
      float[] go,
      float[] gq,
      float[] gk,
      float[] gv) {
    int d = shape.headDim();
    for (int s = 0; s < spans.count(); s++) {
      float[] p = new float[spans.keyLength()[s]];
      float[] dp = new float[p.length];
      for (int h = 0; h < shape.heads(); h++) {
        int kv = h / (shape.heads() / shape.kvHeads()) * d;
        for (int i = 0; i < spans.queryLength()[s]; i++) {
          int row = (spans.queryStart()[s] + i) * shape.queryCols() + h * d;
          int own = softmaxRow(qs, row, ks, shape.kvCols(), kv, spans, s, i, shape, p);
          double mean = 0;
          for (int j = 0; j <= own; j++) {
            int from = (spans.keyStart()[s] + j) * shape.kvCols() + kv;
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
            int from = (spans.keyStart()[s] + j) * shape.kvCols() + kv;
            for (int c = 0; c < d; c++) {
              gq[row + c] += ds * ks[from + c];
              gk[from + c] += ds * qs[row + c];
            }
          }
        }
      }
    }
  }
}
