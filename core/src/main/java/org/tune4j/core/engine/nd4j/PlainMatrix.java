package org.tune4j.core.engine.nd4j;

import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Tensor;

/**
 * A frozen weight kept row-major, {@code [out, in]}, in the compute type: one copy for all uses.
 */
public final class PlainMatrix implements FrozenMatrix {
  private static final int BLOCK_ELEMENTS = 1 << 20;

  private final BufferEngine engine;
  private final Tensor storage;
  private final Tensor weight;
  private final Tensor bias;
  private final MatrixSource source;
  private boolean closed;

  PlainMatrix(BufferEngine engine, MatrixSource source, float[] biasValues) {
    this.engine = engine;
    this.source = source;
    int stride = engine.weightStride(source.cols());
    storage = engine.weights(source.rows(), stride, engine.computeType());
    weight = engine.columns(storage, 0, source.cols());
    int block = Math.min(source.rows(), Math.max(1, BLOCK_ELEMENTS / Math.max(1, source.cols())));
    float[] values = new float[block * source.cols()];
    for (int r = 0; r < source.rows(); r += block) {
      int n = Math.min(block, source.rows() - r);
      source.read(r, n, values);
      engine.write(engine.rows(weight, r, n), values);
    }
    if (biasValues == null) {
      bias = null;
    } else {
      bias = engine.persistent(1, biasValues.length, DType.F32);
      engine.write(bias, biasValues);
    }
  }

  /** Returns the weight: compute type {@code [out, in]}. */
  public Tensor weight() {
    return weight;
  }

  /** Returns the bias: F32 {@code [1, out]}, or null. */
  public Tensor bias() {
    return bias;
  }

  @Override
  public int out() {
    return source.rows();
  }

  @Override
  public int in() {
    return source.cols();
  }

  @Override
  public MatrixSource source() {
    return source;
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      engine.freeWeights(storage);
      if (bias != null) {
        engine.free(bias);
      }
    }
  }
}
