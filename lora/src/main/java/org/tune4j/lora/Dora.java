package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ProjectionGroup;

/**
 * DoRA (Liu et al. 2024, section 4): with {@code c = m / ||W + s B A||} for each output row, and
 * the norm treated as a constant in the backward pass (section 4.3), the output without bias is
 * {@code c (W x + s B A x)}; with dropout, as in PEFT, {@code W x + (c - 1) W d(x) + c s B A d(x)}.
 * On top of other adapters, the output so far replaces {@code W x}, but {@code c} is still computed
 * from the base's own weights {@code W}: this is how PEFT applies several, and how they are merged.
 * If a part was moved out of the base weights (PiSSA, OLoRA), {@code W} is the remainder.
 *
 * <p>For an embedding, magnitudes belong to the columns of its table, {@code [entries, hidden]}, as
 * these are the outputs; dropout does not apply.
 */
public final class Dora extends PlainLora {
  static final String MAGNITUDE = "lora_magnitude_vector";

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
  List<Declared> additional(Target t) {
    return List.of(Declared.of(t.projection(), MAGNITUDE, -1, t.projection().out()));
  }

  @Override
  Part on(LoraAdapter adapter, ProjectionGroup group, List<Target> targets) {
    return targets.get(0).embedding()
        ? new EmbeddingDora(adapter, targets.get(0))
        : new OnGroup(adapter, group, targets);
  }

  /** DoRA on the projections of one group. */
  private static final class OnGroup extends GroupLora {
    private final ImmutableList<Magnitudes> magnitudes; // by module
    private final double[][] squaredNorms; // of W's rows, by module; computed on first use

    OnGroup(LoraAdapter adapter, ProjectionGroup group, List<Target> targets) {
      super(adapter, group, targets);
      magnitudes =
          targets.stream()
              .map(t -> new Magnitudes(adapter, t))
              .collect(ImmutableList.toImmutableList());
      squaredNorms = new double[targets.size()][];
    }

    private static final class DoraState extends State {
      final List<Magnitudes.Rescaling> rescaled =
          new ArrayList<>(); // compute type [n, out] by module
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
    public void initialise(Function<Target, Factors> initialValues) {
      super.initialise(initialValues);
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
          state.rescaled.add(Magnitudes.Rescaling.of(e, out, magnitudes.get(i)));
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
          state.rescaled.add(Magnitudes.Rescaling.of(e, t, magnitudes.get(i)));
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

    /** Returns the product with the whole weights, without subtracting moved parts. */
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
        Magnitudes.Rescaling r = state.rescaled.get(i);
        if (trainable()) {
          magnitudes.get(i).addGradient(e, d, r.unscaled());
        }
        if (state.seed == 0) {
          e.scaleColumns(d, r.c());
        }
      }
    }

    @Override
    Tensor updateGradient(Engine e, State state, int i, Tensor d) {
      if (state.seed == 0) {
        return d; // already scaled
      }
      Tensor scaled = copyOf(e, d);
      e.scaleColumns(scaled, ((DoraState) state).rescaled.get(i).c());
      return scaled;
    }

    /** The path through {@code (c - 1) W}. */
    @Override
    Tensor droppedInputGradient(Engine e, State state, int i, Tensor dy) {
      Module m = modules().get(i);
      Tensor all = e.allocate(dy.rows(), group().out(), e.computeType());
      e.fill(all, 0);
      Tensor own = columns(e, all, m);
      Tensor d = columns(e, dy, m);
      e.copy(d, own);
      e.scaleColumns(own, ((DoraState) state).rescaled.get(i).c());
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
     * Returns {@code ||W + s B A||} for each row, with the base's own weights even if others are
     * merged into them. Computed from {@code ||w||^2 + 2 s b.(A w) + s^2 b' (A A') b} if the engine
     * holds {@code W}, to avoid the dense sum.
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
      Tensor a = m.a().exact();
      if (residual().isPresent()) { // f then includes more than the adapter's own factors
        a = e.allocate(r, in, DType.F32);
        e.write(a, f.a());
      }
      float[] wa = e.read(wholeProduct(e, i, e.cast(a, e.computeType()))); // [r, out]
      double[] aa = new double[r * r];
      for (int k = 0; k < r; k++) {
        for (int l = 0; l < r; l++) {
          for (int c = 0; c < in; c++) {
            aa[k * r + l] += (double) f.a()[k * in + c] * f.a()[l * in + c];
          }
        }
      }
      return Magnitudes.norms(squaredNorms[i], m.scale(), f.b(), wa, aa);
    }

    private static double[] squaredNorms(MatrixSource w) {
      double[] sums = new double[w.rows()];
      float[] row = new float[w.cols()];
      for (int o = 0; o < sums.length; o++) {
        w.read(o, 1, row);
        sums[o] = (float) Magnitudes.square(row, 0, row.length);
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

  private static float[] norms(MatrixSource weight) {
    float[] norms = new float[weight.rows()];
    IntStream.range(0, norms.length)
        .parallel()
        .forEach(
            row -> {
              float[] values = new float[weight.cols()];
              weight.read(row, 1, values);
              norms[row] = Magnitudes.norm(Magnitudes.square(values, 0, values.length));
            });
    return norms;
  }

  /**
   * A weight with rescaled rows, {@code c (into + s B A)}, where {@code c = m / ||base + s B A||}.
   * Other adapters may be merged into {@code into}; the norms are those of the base without them,
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
      float[] measured = values; // rows to take the norms of
      if (!sum.into().equals(own.into())) {
        measured = new float[count * n];
        own.read(row, count, measured);
      }
      for (int r = 0; r < count; r++) {
        float c =
            magnitude[row + r] / Magnitudes.norm(Magnitudes.square(measured, r * n, (r + 1) * n));
        for (int i = r * n; i < (r + 1) * n; i++) {
          values[i] *= c;
        }
      }
    }
  }
}
