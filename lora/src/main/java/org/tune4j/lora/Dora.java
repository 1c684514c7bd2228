package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ProjectionGroup;

/**
 * DoRA (Liu et al. 2024, section 4): with {@code c = m / ||W + s B A||} by output row, the norm
 * held constant in the backward pass (section 4.3), the output without bias is {@code c (W x + s B
 * A x)}; with dropout, PEFT's {@code W x + (c - 1) W d(x) + c s B A d(x)}. On top of other adapters
 * the output so far takes the place of {@code W x}, and {@code c} stays what it is, of the base's
 * own weights {@code W}: so PEFT applies several, and so they are merged. Where a part was taken
 * from the base weights (PiSSA, OLoRA), {@code W} is what is left of them.
 *
 * <p>On an embedding the magnitudes are of the columns of its table, {@code [entries, hidden]}, as
 * these are the outputs; dropout does not apply.
 */
public final class Dora extends PlainLora {
  private static final String MAGNITUDE = "lora_magnitude_vector";

  /** What a row of zeros is taken to have. */
  private static final double LEAST_SQUARED_NORM = 1e-30;

  /** For {@link java.util.ServiceLoader}. */
  public Dora() {}

  @Override
  public String name() {
    return "DoRA";
  }

  @Override
  Optional<String> field() {
    return Optional.of("use_dora");
  }

  @Override
  ImmutableSet<String> endings() {
    return ImmutableSet.<String>builder().addAll(super.endings()).add(MAGNITUDE).build();
  }

  @Override
  List<Declared> beside(Target t) {
    return List.of(Declared.of(t.projection(), MAGNITUDE, -1, t.projection().out()));
  }

  @Override
  Part on(LoraAdapter adapter, ProjectionGroup group, List<Target> targets) {
    return targets.get(0).embedding()
        ? new OnEmbedding(adapter, targets.get(0))
        : new OnGroup(adapter, group, targets);
  }

  private static float norm(double square) {
    return (float) Math.sqrt(Math.max(square, LEAST_SQUARED_NORM));
  }

  /** The magnitudes {@code m} of one module, and {@code c = m / norm}. */
  private static final class Magnitudes {
    final Weight weight; // [1, out]
    float[] norms;
    Tensor coefficients; // F32 [1, out]
    private int version = -1; // of the parameters that they are of
    private FrozenMatrix measured; // the weights that they are of

    Magnitudes(LoraAdapter adapter, Target t) {
      weight = adapter.weight(t.name() + "." + MAGNITUDE);
    }

    /** Computes the coefficients again if anything has changed. */
    void refresh(Engine e, FrozenMatrix base, Supplier<float[]> measure) {
      if (version == weight.in().version() && measured == base) {
        return;
      }
      norms = measure.get();
      float[] c = e.read(weight.exact());
      for (int j = 0; j < c.length; j++) {
        c[j] /= norms[j];
      }
      if (coefficients == null) {
        coefficients = e.persistent(1, c.length, DType.F32);
      }
      e.write(coefficients, c);
      version = weight.in().version();
      measured = base;
    }

    /**
     * Accumulates their gradient.
     *
     * @param d the gradient by the rescaled output
     * @param unscaled what was rescaled
     */
    void addGradient(Engine e, Tensor d, Tensor unscaled) {
      float[] dots = e.read(e.columnDots(d, unscaled));
      float[] gradient = e.read(weight.gradient());
      for (int j = 0; j < dots.length; j++) {
        gradient[j] += dots[j] / norms[j];
      }
      e.write(weight.gradient(), gradient);
    }

    void free() {
      if (coefficients != null) {
        weight.in().engine().free(coefficients);
        coefficients = null;
        version = -1;
      }
    }
  }

  /** Output before it is rescaled, and the coefficients of this step. */
  private record Rescaling(Tensor unscaled, Tensor c) {
    static Rescaling of(Engine e, Tensor unscaled, Magnitudes m) {
      return new Rescaling(GroupLora.copyOf(e, unscaled), GroupLora.copyOf(e, m.coefficients));
    }

