package org.tune4j.eval.affinity;

import org.tune4j.core.engine.SplitMix64;

/**
 * Projects long vectors to few dimensions (Charikar, Chen and Farach-Colton 2002; for learning,
 * Weinberger et al. 2009): coordinate {@code k} is added to bucket {@code h(k)} with sign {@code
 * s(k)}, both from a seeded hash. No matrix is stored, and inner products are kept in expectation.
 */
public final class CountSketch {
  private CountSketch() {}

  /** Adds coordinates from {@code offset} on to a sketch. */
  public static void add(float[] values, long offset, long seed, double[] sketch) {
    for (int i = 0; i < values.length; i++) {
      long hash = SplitMix64.at(seed, offset + i + 1);
      int bucket = (int) Long.remainderUnsigned(hash >>> 1, sketch.length);
      sketch[bucket] += (hash & 1) == 0 ? values[i] : -values[i];
    }
  }
}
