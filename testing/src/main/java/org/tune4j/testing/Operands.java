package org.tune4j.testing;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.Floats;

/**
 * Draws the operands of one try, each in a random layout: its own storage, a slice of rows, a block
 * of columns, both, or a piece of a flat persistent tensor. The surrounding storage is NaN, so that
 * reading it shows; it is checked for changes at the end, as are read-only operands.
 */
final class Operands {
  private record Frame(
      Tensor whole, int firstRow, int firstCol, Tensor inner, float[] before, boolean readOnly) {}

  final Engine engine;
  final Random random;
  private final List<Frame> frames = new ArrayList<>();
  private final List<Tensor> persistent = new ArrayList<>();

  Operands(Engine engine, long seed) {
    this.engine = engine;
    random = new Random(seed);
    // a step must not depend on the arena's previous content
    engine.fill(engine.allocate(1, 1 << 18, DType.F32), Float.NaN);
    engine.resetArena();
  }

  /** Returns the engine's compute type. */
  DType compute() {
    return engine.computeType();
  }

  /** Returns normally distributed values. */
  float[] normal(int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  /** Returns normally distributed values that the engine's weights can hold exactly. */
  float[] normalWeights(int count) {
    float[] values = normal(count);
    if (compute() == DType.BF16) {
      for (int i = 0; i < count; i++) {
        values[i] = Floats.fromBf16(Floats.toBf16(values[i]));
      }
    }
    return values;
  }

  /** Returns a read-only operand. */
  Tensor read(int rows, int cols, DType type) {
    return read(rows, cols, type, normal(rows * cols));
  }

  /** Returns a read-only operand with these values. */
  Tensor read(int rows, int cols, DType type, float[] values) {
    return frame(rows, cols, type, values, true);
  }

  /** Returns an operand that is modified in place. */
  Tensor changed(int rows, int cols, DType type) {
    return frame(rows, cols, type, normal(rows * cols), false);
  }

  /** Returns an operand that is set without being read, filled with NaN. */
  Tensor set(int rows, int cols, DType type) {
    float[] values = new float[rows * cols];
    java.util.Arrays.fill(values, Float.NaN);
    return frame(rows, cols, type, values, false);
  }

  /** Returns an F32 vector in its own storage, like weights of norms. */
  Tensor vector(int cols) {
    Tensor t = engine.persistent(1, cols, DType.F32);
    persistent.add(t);
    engine.write(t, normal(cols));
    return t;
  }

  private Tensor frame(int rows, int cols, DType type, float[] values, boolean readOnly) {
    int above = 0;
    int left = 0;
    int below = 0;
    int right = 0;
    Tensor whole;
    Tensor inner;
    if (random.nextInt(5) == 0) {
      int before = random.nextInt(4);
      whole = engine.persistent(1, rows * cols + before + random.nextInt(4), type);
      persistent.add(whole);
      engine.fill(whole, Float.NaN);
      left = before;
      inner = engine.view(whole, before, rows, cols);
    } else {
      if (random.nextBoolean()) {
        above = random.nextInt(4);
        below = random.nextInt(4);
      }
      if (random.nextBoolean()) {
        left = random.nextInt(6);
        right = random.nextInt(6);
      }
      whole = engine.allocate(above + rows + below, left + cols + right, type);
      engine.fill(whole, Float.NaN);
      inner = engine.columns(engine.rows(whole, above, rows), left, cols);
    }
    engine.write(inner, values);
    frames.add(new Frame(whole, above, left, inner, engine.read(whole), readOnly));
    return inner;
  }

  /** Returns the values of a tensor. */
  double[] values(Tensor t) {
    return Reference.doubles(engine.read(t));
  }

  /** Checks that nothing else was changed, and frees the operands. */
  void finish() {
    for (Frame f : frames) {
      float[] after = engine.read(f.whole);
      boolean flat = f.whole.rows() == 1;
      for (int i = 0; i < after.length; i++) {
        int row = i / f.whole.cols() - f.firstRow;
        int col = i % f.whole.cols() - f.firstCol;
        boolean inside =
            flat
                ? col >= 0 && col < f.inner.size()
                : row >= 0 && row < f.inner.rows() && col >= 0 && col < f.inner.cols();
        if (f.readOnly || !inside) {
          assertThat(Float.floatToIntBits(after[i]))
              .as("element %s of %s around %s", i, f.whole, f.inner)
              .isEqualTo(Float.floatToIntBits(f.before[i]));
        }
      }
    }
    persistent.forEach(engine::free);
  }

  /**
   * Checks that the error is within {@code tolerance} times {@code magnitude}, the size of the
   * terms that each value is a sum of, both in norm and for each element.
   */
  static void assertClose(
      String what, float[] actual, double[] expected, double[] magnitude, double tolerance) {
    double typical =
        assertCloseInNorm(what, actual, expected, magnitude, tolerance)
            / Math.sqrt(Math.max(1, actual.length));
    for (int i = 0; i < actual.length; i++) {
      if (!(Math.abs(actual[i] - expected[i])
          <= tolerance * (Math.abs(magnitude[i]) + typical) + 1e-36)) {
        throw new AssertionError(
            "%s: element %d is %s, expected %s".formatted(what, i, actual[i], expected[i]));
      }
    }
  }

  /** Checks only the norm of the error, and returns the norm of the magnitudes. */
  static double assertCloseInNorm(
      String what, float[] actual, double[] expected, double[] magnitude, double tolerance) {
    assertThat(actual).as(what).hasSameSizeAs(expected);
    double error = 0;
    double size = 0;
    for (int i = 0; i < actual.length; i++) {
      error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
      size += magnitude[i] * magnitude[i];
    }
    // there is no relative precision below the smallest normal number
    assertThat(Math.sqrt(error))
        .as("%s: norm of the error, of values of norm %s", what, Math.sqrt(size))
        .isLessThanOrEqualTo(tolerance * Math.sqrt(size) + 1e-36);
    return Math.sqrt(size);
  }

  /**
   * Checks a result of many operations. With coarse rounding, single elements may be far off, but a
   * wrong formula shows in the norm.
   */
  static void assertCloseThroughout(
      String what, float[] actual, double[] expected, Precision precision) {
    switch (precision) {
      case F32 -> assertClose(what, actual, expected, expected, 1e-4);
      case BF16 -> assertCloseInNorm(what, actual, expected, expected, 0.15);
      case INT8 -> assertCloseInNorm(what, actual, expected, expected, 0.4);
    }
  }
}
