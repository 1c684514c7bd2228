package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;
import static org.tune4j.core.engine.onednn.OneDnnEngine.at;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.onednn.Dnnl.Kind;
import org.tune4j.core.engine.onednn.Dnnl.Md;
import org.tune4j.core.engine.onednn.Dnnl.PostOp;
import org.tune4j.core.engine.onednn.Dnnl.Spec;

/**
 * Attention within packed segments as batched products over tiles of rows.
 *
 * <p>Rows are cut into tiles of one size, whatever the segments. A tile of queries meets its own
 * tile of keys and as many before it as its segments reach back; what a query must not see is
 * masked. Tiles with the same reach lie at regular distances, so that one product serves all of
 * them and all heads: short ragged segments cost a few calls a layer, segments of a tile's length
 * cost no masked tile, and long ones skip the tiles above the diagonal.
 *
 * <p>Scores are F32 {@code [tiles, heads, tile, width]}, where the last {@code tile} columns are
 * those of the own tile, the ones before them those of the tile before, and so on.
 */
final class TiledAttention {
  private static final float MASKED = -1e30f;
  static final int SMALLEST_TILE = 32;
  private static final int[] TILES = {SMALLEST_TILE, 64, 128};
  private static final double PRODUCT_COST = 10_000; // of starting a product, in scores

  private final OneDnnEngine engine;
  private final Dnnl dnnl;
  private final List<Plan> plans = new ArrayList<>();
  private final List<CachePlan> cachePlans = new ArrayList<>();

  TiledAttention(OneDnnEngine engine, Dnnl dnnl) {
    this.engine = engine;
    this.dnnl = dnnl;
  }

  /** Ends a step: masks are of its arena. */
  void forget() {
    plans.clear();
    cachePlans.clear();
  }

  /**
   * Products of query tiles {@code [tile, tile + tiles)} with {@code blocks} tiles of keys from
   * {@code offset} tiles before them on; several of both are not combined.
   *
   * @param first whether no earlier call had these query tiles
   */
  private record Call(int tile, int tiles, int offset, int blocks, boolean first) {}

  private static final class Plan {
    Spans spans;
    int window;
    int rows;
    int tile;
    int full; // tiles with all their rows
    int last; // rows of a further, shorter tile; may be 0
    int lookback;
    boolean holes; // scores that no call writes
    List<Call> calls;
    Tensor mask; // F32 [tiles * tile, width]

    int tiles() {
      return full + (last > 0 ? 1 : 0);
    }

    /** Returns whether some queries have their keys in several calls. */
    boolean adds() {
      return calls.stream().anyMatch(c -> !c.first);
    }

    int width() {
      return (lookback + 1) * tile;
    }

    int queries(Call c) {
      return c.tile == full ? last : tile;
    }

    int keys(Call c) {
      boolean own = c.offset - c.blocks + 1 == 0;
      return (c.blocks - 1) * tile + (own ? queries(c) : tile);
    }
  }

  /** Returns whether this is attention of rows to themselves, each in exactly one span. */
  boolean tiles(Tensor q, Tensor k, Spans spans) {
    if (q.rows() != k.rows() || q.rows() == 0) {
      return false;
    }
    boolean[] covered = new boolean[q.rows()];
    int sum = 0;
    for (int s = 0; s < spans.count(); s++) {
      if (spans.queryStart()[s] != spans.keyStart()[s]
          || spans.queryLength()[s] != spans.keyLength()[s]) {
        return false;
      }
      for (int i = 0; i < spans.queryLength()[s]; i++) {
        if (covered[spans.queryStart()[s] + i]) {
          return false;
        }
        covered[spans.queryStart()[s] + i] = true;
      }
      sum += spans.queryLength()[s];
    }
    return sum == q.rows();
  }

  private Plan plan(int rows, Spans spans, AttentionShape shape) {
    for (Plan p : plans) {
      if (p.spans.equals(spans) && p.window == shape.window()) {
        return p;
      }
    }
    int[] firstKey = new int[rows];
    int[] start = new int[rows];
    for (int s = 0; s < spans.count(); s++) {
      int from = spans.queryStart()[s];
      for (int i = 0; i < spans.queryLength()[s]; i++) {
        start[from + i] = from;
        firstKey[from + i] = from + OneDnnEngine.firstVisible(i, shape.window());
      }
    }
    Plan best = null;
    double least = Double.POSITIVE_INFINITY;
    for (int tile : TILES) {
      for (boolean even : new boolean[] {false, true}) {
        Plan p = tiling(rows, tile, firstKey, even);
        double cost = (double) p.tiles() * tile * p.width() * shape.heads() / 2;
        for (Call c : p.calls) {
          cost += (double) c.tiles * p.queries(c) * p.keys(c) * shape.heads();
          cost += (4 + 2.0 * shape.heads() / shape.kvHeads()) * PRODUCT_COST;
        }
        if (cost < least) {
          least = cost;
          best = p;
        }
      }
    }
    best.spans = spans;
    best.window = shape.window();
    best.mask = mask(best, firstKey, start);
    plans.add(best);
    return best;
  }

