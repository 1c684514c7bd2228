package org.tune4j.core.io;

/** Element types of safetensors files, under the names that the format uses. */
public enum ElementType {
  /** Double precision. */
  F64(8),
  /** Single precision. */
  F32(4),
  /** IEEE half precision. */
  F16(2),
  /** bfloat16. */
  BF16(2),
  /** 64-bit integers. */
  I64(8),
  /** 32-bit integers. */
  I32(4),
  /** 16-bit integers. */
  I16(2),
  /** 8-bit integers. */
  I8(1),
  /** Unsigned 8-bit integers. */
  U8(1),
  /** Truth values, one byte each. */
  BOOL(1);

  private final int bytes;

  ElementType(int bytes) {
    this.bytes = bytes;
  }

  /** Returns the size of an element in bytes. */
  public int bytes() {
    return bytes;
  }

  /** Returns whether values are floating-point numbers. */
  public boolean isFloat() {
    return this == F64 || this == F32 || this == F16 || this == BF16;
  }
}
