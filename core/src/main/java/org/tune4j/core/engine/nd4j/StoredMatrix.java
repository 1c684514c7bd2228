package org.tune4j.core.engine.nd4j;

import static com.google.common.base.Preconditions.checkState;

import org.bytedeco.javacpp.BytePointer;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Tensor;

/**
 * A frozen weight, row-major {@code [out, in]}: one copy for all uses, in one of the {@linkplain
 * StoredForm forms}, with a row stride, and with scales if the form has them.
 */
public final class StoredMatrix implements FrozenMatrix {
  private static final int BLOCK_ELEMENTS = 1 << 20;

  private final BufferEngine engine;
  private final MatrixSource source;
  private final StoredForm form;
  private final int stride;
  private final BufferTensor storage; // all bytes as one row
  private final Tensor scales;
  private final Tensor bias;
  private boolean closed;

  StoredMatrix(
      BufferEngine engine, StoredForm form, int stride, MatrixSource source, float[] biasValues) {
    this.engine = engine;
    this.source = source;
    this.form = form;
    this.stride = stride;
    storage = engine.weights(Math.toIntExact(form.floats(out(), stride)));
    scales = form.scaled() ? engine.weights(out()) : null;
    float[] scaleValues = new float[form.scaled() ? out() : 0];
    int block = Math.min(out(), Math.max(1, BLOCK_ELEMENTS / Math.max(1, in())));
    float[] values = new float[block * in()];
    for (int r = 0; r < out(); r += block) {
      int n = Math.min(block, out() - r);
      source.read(r, n, values);
      if (form.scaled()) {
        round(r, n, values, scaleValues);
      } else {
        engine.write(engine.rows(weight(), r, n), values);
      }
    }
    if (scales != null) {
      engine.write(scales, scaleValues);
    }
    if (biasValues == null) {
      bias = null;
    } else {
      bias = engine.persistent(1, biasValues.length, DType.F32);
      engine.write(bias, biasValues);
    }
  }

  /** Stores rows as integers and sets their scales. */
  private void round(int row, int rows, float[] values, float[] scaleValues) {
    byte[] rounded = new byte[in()];
    for (int r = 0; r < rows; r++) {
      int from = r * in();
      float largest = 0;
      for (int c = 0; c < in(); c++) {
        largest = Math.max(largest, Math.abs(values[from + c]));
      }
      float inverse = largest == 0 ? 0 : 1 / (largest / 127);
      for (int c = 0; c < in(); c++) {
        rounded[c] = (byte) Math.max(-127, Math.min(127, Math.round(values[from + c] * inverse)));
      }
      scaleValues[row + r] = largest / 127;
      integers(row + r).put(rounded, 0, in());
    }
  }

  private BytePointer integers(int row) {
    return new BytePointer(new Address(address())).position((long) row * stride);
  }

  /** Returns rows, dequantised if necessary: F32 {@code [ids.length, in]}, in the arena. */
  Tensor rows(int[] ids) {
    if (!form.scaled()) {
      return engine.cast(engine.gatherRows(weight(), ids), DType.F32);
    }
    float[] scaleValues = engine.read(scales);
    float[] rows = new float[ids.length * in()];
    byte[] row = new byte[in()];
    for (int i = 0; i < ids.length; i++) {
      BufferEngine.checkRow(ids[i], out());
      integers(ids[i]).get(row, 0, in());
      for (int c = 0; c < in(); c++) {
        rows[i * in() + c] = row[c] * scaleValues[ids[i]];
      }
    }
    return engine.make(ids.length, in(), DType.F32, rows);
  }

  /** Returns the weight as a tensor {@code [out, in]}; only for forms without scales. */
  public Tensor weight() {
    checkState(!form.scaled(), "%s has scales", form);
    return new BufferTensor(
        storage.slab(), storage.offset(), out(), in(), stride, form.dtype(), null);
  }

  public StoredForm form() {
    return form;
  }

  /**
   * Returns the address of the first value; only valid for backends whose buffers are in host
   * memory.
   */
  public long address() {
    return storage.address();
  }

  /** Returns the distance between the starts of two rows, in elements. */
  public int stride() {
    return stride;
  }

  /** Returns the scale of each output channel: F32 {@code [1, out]}; null if the form has none. */
  public Tensor scales() {
    return scales;
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
      if (scales != null) {
        engine.freeWeights(scales);
      }
      if (bias != null) {
        engine.free(bias);
      }
    }
  }
}