  /**
   * Divides rows into tiles.
   *
   * @param even whether all tiles reach as far back as the one that reaches farthest: more scores
   *     in fewer calls
   */
  private static Plan tiling(int rows, int tile, int[] firstKey, boolean even) {
    Plan p = new Plan();
    p.rows = rows;
    p.tile = tile;
    p.full = rows / tile;
    p.last = rows % tile;
    int[] reach = new int[p.tiles()]; // tiles back
    for (int r = 0; r < rows; r++) {
      reach[r / tile] = Math.max(reach[r / tile], r / tile - firstKey[r] / tile);
    }
    p.lookback = Arrays.stream(reach).max().orElse(0);
    p.calls = new ArrayList<>();
    for (int offset = 0; even && offset <= p.lookback && offset < p.full; offset++) {
      p.calls.add(new Call(offset, p.full - offset, offset, 1, offset == 0));
    }
    p.holes = even && p.lookback > 0;
    for (int from = even ? p.full : 0; from < p.full; ) {
      int back = reach[from];
      int to = from + 1;
      while (to < p.full && reach[to] == back) {
        to++;
      }
      if (back == 0 || back + 1 <= to - from) {
        for (int offset = 0; offset <= back; offset++) {
          p.calls.add(new Call(from, to - from, offset, 1, offset == 0));
        }
      } else {
        for (int t = from; t < to; t++) {
          p.calls.add(new Call(t, 1, back, back + 1, true));
        }
      }
      p.holes |= back < p.lookback;
      from = to;
    }
    if (p.last > 0) {
      int back = reach[p.full];
      p.calls.add(new Call(p.full, 1, back, back + 1, true));
      p.holes = true;
    }
    return p;
  }

