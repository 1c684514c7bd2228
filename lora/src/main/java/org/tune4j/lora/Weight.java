package org.tune4j.lora;

import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Tensor;

/**
 * A parameter of an adapter, and where its values are.
 *
 * @param declared name and shape
 * @param in the parameters that it is one of
 * @param slot its place there
 */
record Weight(Declared declared, Parameters in, Parameters.Slot slot) {
  /** Returns the values: F32. */
  Tensor exact() {
    return in.weight(slot);
  }

  /** Returns the values for products: compute type. */
  Tensor compute() {
    return in.compute(slot);
  }

  /** Returns {@code rows} rows from it on, over its neighbours. */
  Tensor compute(int rows) {
    return in.compute(slot, rows);
  }

  /** Returns the gradient: F32. */
  Tensor gradient() {
    return in.gradient(slot);
  }

  /** Returns {@code rows} rows of the gradient from it on, over its neighbours. */
  Tensor gradient(int rows) {
    return in.gradient(slot, rows);
  }

  boolean frozen() {
    return declared.frozen();
  }

  /** Sets the values, row-major in the shape that PEFT gives it. */
  void set(float[] values) {
    in.engine()
        .write(
            exact(),
            declared.transposed()
                ? transpose(values, /* rows= */ slot.cols(), /* cols= */ slot.rows())
                : values);
  }

  /** Returns the values, row-major in the shape that PEFT gives it. */
  float[] values() {
    return read(exact());
  }

  /** Returns the gradient like {@link #values}. */
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
