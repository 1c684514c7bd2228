package org.tune4j.core.engine.onednn;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tensor;

/**
 * Divides rows of packed segments into tiles of one size, regardless of segment bounds. A tile of
 * queries is multiplied by its own tile of keys and as many preceding tiles as its segments reach
 * back; keys that a query must not see are masked. Tiles with the same reach are at regular
 * distances, so that one batched product serves all of them and all heads: short ragged segments
 * cost a few products per layer, segments of a tile's length have no fully masked tile, and long
 * ones skip the tiles above the diagonal.
 */
final class Tiling {
  static final int MIN_TILE = 32;
  private static final int[] SIZES = {MIN_TILE, 64, 128};
  private static final double PRODUCT_COST = 10_000; // overhead of a product, in scores

  /**
   * Products of query tiles {@code [tile, tile + tiles)} with {@code blocks} tiles of keys, the
   * first of which is {@code offset} tiles before the query tile; {@code tiles} or {@code blocks}
   * is 1.
   *
   * @param first whether no earlier part covers these query tiles
   */
  record Part(int tile, int tiles, int offset, int blocks, boolean first) {}

  private final int rows;
  private final int[] firstKey; // of each row
  private int full; // number of full tiles
  private int last; // rows of a last, shorter tile; may be 0
  private Spans spans;
  private int window;
  final int tile;
  int lookback;
  boolean holes; // whether no part writes some of the scores
  final List<Part> parts = new ArrayList<>();
  Tensor mask; // F32 [tiles * tile, width], of the step's arena

  /** Returns the tiling of least estimated cost. */
  static Tiling of(int rows, Spans spans, AttentionShape shape) {
    int[] firstKey = new int[rows];
    for (int s = 0; s < spans.count(); s++) {
      int from = spans.queryStart()[s];
      for (int i = 0; i < spans.queryLength()[s]; i++) {
        firstKey[from + i] = from + shape.firstKey(i);
      }
    }
    Tiling best = null;
    double bestCost = Double.POSITIVE_INFINITY;
    for (int tile : SIZES) {
      for (boolean even : new boolean[] {false, true}) {
        Tiling t = new Tiling(rows, tile, firstKey, even);
        double cost = t.cost(shape);
        if (cost < bestCost) {
          bestCost = cost;
          best = t;
        }
      }
    }
    best.spans = spans;
    best.window = shape.window();
    return best;
  }

  private double cost(AttentionShape shape) {
    double cost = (double) tiles() * tile * width() * shape.heads() / 2;
    for (Part p : parts) {
      cost += (double) p.tiles * queries(p) * keys(p) * shape.heads();
      cost += (4 + 2.0 * shape.heads() / shape.kvHeads()) * PRODUCT_COST;
    }
    return cost;
  }

  /**
   * Divides rows into tiles.
   *
   * @param even whether all tiles reach back as far as the farthest: more scores in fewer calls
   */
  private Tiling(int rows, int tile, int[] firstKey, boolean even) {
    this.rows = rows;
    this.tile = tile;
    this.firstKey = firstKey;
    full = rows / tile;
    last = rows % tile;
    int[] reach = new int[tiles()]; // in tiles
    for (int r = 0; r < rows; r++) {
      reach[r / tile] = Math.max(reach[r / tile], r / tile - firstKey[r] / tile);
    }
    lookback = Arrays.stream(reach).max().orElse(0);
    for (int offset = 0; even && offset <= lookback && offset < full; offset++) {
      parts.add(new Part(offset, full - offset, offset, 1, offset == 0));
    }
    holes = even && lookback > 0;
    for (int from = even ? full : 0; from < full; ) {
      int back = reach[from];
      int to = from + 1;
      while (to < full && reach[to] == back) {
        to++;
      }
      if (back == 0 || back + 1 <= to - from) {
        for (int offset = 0; offset <= back; offset++) {
          parts.add(new Part(from, to - from, offset, 1, offset == 0));
        }
      } else {
        for (int t = from; t < to; t++) {
          parts.add(new Part(t, 1, back, back + 1, true));
        }
      }
      holes |= back < lookback;
      from = to;
    }
    if (last > 0) {
      int back = reach[full];
      parts.add(new Part(full, 1, back, back + 1, true));
      holes = true;
    }
  }

  /** Returns whether this is the tiling of these spans. */
  boolean serves(Spans other, AttentionShape shape) {
    return spans.equals(other) && window == shape.window();
  }

  int tiles() {
    return full + (last > 0 ? 1 : 0);
  }

  /** Returns whether the keys of some queries are spread over several parts. */
  boolean adds() {
    return parts.stream().anyMatch(p -> !p.first);
  }

  int width() {
    return (lookback + 1) * tile;
  }

  int queries(Part p) {
    return p.tile == full ? last : tile;
  }

  int keys(Part p) {
    boolean own = p.offset - p.blocks + 1 == 0;
    return (p.blocks - 1) * tile + (own ? queries(p) : tile);
  }

  /** Returns the mask to add to scores: 0 where a query sees a key, else {@code masked}. */
  float[] masked(float masked) {
    int width = width();
    float[] mask = new float[tiles() * tile * width];
    for (int r = 0; r < rows; r++) {
      int from = r * width;
      int firstColumn = (r / tile - lookback) * tile; // the key of column 0
      Arrays.fill(mask, from, from + width, masked);
      for (int key = firstKey[r]; key <= r; key++) {
        if (spans.visible(key, r)) {
          mask[from + key - firstColumn] = 0;
        }
      }
    }
    return mask;
  }

  /** Returns whether this can be tiled: self-attention with each row in exactly one span. */
  static boolean possible(Tensor q, Tensor k, Spans spans) {
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
}
