package org.tune4j.core.model.family;

import java.util.Arrays;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.model.ModelConfig;

/**
 * A model's rotary embedding at work: tables of cosines and sines, made when they are needed. What
 * depends on the length of sequences depends on the longest of a step, as in transformers, and on
 * no earlier step. Guarded by the engine's lock.
 */
final class Rotary {
  private static final int FIRST_TABLE = 2048;

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
   * @param rows the table's row for each row of the step
   */
  record Turns(RopeTable table, int[] rows) {}

  /**
   * Returns what a step needs.
   *
   * @param positions of its rows
   * @param length tokens of the longest sequence of which the step runs a part
   */
  Turns turns(int[] positions, int length) {
    boolean beyond = scaling.variesWithLength() && length > scaling.originalPositions();
    if (beyond && scaling.type() == RopeScaling.Type.DYNAMIC) {
      // another base for every length: no more than the positions at hand
      int[] distinct = Arrays.stream(positions).distinct().sorted().toArray();
      int[] rows = Arrays.stream(positions).map(p -> Arrays.binarySearch(distinct, p)).toArray();
      return new Turns(scaling.table(distinct, headDim, length), rows);
    }
    int last = Arrays.stream(positions).max().orElse(0);
    if (beyond) {
      stretched = covering(stretched, last, length);
      return new Turns(stretched, positions);
    }
    plain = covering(plain, last, length);
    return new Turns(plain, positions);
  }

  /** Tables grow by doubling: contexts of 128k are allowed by many models and used by few. */
  private RopeTable covering(RopeTable table, int last, int length) {
    if (table != null && table.positions() > last) {
      return table;
    }
    long positions = FIRST_TABLE;
    while (positions <= last) {
      positions *= 2;
    }
    int[] all = new int[(int) Math.min(positions, Math.max(maxPositions, last + 1L))];
    Arrays.setAll(all, p -> p);
    return scaling.table(all, headDim, length);
  }
}