    void release(Engine e) {
      e.release(unscaled);
      e.release(c);
    }
  }

  /** DoRA on the projections of one group. */
  private static final class OnGroup extends GroupLora {
    private final ImmutableList<Magnitudes> magnitudes; // by module
    private final double[][] squaredNorms; // of W's rows, by module; made when first needed

    OnGroup(LoraAdapter adapter, ProjectionGroup group, List<Target> targets) {
      super(adapter, group, targets);
      magnitudes =
          targets.stream()
              .map(t -> new Magnitudes(adapter, t))
              .collect(ImmutableList.toImmutableList());
      squaredNorms = new double[targets.size()][];
    }

    private static final class DoraState extends State {
      final List<Rescaling> rescaled = new ArrayList<>(); // compute type [n, out] by module
    }

    @Override
    State state() {
      return new DoraState();
    }

    @Override
    public boolean rescalesOutput() {
      return true;
    }

    @Override
    public void initialise(Function<Target, Factors> begin) {
      super.initialise(begin);
      for (int i = 0; i < magnitudes.size(); i++) {
        magnitudes.get(i).weight.set(rowNorms(adapter().model().engine(), i));
      }
    }

    @Override
    void apply(
        Engine e, State saved, int i, Tensor u, Tensor dropped, Tensor out, boolean recording) {
      DoraState state = (DoraState) saved;
      Module m = modules().get(i);
      Tensor b = m.b().compute();
      Tensor c = magnitudes.get(i).coefficients;
      if (dropped == null) {
        // y = c (y - bias + s U B') + bias
        Tensor bias = bias(e, m, 1);
        if (bias != null) {
          e.addColumns(out, bias(e, m, -1));
        }
        e.gemm(m.scale(), u, false, b, true, 1, out);
        if (recording) {
          state.rescaled.add(Rescaling.of(e, out, magnitudes.get(i)));
        }
        e.scaleColumns(out, c);
        if (bias != null) {
          e.addColumns(out, bias);
        }
      } else {
        Tensor base = product(e, i, dropped); // W d(x)
        Tensor t = copyOf(e, base);
        e.gemm(m.scale(), u, false, b, true, 1, t);
        if (recording) {
          state.rescaled.add(Rescaling.of(e, t, magnitudes.get(i)));
        }
        e.scaleColumns(t, c);
        e.scale(base, -1);
        e.add(t, out);
        e.add(base, out);
        e.release(t);
        e.release(base);
      }
    }

    private static Tensor bias(Engine e, Module m, float sign) {
      float[] bias = m.target().projection().bias();
      if (bias == null) {
        return null;
      }
      Tensor t = e.allocate(1, bias.length, DType.F32);
      e.write(t, bias);
      e.scale(t, sign);
      return t;
    }

    /** Returns {@code W x} of one member without its bias: {@code [n, out]}, contiguous. */
    private Tensor product(Engine e, int i, Tensor x) {
      Tensor own = wholeProduct(e, i, x);
      residual().ifPresent(r -> r.subtract(e, i, x, own));
      return own;
    }

    /** Returns the product with the weights of which nothing is taken. */
    private Tensor wholeProduct(Engine e, int i, Tensor x) {
      Module m = modules().get(i);
      Tensor all = e.linear(x, group().weights(), null);
      Tensor own = copyOf(e, columns(e, all, m));
      e.release(all);
      Tensor minus = bias(e, m, -1);
      if (minus != null) {
        e.addColumns(own, minus);
      }
      return own;
    }

    @Override
    public void rescaleGradient(Engine e, Object saved, Tensor x, Tensor dy) {
      DoraState state = (DoraState) saved;
      for (int i = 0; i < modules().size(); i++) {
        Tensor d = columns(e, dy, modules().get(i));
        Rescaling r = state.rescaled.get(i);
        if (trainable()) {
          magnitudes.get(i).addGradient(e, d, r.unscaled);
        }
        if (state.seed == 0) {
          e.scaleColumns(d, r.c);
        }
      }
    }

