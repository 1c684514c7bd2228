package org.tune4j.testing;

import java.util.Random;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.Floats;

/** Minimal adapters, one that adds and one that rescales, for tests of engines and the tape. */
final class TestAdapters {
  private TestAdapters() {}

  /** Draws values that every compute type holds exactly. */
  private static void set(Engine engine, Parameters parameters, float mean, Random random) {
    float[] values = new float[parameters.size()];
    for (int i = 0; i < values.length; i++) {
      float value = (float) (mean + 0.5 * random.nextGaussian());
      values[i] = Floats.fromBf16(Floats.toBf16(value));
    }
    engine.write(parameters.flat(), values);
    parameters.changed();
  }

  /** Adds {@code dropout(x) A^T B^T}. */
  static final class LowRank implements ProjectionAdapter, AutoCloseable {
    final Parameters parameters;
    private final Parameters.Slot a;
    private final Parameters.Slot b;
    private final int rank;
    private final float dropout;
    boolean trainable = true;

    LowRank(Engine engine, int in, int out, int rank, float dropout, Random random) {
      this.rank = rank;
      this.dropout = dropout;
      Parameters.Builder builder = Parameters.builder(engine);
      a = builder.add("A", rank, in);
      b = builder.add("B", out, rank);
      parameters = builder.build(true);
      set(engine, parameters, 0, random);
    }

    private record State(Tensor input, Tensor u, long seed) {}

    @Override
    public boolean trainable() {
      return trainable;
    }

    @Override
    public Object forward(Engine e, Tensor x, Tensor y, long dropoutSeed, boolean recording) {
      boolean drops = dropout > 0 && dropoutSeed != 0;
      Tensor input = drops ? e.dropout(x, dropout, dropoutSeed) : x;
      Tensor u = e.allocate(x.rows(), rank, e.computeType());
      e.gemm(1, input, false, parameters.compute(a), true, 0, u);
      e.gemm(1, u, false, parameters.compute(b), true, 1, y);
      if (recording) {
        return new State(input, u, drops ? dropoutSeed : 0);
      }
      e.release(u);
      if (drops) {
        e.release(input);
      }
      return null;
    }

    @Override
    public void backward(Engine e, Object saved, Tensor x, Tensor dy, Tensor dx) {
      State state = (State) saved;
      Tensor du = e.allocate(x.rows(), rank, e.computeType());
      e.gemm(1, dy, false, parameters.compute(b), false, 0, du);
      if (trainable) {
        e.gemm(1, dy, true, state.u, false, 1, parameters.gradient(b));
        e.gemm(1, du, true, state.input, false, 1, parameters.gradient(a));
      }
      if (dx != null) {
        Tensor part = e.allocate(x.rows(), x.cols(), e.computeType());
        e.gemm(1, du, false, parameters.compute(a), false, 0, part);
        if (state.seed != 0) {
          Tensor kept = e.dropout(part, dropout, state.seed);
          e.release(part);
          part = kept;
        }
        e.add(part, dx);
        e.release(part);
      }
      e.release(du);
      e.release(state.u);
      if (state.seed != 0) {
        e.release(state.input);
      }
    }

    @Override
    public void close() {
      parameters.close();
    }
  }

  /** Multiplies each output column by a factor. */
  static final class ColumnScale implements ProjectionAdapter, AutoCloseable {
    final Parameters parameters;
    private final Parameters.Slot factors;

    ColumnScale(Engine engine, int out, Random random) {
      Parameters.Builder builder = Parameters.builder(engine);
      factors = builder.add("factors", 1, out);
      parameters = builder.build(true);
      set(engine, parameters, 1, random);
    }

    @Override
    public boolean trainable() {
      return true;
    }

    @Override
    public boolean rescalesOutput() {
      return true;
    }

    @Override
    public Object forward(Engine e, Tensor x, Tensor y, long dropoutSeed, boolean recording) {
      Tensor before = e.allocate(y.rows(), y.cols(), y.dtype());
      e.copy(y, before);
      e.scaleColumns(y, parameters.weight(factors));
      return before;
    }

    @Override
    public void rescaleGradient(Engine e, Object before, Tensor x, Tensor dy) {
      e.add(e.columnDots(dy, (Tensor) before), parameters.gradient(factors));
      e.scaleColumns(dy, parameters.weight(factors));
    }

    @Override
    public void backward(Engine e, Object before, Tensor x, Tensor dy, Tensor dx) {
      e.release((Tensor) before);
    }

    @Override
    public void close() {
      parameters.close();
    }
  }
}
