package org.tune4j.core.engine.nd4j;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Tensor;

/**
 * A matrix at a byte offset in an ND4J buffer of floats; a bfloat16 matrix packs two elements into
 * each float.
 */
public final class BufferTensor extends Tensor {
  private final INDArray slab;
  private final long offset;
  final Arena.Block block;

  BufferTensor(
      INDArray slab, long offset, int rows, int cols, int stride, DType dtype, Arena.Block block) {
    super(rows, cols, stride, dtype);
    this.slab = slab;
    this.offset = offset;
    this.block = block;
  }

  /**
   * Returns the address of its first element; only valid for backends whose buffers are in host
   * memory.
   */
  public long address() {
    return slab.data().pointer().address() + offset;
  }

  INDArray slab() {
    return slab;
  }

  /** Returns the offset from the start of the buffer, in bytes. */
  long offset() {
    return offset;
  }

  BufferTensor sub(long elements, int rows, int cols, int stride) {
    return new BufferTensor(
        slab, offset + elements * dtype().bytes(), rows, cols, stride, dtype(), null);
  }

  /** Returns an F32 matrix as an array that shares its storage. */
  INDArray array() {
    return Nd4j.create(
        slab.data(),
        new long[] {rows(), cols()},
        new long[] {stride(), 1},
        offset / Float.BYTES,
        'c');
  }
}
