package org.tune4j.core.model;

import java.util.List;
import java.util.Locale;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.model.WeightLoader.StoredTensor;

/**
 * A non-cryptographic hash of a checkpoint's names, shapes and values as F32, to tell models apart.
 * The bits of each tensor are mixed into 64-bit lanes by multiplication and rotation (as in xxHash,
 * Collet 2012), at about a nanosecond per value.
 */
final class WeightsHash {
  private static final long P1 = 0x9E3779B185EBCA87L;
  private static final long P2 = 0xC2B2AE3D27D4EB4FL;
  private static final int BLOCK = 1 << 18; // values

  private WeightsHash() {}

  static String of(List<StoredTensor> tensors) {
    long hash = tensors.parallelStream().mapToLong(WeightsHash::of).reduce(0, (a, b) -> a + b);
    return String.format(Locale.ROOT, "%016x", mix(hash));
  }

  private static long of(StoredTensor tensor) {
    long hash = tensor.name().hashCode() * P1;
    for (long d : tensor.shape()) {
      hash = mix(hash + d);
    }
    MatrixSource source = tensor.source().get();
    int rows = Math.max(1, BLOCK / Math.max(1, source.cols()));
    float[] values = new float[Math.min(rows, source.rows()) * source.cols()];
    long[] lanes = {hash, hash ^ P1, hash ^ P2, ~hash};
    for (int row = 0; row < source.rows(); row += rows) {
      int count = Math.min(rows, source.rows() - row);
      source.read(row, count, values);
      lanes(values, count * source.cols(), lanes);
    }
    for (long lane : lanes) {
      hash = mix(hash ^ lane);
    }
    return hash;
  }

  private static void lanes(float[] values, int count, long[] lanes) {
    long a = lanes[0];
    long b = lanes[1];
    long c = lanes[2];
    long d = lanes[3];
    int i = 0;
    for (; i + 3 < count; i += 4) {
      a = Long.rotateLeft(a + Float.floatToRawIntBits(values[i]) * P2, 31) * P1;
      b = Long.rotateLeft(b + Float.floatToRawIntBits(values[i + 1]) * P2, 31) * P1;
      c = Long.rotateLeft(c + Float.floatToRawIntBits(values[i + 2]) * P2, 31) * P1;
      d = Long.rotateLeft(d + Float.floatToRawIntBits(values[i + 3]) * P2, 31) * P1;
    }
    for (; i < count; i++) {
      a = Long.rotateLeft(a + Float.floatToRawIntBits(values[i]) * P2, 31) * P1;
    }
    lanes[0] = a;
    lanes[1] = b;
    lanes[2] = c;
    lanes[3] = d;
  }

  private static long mix(long z) {
    z = (z ^ (z >>> 33)) * P2;
    z = (z ^ (z >>> 29)) * P1;
    return z ^ (z >>> 32);
  }
}
