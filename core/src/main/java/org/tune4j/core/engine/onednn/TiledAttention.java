package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;
import static org.tune4j.core.engine.onednn.Matrices.at;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.onednn.Spec.Kind;
import org.tune4j.core.engine.onednn.Spec.PostOp;
import org.tune4j.core.engine.onednn.Tiling.Part;

/**
 * Attention within packed segments as batched products over the tiles of a {@link Tiling}; over a
 * cache, span by span.
 *
 * <p>Scores are F32 {@code [tiles, heads, tile, width]}, where the last {@code tile} columns belong
 * to a query's own tile, the ones before them to the preceding tile, and so on.
 */
final class TiledAttention {
  private static final float MASKED = -1e30f;

  private final OneDnnEngine engine;
  private final Dnnl dnnl;
  private final List<Tiling> tilings = new ArrayList<>();
  private final List<CachePlan> cachePlans = new ArrayList<>();

  TiledAttention(OneDnnEngine engine, Dnnl dnnl) {
    this.engine = engine;
    this.dnnl = dnnl;
  }

  /** Ends a step, whose arena holds the masks. */
  void forget() {
    tilings.clear();
    cachePlans.clear();
  }

  private Tiling tiling(int rows, Spans spans, AttentionShape shape) {
    for (Tiling t : tilings) {
      if (t.serves(spans, shape)) {
        return t;
      }
    }
    Tiling t = Tiling.of(rows, spans, shape);
    t.mask = engine.filled(t.tiles() * t.tile, t.width(), t.masked(MASKED));
    tilings.add(t);
    return t;
  }

  /** A batch of matrices: {@code [tiles, kvHeads, group, rows, cols]}, without a group of one. */
  private static Md batch(
      Tensor t,
      AttentionShape s,
      boolean grouped,
      long[] sizes,
      long tileStride,
      long headStride,
      long groupStride,
      long rowStride,
      long colStride) {
    int type = Matrices.type(t.dtype());
    long group = s.heads() / s.kvHeads();
    if (group == 1) {
      return Md.of(
          type,
          new long[] {sizes[0], s.kvHeads(), sizes[1], sizes[2]},
          new long[] {tileStride, headStride, rowStride, colStride});
    }
    return Md.of(
        type,
        new long[] {sizes[0], s.kvHeads(), grouped ? group : 1, sizes[1], sizes[2]},
        new long[] {tileStride, headStride, groupStride, rowStride, colStride});
  }

  /** Rows of queries, or of a tensor of their shape. */
  private static Md queryMd(Tensor t, Tiling p, AttentionShape s, Part c) {
    long d = s.headDim();
    return batch(
        t,
        s,
        true,
        new long[] {c.tiles(), p.queries(c), d},
        (long) p.tile * t.stride(),
        s.heads() / s.kvHeads() * d,
        d,
        t.stride(),
        1);
  }

  private static long queryAt(Tensor t, Tiling p, Part c) {
    return at(t, (long) c.tile() * p.tile);
  }

  /** Rows of keys, or of a tensor of their shape, as right operand. */
  private static Md keyMd(Tensor t, Tiling p, AttentionShape s, Part c, boolean transposed) {
    long d = s.headDim();
    long rows = p.keys(c);
    return batch(
        t,
        s,
        false,
        transposed ? new long[] {c.tiles(), d, rows} : new long[] {c.tiles(), rows, d},
        (long) p.tile * t.stride(),
        d,
        d,
        transposed ? 1 : t.stride(),
        transposed ? t.stride() : 1);
  }

  private static long keyAt(Tensor t, Tiling p, Part c) {
    return at(t, (long) (c.tile() - c.offset()) * p.tile);
  }

  private static Md scoreMd(Tensor t, Tiling p, AttentionShape s, Part c) {
    long one = (long) p.tile * p.width();
    return batch(
        t,
        s,
        true,
        new long[] {c.tiles(), p.queries(c), p.keys(c)},
        s.heads() * one,
        s.heads() / s.kvHeads() * one,
        one,
        p.width(),
        1);
  }

  private static long scoreAt(Tensor t, Tiling p, AttentionShape s, Part c) {
    long element =
        (long) c.tile() * s.heads() * p.tile * p.width()
            + (long) (p.lookback - c.offset()) * p.tile;
    return at(t) + element * t.dtype().bytes();
  }

  private static Spec spec(Md a, Md b, Md c, float scale, boolean add) {
    Spec s = Spec.of(Kind.MATMUL, a, b, c);
    if (scale == 1) {
      return add ? s.then(PostOp.sum()) : s;
    }
    return add ? s.then(PostOp.scale(scale), PostOp.sum()) : s.then(PostOp.scale(scale));
  }

  private Tensor scores(Tiling p, AttentionShape s, DType type) {
    return engine.allocate(p.tiles() * s.heads() * p.tile, p.width(), type);
  }

  private static Md all(Tensor t) {
    return Md.of(Matrices.type(t.dtype()), t.rows(), t.cols(), t.cols(), 1);
  }

