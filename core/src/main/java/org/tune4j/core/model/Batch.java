package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import org.tune4j.core.engine.Spans;

/**
 * Sequences packed end to end, without padding between them. Filler segments, of task -1, may round
 * up the number of rows, so that engines see few different shapes.
 *
 * @param ids token of each row
 * @param positions position of each row within its sequence
 * @param segmentStart first row of each segment, followed by the number of rows
 * @param targets token that each row is to predict, or -1 for no loss
 * @param segmentTask index of each segment's task; -1 for filler
 * @param branch branch of each row as in {@link Spans}, or null
 */
public record Batch(
    int[] ids,
    int[] positions,
    int[] segmentStart,
    int[] targets,
    int[] segmentTask,
    int[] branch) {
  /** Checks that lengths agree. */
  public Batch {
    int n = ids.length;
    checkArgument(
        positions.length == n && targets.length == n && (branch == null || branch.length == n),
        "ids, positions, targets differ in length: %s, %s, %s",
        n,
        positions.length,
        targets.length);
    checkArgument(
        segmentStart.length == segmentTask.length + 1 && segmentStart[segmentTask.length] == n,
        "segment starts do not end at %s rows",
        n);
  }

  /** Returns a batch of one sequence, predicting each next token. */
  public static Batch of(int[] ids) {
    int n = ids.length;
    int[] positions = new int[n];
    int[] targets = new int[n];
    for (int i = 0; i < n; i++) {
      positions[i] = i;
      targets[i] = i + 1 < n ? ids[i + 1] : -1;
    }
    return new Batch(ids, positions, new int[] {0, n}, targets, new int[] {0}, null);
  }

  /** Returns the number of rows: tokens of all segments. */
  public int rows() {
    return ids.length;
  }

  /** Returns the number of segments, filler included. */
  public int segments() {
    return segmentTask.length;
  }

  /** Returns the spans of attention within segments. */
  public Spans spans() {
    return Spans.tree(segmentStart, branch);
  }

  /** Returns the rows with a target, ascending. */
  public int[] lossRows() {
    int count = 0;
    for (int t : targets) {
      count += t >= 0 ? 1 : 0;
    }
    int[] rows = new int[count];
    int k = 0;
    for (int i = 0; i < targets.length; i++) {
      if (targets[i] >= 0) {
        rows[k++] = i;
      }
    }
    return rows;
  }
}
