package org.tune4j.core.engine.nd4j;

import org.bytedeco.javacpp.Pointer;

/** A pointer that can be moved anywhere in host memory; it owns nothing. */
public final class Address extends Pointer {
  /** Points nowhere. */
  public Address() {}

  /** Points to an address. */
  public Address(long address) {
    this.address = address;
  }

  /** Moves to an address and returns itself. */
  public Address at(long value) {
    address = value;
    return this;
  }
}
