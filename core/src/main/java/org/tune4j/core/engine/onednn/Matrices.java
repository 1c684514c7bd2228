package org.tune4j.core.engine.onednn;

import static org.bytedeco.dnnl.global.dnnl.*;

import org.bytedeco.javacpp.Pointer;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.engine.nd4j.Address;
import org.tune4j.core.engine.nd4j.BufferTensor;

/**
 * Describes tensors to oneDNN: type, shape and address.
 *
 * <p>A primitive is for one shape. As the number of rows varies from step to step, they are run in
 * {@link #blocks} of few different sizes: multiples of 32, then powers of two.
 */
final class Matrices {
  private Matrices() {}

  static int type(DType dtype) {
    return dtype == DType.F32 ? dnnl_f32 : dnnl_bf16;
  }

  static long at(Tensor t) {
    return ((BufferTensor) t).address();
  }

  static long at(Tensor t, long row) {
    return at(t) + row * t.stride() * t.dtype().bytes();
  }

  /** Describes {@code rows} rows of a matrix. */
  static Md md(Tensor t, int rows) {
    return Md.of(type(t.dtype()), rows, t.cols(), t.stride(), 1);
  }

  static Md vector(int length) {
    return Md.of(dnnl_f32, new long[] {length}, new long[] {1});
  }

  static boolean isContiguous(Tensor t) {
    return t.stride() == t.cols() || t.rows() == 1;
  }

  /** Sets every byte of a contiguous tensor to {@code value}. */
  static void clear(Tensor t, int value) {
    Pointer.memset(new Address(at(t)), value, t.size() * t.dtype().bytes());
  }

  /** An operation on some rows. */
  interface RowBlock {
    void run(int from, int count);
  }

  /** Runs an operation on all rows in blocks of few different sizes. */
  static void blocks(int rows, RowBlock block) {
    int from = 0;
    if (rows >= 1024) {
      from = rows & ~255;
      block.run(0, from);
    }
    int middle = (rows - from) & ~31;
    if (middle > 0) {
      block.run(from, middle);
      from += middle;
    }
    for (int size = 16; size > 0; size >>= 1) {
      if ((rows & size) != 0) {
        block.run(from, size);
        from += size;
      }
    }
  }

  /** Returns the size of the first of the {@link #blocks}. */
  static int firstBlock(int rows) {
    int large = rows >= 1024 ? rows & ~255 : rows & ~31;
    return large > 0 ? large : Integer.highestOneBit(rows);
  }
}