    @Override
    Tensor byUpdate(Engine e, State state, int i, Tensor d) {
      if (state.seed == 0) {
        return d; // scaled already
      }
      Tensor scaled = copyOf(e, d);
      e.scaleColumns(scaled, ((DoraState) state).rescaled.get(i).c);
      return scaled;
    }

    /** Through {@code (c - 1) W}. */
    @Override
    Tensor byDropped(Engine e, State state, int i, Tensor dy) {
      Module m = modules().get(i);
      Tensor all = e.allocate(dy.rows(), group().out(), e.computeType());
      e.fill(all, 0);
      Tensor own = columns(e, all, m);
      Tensor d = columns(e, dy, m);
      e.copy(d, own);
      e.scaleColumns(own, ((DoraState) state).rescaled.get(i).c);
      Tensor minus = copyOf(e, d);
      e.scale(minus, -1);
      e.add(minus, own);
      Tensor dx = e.linearBackward(all, group().weights());
      residual().ifPresent(r -> r.subtractBackward(e, i, own, dx));
      e.release(minus);
      e.release(all);
      return dx;
    }

    @Override
    public void backward(Engine e, Object saved, Tensor x, Tensor dy, Tensor dx) {
      super.backward(e, saved, x, dy, dx);
      ((DoraState) saved).rescaled.forEach(r -> r.release(e));
    }

    // ---- coefficients and norms

    @Override
    void prepare(Engine e) {
      for (int i = 0; i < magnitudes.size(); i++) {
        int module = i;
        magnitudes.get(i).refresh(e, group().weights(), () -> rowNorms(e, module));
      }
    }

    @Override
    public void free() {
      super.free();
      magnitudes.forEach(Magnitudes::free);
    }

    /**
     * Returns {@code ||W + s B A||} by row, of the base's own weights whatever is merged into them:
     * from {@code ||w||^2 + 2 s b.(A w) + s^2 b' (A A') b}, where the engine holds {@code W}, so
     * that the dense sum is not formed.
     */
    private float[] rowNorms(Engine e, int i) {
      Module m = modules().get(i);
      MatrixSource base = m.target().projection().source();
      if (group().merged()) {
        return norms(sum(i, base));
      }
      if (squaredNorms[i] == null) {
        squaredNorms[i] = squaredNorms(base);
      }
      Factors f = update(i);
      int r = f.rank();
      int in = base.cols();
      Tensor a = e.allocate(r, in, DType.F32);
      e.write(a, f.a());
      float[] wa = e.read(wholeProduct(e, i, e.cast(a, e.computeType()))); // [r, out]
      double[] aa = new double[r * r];
      for (int k = 0; k < r; k++) {
        for (int l = 0; l < r; l++) {
          for (int c = 0; c < in; c++) {
            aa[k * r + l] += (double) f.a()[k * in + c] * f.a()[l * in + c];
          }
        }
      }
      return norms(squaredNorms[i], m.scale(), f.b(), wa, aa);
    }

    private static double[] squaredNorms(MatrixSource w) {
      double[] sums = new double[w.rows()];
      float[] row = new float[w.cols()];
      for (int o = 0; o < sums.length; o++) {
        w.read(o, 1, row);
        sums[o] = (float) square(row, 0, row.length);
      }
      return sums;
    }

    @Override
    MatrixSource merged(int i, MatrixSource into) {
      Module m = modules().get(i);
      return new Rescaled(
          sum(i, into),
          sum(i, m.target().projection().source()),
          magnitudes.get(i).weight.values());
    }

    @Override
    public Optional<Factors> update(Target target) {
      return Optional.empty(); // magnitudes do not add up
    }
  }

  /** DoRA on an embedding. */
  private static final class OnEmbedding extends EmbeddingLora {
    private static final int BLOCK = 4096; // rows

    private final Magnitudes magnitudes;
    private double[] squaredNorms; // of W's columns; made when first needed