  private Tensor mask(Plan p, int[] firstKey, int[] start) {
    int width = p.width();
    float[] mask = new float[p.tiles() * p.tile * width];
    int[] branch = p.spans.branch();
    for (int r = 0; r < p.rows; r++) {
      int from = r * width;
      int firstColumn = (r / p.tile - p.lookback) * p.tile; // the key of column 0
      Arrays.fill(mask, from, from + width, MASKED);
      for (int key = Math.max(firstKey[r], start[r]); key <= r; key++) {
        if (OneDnnEngine.seen(branch, key, r)) {
          mask[from + key - firstColumn] = 0;
        }
      }
    }
    return engine.filled(p.tiles() * p.tile, width, mask);
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
    int type = OneDnnEngine.type(t.dtype());
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

  /** Rows of queries, or of what is shaped like them. */
  private static Md queryMd(Tensor t, Plan p, AttentionShape s, Call c) {
    long d = s.headDim();
    return batch(
        t,
        s,
        true,
        new long[] {c.tiles, p.queries(c), d},
        (long) p.tile * t.stride(),
        s.heads() / s.kvHeads() * d,
        d,
        t.stride(),
        1);
  }

  private static long queryAt(Tensor t, Plan p, Call c) {
    return at(t, (long) c.tile * p.tile);
  }

  /** Rows of keys, or of what is shaped like them, as right operand. */
  private static Md keyMd(Tensor t, Plan p, AttentionShape s, Call c, boolean transposed) {
    long d = s.headDim();
    long rows = p.keys(c);
    return batch(
        t,
        s,
        false,
        transposed ? new long[] {c.tiles, d, rows} : new long[] {c.tiles, rows, d},
        (long) p.tile * t.stride(),
        d,
        d,
        transposed ? 1 : t.stride(),
        transposed ? t.stride() : 1);
  }

  private static long keyAt(Tensor t, Plan p, Call c) {
    return at(t, (long) (c.tile - c.offset) * p.tile);
  }

  private static Md scoreMd(Tensor t, Plan p, AttentionShape s, Call c) {
    long one = (long) p.tile * p.width();
    return batch(
        t,
        s,
        true,
        new long[] {c.tiles, p.queries(c), p.keys(c)},
        s.heads() * one,
        s.heads() / s.kvHeads() * one,
        one,
        p.width(),
        1);
  }

  private static long scoreAt(Tensor t, Plan p, AttentionShape s, Call c) {
    long element =
        (long) c.tile * s.heads() * p.tile * p.width() + (long) (p.lookback - c.offset) * p.tile;
    return at(t) + element * t.dtype().bytes();
  }

  private static Spec spec(Md a, Md b, Md c, float scale, boolean add) {
    Spec s = Spec.of(Kind.MATMUL, a, b, c);
    if (scale == 1) {
      return add ? s.then(PostOp.sum()) : s;
    }
    return add ? s.then(PostOp.scale(scale), PostOp.sum()) : s.then(PostOp.scale(scale));
  }

  private Tensor scores(Plan p, AttentionShape s, DType type) {
    return engine.allocate(p.tiles() * s.heads() * p.tile, p.width(), type);
  }

  private static Md all(Tensor t) {
    return Md.of(OneDnnEngine.type(t.dtype()), t.rows(), t.cols(), t.cols(), 1);
  }

  Engine.Attended forward(
      Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape s, boolean forBackward) {
    Plan p = plan(q.rows(), spans, s);
    Tensor z = scores(p, s, DType.F32);
    if (p.holes) {
      OneDnnEngine.clear(z, 0xFE); // -1.7e38: any finite number will do, it is masked
    }
    for (Call c : p.calls) {
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

  /** Consumes scores and returns probabilities in the compute type. */
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
    Plan p = plan(q.rows(), spans, s);
    Tensor ds = scores(p, s, engine.computeType());
    if (p.holes) {
      OneDnnEngine.clear(ds, 0);
    }
    for (Call c : p.calls) {
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
      Tensor scores, Tensor keys, Tensor out, Plan p, AttentionShape s, float scale) {
    Tensor sum = out;
    if (p.adds() && out.dtype() != DType.F32) { // parts are added before anything is rounded
      sum = engine.allocate(out.rows(), out.cols(), DType.F32);
    }
    for (Call c : p.calls) {
      dnnl.run(
          spec(
              scoreMd(scores, p, s, c),
              keyMd(keys, p, s, c, false),
              queryMd(sum, p, s, c),
              scale,
              !c.first),
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
      Tensor scores, Tensor rows, Tensor dKeys, Plan p, AttentionShape s, float scale) {
    int group = s.heads() / s.kvHeads();
    boolean sums = group > 1 || p.lookback > 0;
    Tensor out = dKeys;
    if (sums) { // in F32, as many parts are added
      out = engine.allocate(dKeys.rows(), dKeys.cols(), DType.F32);
      OneDnnEngine.clear(out, 0);
    }
    long d = s.headDim();
    long one = (long) p.tile * p.width();
    for (Call c : p.calls) {
      long keys = p.keys(c);
      long queries = p.queries(c);
      Md left =
          Md.of(
              OneDnnEngine.type(scores.dtype()),
              new long[] {c.tiles, s.kvHeads(), keys, queries},
              new long[] {s.heads() * one, group * one, 1, p.width()});
      Md right =
          Md.of(
              OneDnnEngine.type(rows.dtype()),
              new long[] {c.tiles, s.kvHeads(), queries, d},
              new long[] {(long) p.tile * rows.stride(), group * d, rows.stride(), 1});
      Md to =
          Md.of(
              OneDnnEngine.type(out.dtype()),
              new long[] {c.tiles, s.kvHeads(), keys, d},
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

  /** Keys of a span, rounded up to few lengths, and what is masked of them. */
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
        for (int j = OneDnnEngine.firstVisible(own, shape.window()); j <= own; j++) {
          if (OneDnnEngine.seen(spans.branch(), start + j, start + own)) {
            mask[i * keys + start + j - first] = 0;
          }
        }
      }
      p.masks[s] = engine.filled(queries, keys, mask);
    }
    cachePlans.add(p);
    return p;
  }

  /** Returns attention of queries to rows of a cache; queries in no span get zeros. */
  Tensor overCache(Tensor q, Tensor k, Tensor v, Spans spans, AttentionShape s) {
    CachePlan p = cachePlan(k.rows(), spans, s);
    Tensor out = engine.allocate(q.rows(), q.cols(), engine.computeType());
    OneDnnEngine.clear(out, 0);
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
