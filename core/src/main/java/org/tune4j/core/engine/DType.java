package org.tune4j.core.engine;

/** Element type of a {@link Tensor}. */
public enum DType {
  /** IEEE 754 single precision. */
  F32(4),
  /** bfloat16: the upper half of an {@link #F32}. */
  BF16(2);

  private final int bytes;

  DType(int bytes) {
    this.bytes = bytes;
  }

  /** Returns the size of one element in bytes. */
  public int bytes() {
    return bytes;
  }
}
