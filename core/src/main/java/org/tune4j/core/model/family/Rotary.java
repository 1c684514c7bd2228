package org.tune4j.core.model.family;

import java.util.Arrays;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.model.ModelConfig;

/**
 * Computes and caches a model's tables of cosines and sines. Scalings that depend on the sequence
 * length use the longest sequence of a step, as in transformers, and do not depend on earlier
 * steps. Guarded by the engine's lock.
 */
final class Rotary {
  private static final int MIN_POSITIONS = 2048;

  private final RopeScaling scaling;
  private final int headDim;
  private final int maxPositions;
  private RopeTable plain; // within the original context
  private RopeTable stretched; // longrope beyond it

  Rotary(RopeScaling scaling, ModelConfig config) {
    this.scaling = scaling;
    headDim = config.headDim();
    maxPositions = config.maxPositions();
  }

  /**
   * Cosines and sines of a step.
   *
   * @param rows the row of the table for each row of the step
   */
  record Angles(RopeTable table, int[] rows) {}

  /**
   * Returns the cosines and sines of a step.
   *
   * @param positions of its rows
   * @param length tokens of the longest sequence that the step runs, possibly in part
   */
  Angles angles(int[] positions, int length) {
    boolean beyond = scaling.variesWithLength() && length > scaling.originalPositions();
    if (beyond && scaling.type() == RopeScaling.Type.DYNAMIC) {
      // the base differs for every length: compute only the positions of this step
      int[] distinct = Arrays.stream(positions).distinct().sorted().toArray();
      int[] rows = Arrays.stream(positions).map(p -> Arrays.binarySearch(distinct, p)).toArray();
      return new Angles(scaling.table(distinct, headDim, length), rows);
    }
    int last = Arrays.stream(positions).max().orElse(0);
    if (beyond) {
      stretched = covering(stretched, last, length);
      return new Angles(stretched, positions);
    }
    plain = covering(plain, last, length);
    return new Angles(plain, positions);
  }

  /**
   * Returns a table that covers a position. Tables grow by doubling, as many models allow contexts
   * of 128k and few runs use them.
   */
  private RopeTable covering(RopeTable table, int last, int length) {
    if (table != null && table.positions() > last) {
      return table;
    }
    long positions = MIN_POSITIONS;
    while (positions <= last) {
      positions *= 2;
    }
    int[] all = new int[(int) Math.min(positions, Math.max(maxPositions, last + 1L))];
    Arrays.setAll(all, p -> p);
    return scaling.table(all, headDim, length);
  }
}
