package org.tune4j.core.io;

/** Conversions between 32-bit floats and 16-bit formats, rounding to nearest, ties to even. */
public final class Floats {
  private static final float[] F16 = new float[1 << 16];

  static {
    for (int h = 0; h < F16.length; h++) {
      int exponent = (h >> 10) & 0x1F;
      int mantissa = h & 0x3FF;
      float magnitude =
          exponent == 0
              ? mantissa * 0x1p-24f
              : exponent == 31
                  ? (mantissa == 0 ? Float.POSITIVE_INFINITY : Float.NaN)
                  : (mantissa + 1024) * Math.scalb(1f, exponent - 25);
      F16[h] = (h & 0x8000) == 0 ? magnitude : -magnitude;
    }
  }

  private Floats() {}

  /** Converts an IEEE half, given as its bits. */
  public static float fromF16(short bits) {
    return F16[bits & 0xFFFF];
  }

  /** Converts a bfloat16, given as its bits. */
  public static float fromBf16(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /** Returns the bits of the nearest bfloat16; NaN stays NaN. */
  public static short toBf16(float value) {
    int bits = Float.floatToRawIntBits(value);
    int rounded = (bits + 0x7FFF + ((bits >>> 16) & 1)) >>> 16;
    return (short) (Float.isNaN(value) ? (bits >>> 16) | 0x40 : rounded);
  }

  /** Returns the bits of the nearest IEEE half; larger values become infinite, NaN stays NaN. */
  public static short toF16(float value) {
    int bits = Float.floatToRawIntBits(value);
    int sign = (bits >>> 16) & 0x8000;
    float magnitude = Math.abs(value);
    if (Float.isNaN(value)) {
      return (short) (sign | 0x7E00);
    }
    if (magnitude >= 65520f) {
      return (short) (sign | 0x7C00);
    }
    if (magnitude < 0x1p-14f) {
      // subnormal: the unit is 2^-24, and rint rounds ties to even
      return (short) (sign | (int) Math.rint((double) magnitude * 0x1p24));
    }
    int rest = Float.floatToRawIntBits(magnitude) - (112 << 23);
    return (short) (sign | ((rest + 0xFFF + ((rest >>> 13) & 1)) >>> 13));
  }
}