  Engine.Attended forward(
      Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape s, boolean forBackward) {
    Tiling p = tiling(q.rows(), spans, s);
    Tensor z = scores(p, s, DType.F32);
    if (p.holes) {
      Matrices.clear(z, 0xFE); // -1.7e38: any finite number will do, as it is masked
    }
    for (Part c : p.parts) {
      dnnl.run(
          spec(queryMd(q, p, s, c), keyMd(k, p, s, c, true), scoreMd(z, p, s, c), s.scale(), false),
          queryAt(q, p, c),
          keyAt(k, p, c),
          scoreAt(z, p, s, c));
    }
    addMask(z, p.mask, p.tiles(), s.heads(), p.tile, p.width());
    Tensor probabilities = softmax(z);
    Tensor out = engine.allocate(q.rows(), q.cols(), engine.computeType());
    overKeys(probabilities, v, out, p, s, 1);
    if (!forBackward) {
      engine.release(probabilities);
    }
    return new Engine.Attended(out, forBackward ? List.of(probabilities) : List.of());
  }

  private void addMask(Tensor z, Tensor mask, long tiles, long heads, long rows, long width) {
    Md of =
        Md.of(
            dnnl_f32,
            new long[] {tiles, heads, rows, width},
            new long[] {heads * rows * width, rows * width, width, 1});
    Md by =
        Md.of(
            dnnl_f32,
            new long[] {tiles, 1, rows, width},
            new long[] {rows * width, rows * width, width, 1});
    dnnl.run(Spec.of(Kind.BINARY, dnnl_binary_add, 0, of, by, of), at(z), at(mask), at(z));
  }

  /** Returns probabilities in the compute type; releases or overwrites the scores. */
  private Tensor softmax(Tensor z) {
    Tensor p =
        engine.computeType() == DType.F32
            ? z
            : engine.allocate(z.rows(), z.cols(), engine.computeType());
    dnnl.run(Spec.of(Kind.SOFTMAX, dnnl_softmax_accurate, 0, all(z), all(p)), at(z), at(p));
    if (p != z) {
      engine.release(z);
    }
    return p;
  }

  void backward(
      Tensor q,
      Tensor k,
      Tensor v,
      Spans spans,
      AttentionShape s,
      Tensor probabilities,
      Tensor dOut,
      Tensor dq,
      Tensor dk,
      Tensor dv) {
    Tiling p = tiling(q.rows(), spans, s);
    Tensor ds = scores(p, s, engine.computeType());
    if (p.holes) {
      Matrices.clear(ds, 0);
    }
    for (Part c : p.parts) {
      dnnl.run(
          spec(queryMd(dOut, p, s, c), keyMd(v, p, s, c, true), scoreMd(ds, p, s, c), 1, false),
          queryAt(dOut, p, c),
          keyAt(v, p, c),
          scoreAt(ds, p, s, c));
    }
    dnnl.run(
        Spec.of(
            Kind.SOFTMAX_BACKWARD, dnnl_softmax_accurate, 0, all(probabilities), all(ds), all(ds)),
        at(probabilities),
        at(ds),
        at(ds));
    overKeys(ds, k, dq, p, s, s.scale());
    keyGradient(ds, q, dk, p, s, s.scale());
    keyGradient(probabilities, dOut, dv, p, s, 1);
    engine.release(ds);
  }

  /** Sets {@code out}, shaped like queries, to {@code scale * scores keys}. */
  private void overKeys(
      Tensor scores, Tensor keys, Tensor out, Tiling p, AttentionShape s, float scale) {
    Tensor sum = out;
    if (p.adds() && out.dtype() != DType.F32) { // parts are added before anything is rounded
      sum = engine.allocate(out.rows(), out.cols(), DType.F32);
    }
    for (Part c : p.parts) {
      dnnl.run(
          spec(
              scoreMd(scores, p, s, c),
              keyMd(keys, p, s, c, false),
              queryMd(sum, p, s, c),
              scale,
              !c.first()),
          scoreAt(scores, p, s, c),
          keyAt(keys, p, c),
          queryAt(sum, p, c));
    }
    if (sum != out) {
      engine.copy(sum, out);
      engine.release(sum);
    }
  }

