package org.tune4j.core.engine;

import static com.google.common.base.Preconditions.checkArgument;

/**
 * Which rows attend to which. Span {@code s} lets query rows {@code [queryStart[s],
 * +queryLength[s])} attend to key rows {@code [keyStart[s], +keyLength[s])}. The last query row is
 * aligned with the last key row, and attention is causal: query {@code i} of the span sees key
 * {@code j} of the span iff {@code j <= i + keyLength - queryLength}.
 *
 * <p>{@code branch} (null, or one entry per row of the key tensor) makes a span a tree: a key is
 * visible only if its branch is 0, the trunk, or the branch of the query's own key row. This way a
 * prompt is run once for many continuations that do not see each other.
 *
 * @param queryStart first query row of each span
 * @param queryLength query rows of each span, at least 1
 * @param keyStart first key row of each span
 * @param keyLength key rows of each span, at least {@code queryLength}
 * @param branch branch of each key row, or null
 */
public record Spans(
    int[] queryStart, int[] queryLength, int[] keyStart, int[] keyLength, int[] branch) {
  /** Checks that lengths agree. */
  public Spans {
    int n = queryStart.length;
    checkArgument(
        queryLength.length == n && keyStart.length == n && keyLength.length == n,
        "spans of different lengths: %s, %s, %s, %s",
        n,
        queryLength.length,
        keyStart.length,
        keyLength.length);
    for (int s = 0; s < n; s++) {
      checkArgument(
          queryLength[s] > 0 && keyLength[s] >= queryLength[s],
          "span %s has %s queries over %s keys",
          s,
          queryLength[s],
          keyLength[s]);
    }
  }

  /**
   * Returns self-attention within segments: segment {@code s} is rows {@code [starts[s], starts[s +
   * 1])}.
   */
  public static Spans causal(int[] starts) {
    return tree(starts, null);
  }

  /** Like {@link #causal}, with branches. */
  public static Spans tree(int[] starts, int[] branch) {
    int n = starts.length - 1;
    int[] start = new int[n];
    int[] length = new int[n];
    for (int s = 0; s < n; s++) {
      start[s] = starts[s];
      length[s] = starts[s + 1] - starts[s];
    }
    return new Spans(start, length, start, length, branch);
  }

  /** Returns the number of spans. */
  public int count() {
    return queryStart.length;
  }

  /** Returns whether branches let row {@code own} see row {@code key}, at or before it. */
  public boolean visible(int key, int own) {
    return branch == null || branch[key] == 0 || branch[key] == branch[own];
  }
}
