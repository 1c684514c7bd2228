package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ProjectionGroup;

/** {@link Dora} on an embedding. */
final class EmbeddingDora extends EmbeddingLora {
  private static final int BLOCK = 4096; // rows

  private final Magnitudes magnitudes;
  private double[] squaredNorms; // of W's columns; computed on first use

  EmbeddingDora(LoraAdapter adapter, Target target) {
    super(adapter, target);
    magnitudes = new Magnitudes(adapter, target);
  }

  @Override
  public boolean rescalesRows() {
    return true;
  }

  @Override
  public void initialise(Function<Target, Factors> initialValues) {
    super.initialise(initialValues);
    magnitudes.weight.set(columnNorms(adapter().model().engine()));
  }

  @Override
  public Object forward(Engine e, int[] ids, Tensor x, boolean recording) {
    super.forward(e, ids, x, recording);
    magnitudes.refresh(e, target().group().weights(), () -> columnNorms(e));
    Magnitudes.Rescaling state = recording ? Magnitudes.Rescaling.of(e, x, magnitudes) : null;
    e.scaleColumns(x, magnitudes.coefficients);
    return state;
  }

  @Override
  public void backward(Engine e, Object saved, int[] ids, Tensor dx) {
    Magnitudes.Rescaling state = (Magnitudes.Rescaling) saved;
    if (trainable()) {
      magnitudes.addGradient(e, dx, state.unscaled());
    }
    e.scaleColumns(dx, state.c());
    if (trainable()) {
      super.backward(e, null, ids, dx);
    }
    state.release(e);
  }

  /**
   * Returns {@code ||W + s A' B'||} for each column, with the base's own table even if others are
   * merged into it; computed like the norms of rows of a projection, in blocks of the table.
   */
  private float[] columnNorms(Engine e) {
    ProjectionGroup group = target().group();
    MatrixSource table = target().projection().source();
    if (group.merged()) {
      return columnNorms(sum(table));
    }
    int r = target().rank();
    int hidden = table.cols();
    boolean first = squaredNorms == null;
    if (first) {
      squaredNorms = new double[hidden];
    }
    Tensor wa = e.allocate(r, hidden, DType.F32); // A W
    e.fill(wa, 0);
    for (int from = 0; from < table.rows(); from += BLOCK) {
      int count = Math.min(BLOCK, table.rows() - from);
      Tensor rows = e.embed(group.weights(), IntStream.range(from, from + count).toArray());
      e.gemm(1, e.rows(a().exact(), from, count), true, rows, false, 1, wa);
      if (first) {
        float[] squares = e.read(e.columnDots(rows, rows));
        Arrays.setAll(squaredNorms, h -> squaredNorms[h] + squares[h]);
      }
      e.release(rows);
    }
    Tensor aa = e.allocate(r, r, DType.F32);
    e.gemm(1, a().exact(), true, a().exact(), false, 0, aa);
    float[] products = e.read(aa);
    double[] exact = new double[r * r];
    Arrays.setAll(exact, i -> products[i]);
    return Magnitudes.norms(squaredNorms, target().scale(), e.read(b().exact()), e.read(wa), exact);
  }

  private static float[] columnNorms(MatrixSource table) {
    double[] sums = new double[table.cols()];
    float[] row = new float[table.cols()];
    for (int i = 0; i < table.rows(); i++) {
      table.read(i, 1, row);
      for (int h = 0; h < row.length; h++) {
        sums[h] += (double) row[h] * row[h];
      }
    }
    float[] norms = new float[row.length];
    for (int h = 0; h < row.length; h++) {
      norms[h] = Magnitudes.norm(sums[h]);
    }
    return norms;
  }

  @Override
  public List<MatrixSource> merged(List<MatrixSource> sources) {
    float[] c = magnitudes.weight.values();
    float[] norms = columnNorms(sum(target().projection().source()));
    for (int h = 0; h < c.length; h++) {
      c[h] /= norms[h];
    }
    return ImmutableList.of(new RescaledColumns(sum(sources.get(0)), c));
  }

  @Override
  public Optional<Factors> update(Target t) {
    return Optional.empty();
  }

  @Override
  public void free() {
    magnitudes.free();
  }

  /** A table with rescaled columns. */
  private record RescaledColumns(MergedSource sum, float[] c) implements MatrixSource {
    @Override
    public int rows() {
      return sum.rows();
    }

    @Override
    public int cols() {
      return sum.cols();
    }

    @Override
    public void read(int row, int count, float[] values) {
      sum.read(row, count, values);
      for (int i = 0; i < count * c.length; i++) {
        values[i] *= c[i % c.length];
      }
    }
  }
}