  /** Sets {@code dKeys}, shaped like keys, to {@code scale * scores' rows}, over all queries. */
  private void keyGradient(
      Tensor scores, Tensor rows, Tensor dKeys, Tiling p, AttentionShape s, float scale) {
    int group = s.heads() / s.kvHeads();
    boolean sums = group > 1 || p.lookback > 0;
    Tensor out = dKeys;
    if (sums) { // in F32, as many products are added
      out = engine.allocate(dKeys.rows(), dKeys.cols(), DType.F32);
      Matrices.clear(out, 0);
    }
    long d = s.headDim();
    long one = (long) p.tile * p.width();
    for (Part c : p.parts) {
      long keys = p.keys(c);
      long queries = p.queries(c);
      Md left =
          Md.of(
              Matrices.type(scores.dtype()),
              new long[] {c.tiles(), s.kvHeads(), keys, queries},
              new long[] {s.heads() * one, group * one, 1, p.width()});
      Md right =
          Md.of(
              Matrices.type(rows.dtype()),
              new long[] {c.tiles(), s.kvHeads(), queries, d},
              new long[] {(long) p.tile * rows.stride(), group * d, rows.stride(), 1});
      Md to =
          Md.of(
              Matrices.type(out.dtype()),
              new long[] {c.tiles(), s.kvHeads(), keys, d},
              new long[] {(long) p.tile * out.stride(), d, out.stride(), 1});
      Spec spec = spec(left, right, to, scale, sums);
      for (int g = 0; g < group; g++) {
        dnnl.run(
            spec,
            scoreAt(scores, p, s, c) + g * one * scores.dtype().bytes(),
            queryAt(rows, p, c) + g * d * rows.dtype().bytes(),
            keyAt(out, p, c));
      }
    }
    if (sums) {
      engine.copy(out, dKeys);
      engine.release(out);
    }
  }

  // ---- over a cache, for generation

  /** The keys of each span, their number rounded up to few different values, and their masks. */
  private record CachePlan(Spans spans, int window, int[] firstKey, int[] keys, Tensor[] masks) {}

  private CachePlan cachePlan(int cacheRows, Spans spans, AttentionShape shape) {
    for (CachePlan p : cachePlans) {
      if (p.spans.equals(spans) && p.window == shape.window()) {
        return p;
      }
    }
    int n = spans.count();
    CachePlan p = new CachePlan(spans, shape.window(), new int[n], new int[n], new Tensor[n]);
    for (int s = 0; s < n; s++) {
      int length = spans.keyLength()[s];
      int start = spans.keyStart()[s];
      int keys = Math.min((length + 31) / 32 * 32, cacheRows);
      int first = Math.max(0, Math.min(start + length - keys, cacheRows - keys));
      p.firstKey[s] = first;
      p.keys[s] = keys;
      int queries = spans.queryLength()[s];
      float[] mask = new float[queries * keys];
      Arrays.fill(mask, MASKED);
      for (int i = 0; i < queries; i++) {
        int own = i + length - queries;
        for (int j = shape.firstKey(own); j <= own; j++) {
          if (spans.visible(start + j, start + own)) {
            mask[i * keys + start + j - first] = 0;
          }
        }
      }
      p.masks[s] = engine.filled(queries, keys, mask);
    }
    cachePlans.add(p);
    return p;
  }

  /** Returns the attention of queries to rows of a cache; queries in no span become zero. */
  Tensor cached(Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape s) {
    CachePlan p = cachePlan(k.rows(), spans, s);
    Tensor out = engine.allocate(q.rows(), q.cols(), engine.computeType());
    Matrices.clear(out, 0);
    long d = s.headDim();
    long group = s.heads() / s.kvHeads();
    for (int i = 0; i < spans.count(); i++) {
      int queries = spans.queryLength()[i];
      int keys = p.keys[i];
      long one = (long) queries * keys;
      Tensor z = engine.allocate(s.heads() * queries, keys, DType.F32);
      long[] strides = {s.heads() * one, group * one, one, keys};
      Md queryMd =
          batch(
              q,
              s,
              true,
              new long[] {1, queries, d},
              q.rows() * (long) q.stride(),
              group * d,
              d,
              q.stride(),
              1);
      Md outMd =
          batch(
              out,
              s,
              true,
              new long[] {1, queries, d},
              q.rows() * (long) out.stride(),
              group * d,
              d,
              out.stride(),
              1);
      long cache = k.rows() * (long) k.stride();
      Md keyMd = batch(k, s, false, new long[] {1, d, keys}, cache, d, d, 1, k.stride());
      Md valueMd = batch(v, s, false, new long[] {1, keys, d}, cache, d, d, v.stride(), 1);
      Md scoreMd =
          batch(
              z,
              s,
              true,
              new long[] {1, queries, keys},
              strides[0],
              strides[1],
              strides[2],
              strides[3],
              1);
      dnnl.run(
          spec(queryMd, keyMd, scoreMd, s.scale(), false),
          at(q, spans.queryStart()[i]),
          at(k, p.firstKey[i]),
          at(z));
      addMask(z, p.masks[i], 1, s.heads(), queries, keys);
      Tensor probabilities = softmax(z);
      Md probabilityMd =
          batch(
              probabilities,
              s,
              true,
              new long[] {1, queries, keys},
              strides[0],
              strides[1],
              strides[2],
              strides[3],
              1);
      dnnl.run(
          spec(probabilityMd, valueMd, outMd, 1, false),
          at(probabilities),
          at(v, p.firstKey[i]),
          at(out, spans.queryStart()[i]));
      engine.release(probabilities);
    }
    return out;
  }
}
