package org.tune4j.core.engine;

import static com.google.common.base.Preconditions.checkArgument;

/**
 * The shape of grouped-query attention (Ainslie et al. 2023): query head {@code h} reads key/value
 * head {@code h / (heads / kvHeads)}. A packed row holds queries, keys, values: {@code (heads + 2 *
 * kvHeads) * headDim} columns.
 *
 * @param heads query heads
 * @param kvHeads key/value heads; divides {@code heads}
 * @param headDim columns of a head
 * @param scale factor of the scores, commonly {@code 1 / sqrt(headDim)}
 * @param window number of keys that a query sees, including its own (sliding window); 0 for all
 */
public record AttentionShape(int heads, int kvHeads, int headDim, float scale, int window) {
  /** Checks the head counts. */
  public AttentionShape {
    checkArgument(
        heads > 0 && kvHeads > 0 && heads % kvHeads == 0,
        "%s heads over %s key/value heads",
        heads,
        kvHeads);
    checkArgument(headDim > 0 && window >= 0, "head dimension %s, window %s", headDim, window);
  }

  /** Returns the number of columns of all queries. */
  public int queryCols() {
    return heads * headDim;
  }

  /** Returns the number of columns of all keys, which is that of all values too. */
  public int kvCols() {
    return kvHeads * headDim;
  }

  /** Returns the first key that the window lets the query at position {@code own} see. */
  public int firstKey(int own) {
    return window > 0 ? Math.max(0, own - window + 1) : 0;
  }
}
