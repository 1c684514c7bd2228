package org.tune4j.core.engine.onednn;

import org.bytedeco.javacpp.BytePointer;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Tensor;

/**
 * A frozen weight in 8-bit integers, row-major {@code [out, in]}, with a scale for each output
 * channel: the largest absolute value of a row becomes 127 (symmetric, per channel; Jacob et al.
 * 2018, section 3).
 */
final class Int8Matrix implements FrozenMatrix {
  private static final int BLOCK_ELEMENTS = 1 << 20;
  private static final int ALIGNMENT = 64;

  private final OneDnnEngine engine;
  private final MatrixSource source;
  private final int stride;
  private final Tensor values;
  private final Tensor scales;
  private final Tensor bias;
  private boolean closed;

  Int8Matrix(OneDnnEngine engine, MatrixSource source, float[] biasValues) {
    this.engine = engine;
    this.source = source;
    int out = source.rows();
    int in = source.cols();
    // as OneDnnEngine.weightStride says, rows are kept off the same cache sets
    stride = in % 256 == 0 ? in + ALIGNMENT : in;
    values =
        engine.weights(
            1, Math.toIntExact(((long) out * stride + Float.BYTES - 1) / Float.BYTES), DType.F32);
    float[] scaleOf = new float[out];
    int block = Math.min(out, Math.max(1, BLOCK_ELEMENTS / in));
    float[] read = new float[block * in];
    byte[] rounded = new byte[in];
    BytePointer to = new BytePointer(new Dnnl.Address().at(OneDnnEngine.at(values)));
    for (int r = 0; r < out; r += block) {
      int n = Math.min(block, out - r);
      source.read(r, n, read);
      for (int i = 0; i < n; i++) {
        scaleOf[r + i] = round(read, i * in, rounded);
        to.position((long) (r + i) * stride).put(rounded, 0, in);
      }
    }
    scales = engine.weights(1, out, DType.F32);
    engine.write(scales, scaleOf);
    bias = biasValues == null ? null : engine.persistent(1, out, DType.F32);
    if (bias != null) {
      engine.write(bias, biasValues);
    }
  }

  /** Rounds a row and returns its scale. */
  private static float round(float[] values, int from, byte[] rounded) {
    float most = 0;
    for (int c = 0; c < rounded.length; c++) {
      most = Math.max(most, Math.abs(values[from + c]));
    }
    float scale = most / 127;
    float inverse = most == 0 ? 0 : 1 / scale;
    for (int c = 0; c < rounded.length; c++) {
      rounded[c] = (byte) Math.max(-127, Math.min(127, Math.round(values[from + c] * inverse)));
    }
    return scale;
  }

  /** Returns the address of the first value. */
  long address() {
    return OneDnnEngine.at(values);
  }

  /** Returns the distance between rows, in elements. */
  int stride() {
    return stride;
  }

  /** Returns the scale of each output channel: F32 {@code [1, out]}. */
  Tensor scales() {
    return scales;
  }

  /** Returns the bias: F32 {@code [1, out]}, or null. */
  Tensor bias() {
    return bias;
  }

  /** Writes a row's values to {@code into} from {@code at} on. */
  void read(int row, float scale, byte[] buffer, float[] into, int at) {
    new BytePointer(new Dnnl.Address().at(address()))
        .position((long) row * stride)
        .get(buffer, 0, in());
    for (int c = 0; c < in(); c++) {
      into[at + c] = buffer[c] * scale;
    }
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
      engine.freeWeights(values);
      engine.freeWeights(scales);
      if (bias != null) {
        engine.free(bias);
      }
    }
  }
}
