package org.tune4j.core.engine.nd4j;

import java.util.Arrays;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Fills uninitialised storage to expose reads of it: with NaN in both floating-point types, and
 * 8-bit integers alternating between 127 and -1. Enabled by {@code -Dtune4j.poison=true}, as in all
 * tests; every allocation then costs a pass over its memory.
 */
final class Poison {
  private static final boolean ON = Boolean.getBoolean("tune4j.poison");
  private static final short PATTERN = 0x7FFF; // NaN in bfloat16; twice, NaN in F32
  private static final int PATTERNS_BYTES = 1 << 15;

  /** The repeated pattern in native memory; null if disabled. */
  private static final BytePointer PATTERNS = ON ? patterns() : null;

  private Poison() {}

  private static BytePointer patterns() {
    short[] pattern = new short[PATTERNS_BYTES / Short.BYTES];
    Arrays.fill(pattern, PATTERN);
    BytePointer p = new BytePointer(PATTERNS_BYTES);
    p.asByteBuffer().order(java.nio.ByteOrder.nativeOrder()).asShortBuffer().put(pattern);
    return p;
  }

  /** Fills part of a buffer if it is in host memory; the offset must be even. */
  static void fill(INDArray slab, long offset, long bytes) {
    if (!ON || !hostMemory()) {
      return;
    }
    BytePointer to = new BytePointer(slab.data().pointer());
    for (long done = 0; done < bytes; done += PATTERNS_BYTES) {
      Pointer.memcpy(to.position(offset + done), PATTERNS, Math.min(PATTERNS_BYTES, bytes - done));
    }
  }

  /** Returns whether ND4J's buffers are in the processor's memory. */
  static boolean hostMemory() {
    return Nd4j.getBackend().getClass().getSimpleName().contains("Cpu");
  }
}
