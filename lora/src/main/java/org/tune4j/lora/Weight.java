package org.tune4j.lora;

import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;

/**
 * A parameter of an adapter and the location of its values.
 *
 * @param declared name and shape
 * @param in the buffer that holds it
 * @param slot its location there
 */
record Weight(Declared declared, Parameters in, Parameters.Slot slot) {
  /** Returns the values as F32. */
  Tensor exact() {
    return in.weight(slot);
  }

  /** Returns the values in the compute type, for products. */
  Tensor compute() {
    return in.compute(slot);
  }

  /**
   * Returns {@code rows} rows in the compute type, starting here and continuing over neighbours.
   */
  Tensor compute(int rows) {
    return in.compute(slot, rows);
  }

  /** Returns the gradient as F32. */
  Tensor gradient() {
    return in.gradient(slot);
  }

  /** Returns {@code rows} rows of the gradient, starting here and continuing over neighbours. */
  Tensor gradient(int rows) {
    return in.gradient(slot, rows);
  }

  boolean frozen() {
    return declared.frozen();
  }

  /** Sets the values, row-major in PEFT's shape. */
  void set(float[] values) {
    in.engine()
        .write(
            exact(),
            declared.transposed()
                ? transpose(values, /* rows= */ slot.cols(), /* cols= */ slot.rows())
                : values);
  }

  /** Returns the values, row-major in PEFT's shape. */
  float[] values() {
    return read(exact());
  }

  /** Returns the gradient in the layout of {@link #values}. */
  float[] gradientValues() {
    return read(gradient());
  }

  private float[] read(Tensor t) {
    Engine engine = in.engine();
    engine.lock().lock();
    try {
      float[] values = engine.read(t);
      return declared.transposed() ? transpose(values, slot.rows(), slot.cols()) : values;
    } finally {
      engine.lock().unlock();
    }
  }

  static float[] transpose(float[] values, int rows, int cols) {
    float[] t = new float[values.length]; // [cols, rows]
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        t[c * rows + r] = values[r * cols + c];
      }
    }
    return t;
  }
}
