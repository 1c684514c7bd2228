package org.tune4j.core.engine.nd4j;

import java.util.Arrays;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Fills storage that nothing was written to yet, so that whoever reads it sees it: NaN in both
 * floating-point types, and 8-bit integers alternating between 127 and -1. On with {@code
 * -Dtune4j.poison=true}, as in all tests; every allocation then costs a pass over its memory.
 */
final class Poison {
  private static final boolean ON = Boolean.getBoolean("tune4j.poison");
  private static final short PATTERN = 0x7FFF; // NaN in bfloat16; twice, NaN in F32
  private static final int UNIT = 1 << 15;

  /** The pattern many times, in memory of its own; null if off. */
  private static final BytePointer MANY = ON ? many() : null;

  private Poison() {}

  private static BytePointer many() {
    short[] pattern = new short[UNIT / Short.BYTES];
    Arrays.fill(pattern, PATTERN);
    BytePointer p = new BytePointer(UNIT);
    p.asByteBuffer().order(java.nio.ByteOrder.nativeOrder()).asShortBuffer().put(pattern);
    return p;
  }

  /** Fills bytes of a buffer in host memory, from an even offset on. */
  static void fill(INDArray slab, long offset, long bytes) {
    if (!ON || !hostMemory()) {
      return;
    }
    BytePointer to = new BytePointer(slab.data().pointer());
    for (long done = 0; done < bytes; done += UNIT) {
      Pointer.memcpy(to.position(offset + done), MANY, Math.min(UNIT, bytes - done));
    }
  }

  /** Returns whether ND4J's buffers are in the processor's memory. */
  static boolean hostMemory() {
    return Nd4j.getBackend().getClass().getSimpleName().contains("Cpu");
  }
}
