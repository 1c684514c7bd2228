package org.tune4j.core.engine;

/**
 * The precision of an engine. Adapters, optimizer state, gradients of parameters, norms, softmax,
 * the residual stream and the loss are {@link DType#F32} in every precision; what differs is frozen
 * weights and inputs of matrix products.
 */
public enum Precision {
  /** Everything in 32-bit floating point: the reference for parity. */
  F32(DType.F32),
  /**
   * Frozen weights and inputs of matrix products in bfloat16, accumulation in 32 bits. Half the
   * memory, twice the speed.
   */
  BF16(DType.BF16),
  /**
   * Frozen weights of projections as 8-bit integers with one scale per output channel. An engine
   * may round the inputs of these products to 8 bits as well, each row by its own largest value,
   * where the processor multiplies integers faster; this is then the fastest precision. A quarter
   * of F32's weight memory; the base model is rounded, so evaluate before relying on it.
   * Activations are as in {@link #BF16}.
   */
  INT8(DType.BF16);

  private final DType computeType;

  Precision(DType computeType) {
    this.computeType = computeType;
  }

  /** Returns the type of activations that enter matrix products. */
  public DType computeType() {
    return computeType;
  }
}