    OnEmbedding(LoraAdapter adapter, Target target) {
      super(adapter, target);
      magnitudes = new Magnitudes(adapter, target);
    }

    @Override
    public boolean rescalesRows() {
      return true;
    }

    @Override
    public void initialise(Function<Target, Factors> begin) {
      super.initialise(begin);
      magnitudes.weight.set(columnNorms(adapter().model().engine()));
    }

    @Override
    public Object forward(Engine e, int[] ids, Tensor x, boolean recording) {
      super.forward(e, ids, x, recording);
      magnitudes.refresh(e, target().group().weights(), () -> columnNorms(e));
      Rescaling state = recording ? Rescaling.of(e, x, magnitudes) : null;
      e.scaleColumns(x, magnitudes.coefficients);
      return state;
    }

    @Override
    public void backward(Engine e, Object saved, int[] ids, Tensor dx) {
      Rescaling state = (Rescaling) saved;
      if (trainable()) {
        magnitudes.addGradient(e, dx, state.unscaled);
      }
      e.scaleColumns(dx, state.c);
      if (trainable()) {
        super.backward(e, null, ids, dx);
      }
      state.release(e);
    }

    /**
     * Returns {@code ||W + s A' B'||} by column, of the base's own table whatever is merged into
     * it; like the norms of rows of a projection, by blocks of the table.
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
      return norms(squaredNorms, target().scale(), e.read(b().exact()), e.read(wa), exact);
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
        norms[h] = norm(sums[h]);
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
  }

  /**
   * Returns {@code ||w + s b A||} by output, from {@code ||w||^2 + 2 s b.(A w) + s^2 b' (A A') b}.
   *
   * @param squares {@code ||w||^2}
   * @param b {@code [out, r]}
   * @param wa {@code A w} of all outputs, {@code [r, out]}
   * @param aa {@code A A'}, {@code [r, r]}
   */
  private static float[] norms(double[] squares, double s, float[] b, float[] wa, double[] aa) {
    int out = squares.length;
    int r = b.length / out;
    float[] norms = new float[out];
    for (int o = 0; o < out; o++) {
      double sum = squares[o];
      for (int k = 0; k < r; k++) {
        double bk = b[o * r + k];
        sum += 2 * s * bk * wa[k * out + o];
        for (int l = 0; l < r; l++) {
          sum += s * s * bk * b[o * r + l] * aa[k * r + l];
        }
      }
      norms[o] = norm(sum);
    }
    return norms;
  }

  private static double square(float[] values, int from, int to) {
    double sum = 0;
    for (int i = from; i < to; i++) {
      sum += (double) values[i] * values[i];
    }
    return sum;
  }

  /** Returns the norms of the rows. */
  private static float[] norms(MatrixSource weight) {
    float[] norms = new float[weight.rows()];
    IntStream.range(0, norms.length)
        .parallel()
        .forEach(
            row -> {
              float[] values = new float[weight.cols()];
              weight.read(row, 1, values);
              norms[row] = norm(square(values, 0, values.length));
            });
    return norms;
  }

  /**
   * A sum with its rows rescaled, {@code c (into + s B A)}, where {@code c = m / ||base + s B A||}.
   * What it is merged into may hold other adapters; the norms are those of the base without them,
   * as in the forward pass (PEFT since 0.21).
   *
   * @param sum {@code into + s B A}
   * @param own {@code base + s B A}
   * @param magnitude {@code m}
   */
  private record Rescaled(MergedSource sum, MergedSource own, float[] magnitude)
      implements MatrixSource {
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
      int n = cols();
      float[] measured = values; // rows whose norms count
      if (!sum.into().equals(own.into())) {
        measured = new float[count * n];
        own.read(row, count, measured);
      }
      for (int r = 0; r < count; r++) {
        float c = magnitude[row + r] / norm(square(measured, r * n, (r + 1) * n));
        for (int i = r * n; i < (r + 1) * n; i++) {
          values[i] *= c;
        }
      }
    }
  }

  /** A sum with its columns rescaled. */
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
