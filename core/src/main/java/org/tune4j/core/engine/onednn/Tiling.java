package org.tune4j.core.engine.onednn;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tensor;

/**
 * Rows of packed segments in tiles of one size, whatever the segments. A tile of queries meets its
 * own tile of keys and as many before it as its segments reach back; what a query must not see is
 * masked. Tiles with the same reach lie at regular distances, so that one product serves all of
 * them and all heads: short ragged segments cost a few products a layer, segments of a tile's
 * length cost no masked tile, and long ones skip the tiles above the diagonal.
 */
final class Tiling {
  static final int SMALLEST = 32;
  private static final int[] SIZES = {SMALLEST, 64, 128};
  private static final double PRODUCT_COST = 10_000; // of starting a product, in scores

  /**
   * Products of query tiles {@code [tile, tile + tiles)} with {@code blocks} tiles of keys from
   * {@code offset} tiles before them on; several of both are not combined.
   *
   * @param first whether no earlier part had these query tiles
   */
  record Part(int tile, int tiles, int offset, int blocks, boolean first) {}

  private final int rows;
  private final int[] firstKey; // of each row
  private int full; // tiles with all their rows
  private int last; // rows of a further, shorter tile; may be 0
  private Spans spans;
  private int window;
  final int tile;
  int lookback;
  boolean holes; // scores that no part writes
  final List<Part> parts = new ArrayList<>();
  Tensor mask; // F32 [tiles * tile, width], of the step's arena

  /** Returns the tiling that costs least. */
  static Tiling of(int rows, Spans spans, AttentionShape shape) {
    int[] firstKey = new int[rows];
    for (int s = 0; s < spans.count(); s++) {
      int from = spans.queryStart()[s];
      for (int i = 0; i < spans.queryLength()[s]; i++) {
        firstKey[from + i] = from + shape.firstKey(i);
      }
    }
    Tiling best = null;
    double least = Double.POSITIVE_INFINITY;
    for (int tile : SIZES) {
      for (boolean even : new boolean[] {false, true}) {
        Tiling t = new Tiling(rows, tile, firstKey, even);
        double cost = t.cost(shape);
        if (cost < least) {
          least = cost;
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
   * @param even whether all tiles reach as far back as the one that reaches farthest: more scores
   *     in fewer calls
   */
  private Tiling(int rows, int tile, int[] firstKey, boolean even) {
    this.rows = rows;
    this.tile = tile;
    this.firstKey = firstKey;
    full = rows / tile;
    last = rows % tile;
    int[] reach = new int[tiles()]; // tiles back
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

  /** Returns whether it is that of these spans, which rows then have the same. */
  boolean serves(Spans other, AttentionShape shape) {
    return spans.equals(other) && window == shape.window();
  }

  int tiles() {
    return full + (last > 0 ? 1 : 0);
  }

  /** Returns whether some queries have their keys in several parts. */
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

  /** Returns what is added to scores: 0 where a query sees a key, else {@code masked}. */
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

  /**
   * Returns whether rows can be tiled: whether this is attention of rows to themselves, each in
   * exactly one span.
   */
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
