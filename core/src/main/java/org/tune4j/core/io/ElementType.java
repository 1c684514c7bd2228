package org.tune4j.core.io;

import java.util.Arrays;

/**
 * Element types of safetensors files, named as in the format. Types that cannot be read are listed
 * with their sizes, so that every file can be checked as a whole.
 */
public enum ElementType {
  /** Double precision. */
  F64(64),
  /** Single precision. */
  F32(32),
  /** IEEE half precision. */
  F16(16),
  /** bfloat16. */
  BF16(16),
  /** 64-bit integers. */
  I64(64),
  /** 32-bit integers. */
  I32(32),
  /** 16-bit integers. */
  I16(16),
  /** 8-bit integers. */
  I8(8),
  /** Unsigned 8-bit integers. */
  U8(8),
  /** Truth values, one byte each. */
  BOOL(8),
  /** Unsigned 64-bit integers; not read. */
  U64(64),
  /** Unsigned 32-bit integers; not read. */
  U32(32),
  /** Unsigned 16-bit integers; not read. */
  U16(16),
  /** Complex numbers of two single-precision parts; not read. */
  C64(64),
  /** 8-bit floats with 4 bits of exponent; not read. */
  F8_E4M3(8),
  /** 8-bit floats with 5 bits of exponent; not read. */
  F8_E5M2(8),
  /** Powers of two; not read. */
  F8_E8M0(8),
  /** 6-bit floats with 2 bits of exponent; not read. */
  F6_E2M3(6),
  /** 6-bit floats with 3 bits of exponent; not read. */
  F6_E3M2(6),
  /** 4-bit floats; not read. */
  F4(4),
  /** A type that this version does not know; not read. */
  UNKNOWN(0);

  private final int bits;

  ElementType(int bits) {
    this.bits = bits;
  }

  /**
   * Returns the type of a header's {@code dtype}; {@link #UNKNOWN} if this version does not know
   * it.
   */
  static ElementType of(String dtype) {
    return Arrays.stream(values()).filter(t -> t.name().equals(dtype)).findFirst().orElse(UNKNOWN);
  }

  /** Returns the size of an element in bits; 0 if the type is unknown. */
  public int bits() {
    return bits;
  }

  /** Returns the size of an element in whole bytes; 0 for types narrower than a byte. */
  public int bytes() {
    return bits / 8;
  }

  /** Returns whether values are floating-point numbers that can be read. */
  public boolean isFloat() {
    return this == F64 || this == F32 || this == F16 || this == BF16;
  }

  /** Returns whether values are integers or truth values that can be read. */
  public boolean isInteger() {
    return this == I64 || this == I32 || this == I16 || this == I8 || this == U8 || this == BOOL;
  }
}
