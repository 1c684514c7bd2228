package org.tune4j.core.engine.nd4j;

import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tensor;

/**
 * The portable engine: F32 on whatever ND4J backend is present, with ND4J's matrix products. The
 * reference for other engines; on x86-64 the {@code onednn} engine is several times faster.
 */
public final class Nd4jEngine extends BufferEngine {
  Nd4jEngine() {
    super(Precision.F32);
  }

  @Override
  public String name() {
    return "nd4j";
  }

  @Override
  public void gemm(
      float alpha,
      Tensor a,
      boolean transposeA,
      Tensor b,
      boolean transposeB,
      float beta,
      Tensor c) {
    if (c.size() == 0) {
      return;
    }
    // BLAS needs contiguous matrices: strided views go through arena copies
    Tensor x = cast(a, a.dtype());
    Tensor y = cast(b, b.dtype());
    Tensor z = c.stride() == c.cols() ? c : allocate(c.rows(), c.cols(), c.dtype());
    if (z != c && beta != 0) {
      copy(c, z);
    }
    // a row-major product is the column-major product of the transposes: c' = op(b)' op(a)', and
    // ND4J's BLAS path is column-major
    Nd4j.gemm(transposed(y), transposed(x), transposed(z), transposeB, transposeA, alpha, beta);
    if (z != c) {
      copy(z, c);
      release(z);
    }
    if (x != a) {
      release(x);
    }
    if (y != b) {
      release(y);
    }
  }

  /** Returns a contiguous matrix as the 'f'-ordered array of its transpose, sharing storage. */
  private static org.nd4j.linalg.api.ndarray.INDArray transposed(Tensor t) {
    BufferTensor b = (BufferTensor) t;
    return Nd4j.create(
        b.slab().data(),
        new long[] {b.cols(), b.rows()},
        new long[] {1, b.cols()},
        b.offset() / Float.BYTES,
        'f');
  }
}
