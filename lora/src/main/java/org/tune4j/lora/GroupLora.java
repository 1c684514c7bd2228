package org.tune4j.lora;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.List;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ProjectionGroup;
import org.tune4j.lora.LoraAdapter.Module;

/**
 * LoRA on the projections of one group.
 *
 * <p>Without dropout all members share their input, so {@code U = x Acat'} is one product over the
 * stacked A's, and so are {@code dA = dU' x} and {@code dx += dU Acat}. With dropout every member
 * has a mask of its own, as in PEFT.
 *
 * <p>DoRA (Liu et al. 2024, section 4): with {@code c = m / ||W + s B A||} by output row, the norm
 * held constant in the backward pass (section 4.3), the output without bias is {@code c (W x + s B
 * A x)}; with dropout, PEFT's {@code W x + (c - 1) W d(x) + c s B A d(x)}. On top of other adapters
 * the output so far takes the place of {@code W x}, and {@code c} stays what it is, of the base's
 * own weights {@code W}: so PEFT applies several, and so {@link MergedSource} merges them.
 */
final class GroupLora implements ProjectionAdapter {
  private final LoraAdapter adapter;
  private final ProjectionGroup group;
  private final ImmutableList<Module> modules;
  private final int rankSum;
  private final float[][] squaredNorms; // of W's rows, by module; made when first needed
  private Tensor[] coefficients; // F32 [1, out] by module: c
  private float[][] norms;
  private int coefficientsVersion = -1;
  private FrozenMatrix measured; // the weights that the coefficients were made beside

  GroupLora(LoraAdapter adapter, ProjectionGroup group, List<Module> modules) {
    this.adapter = adapter;
    this.group = group;
    this.modules = ImmutableList.copyOf(modules);
    rankSum = modules.stream().mapToInt(Module::rank).sum();
    squaredNorms = new float[modules.size()][];
  }

  ImmutableList<Module> modules() {
    return modules;
  }

  private Parameters parameters() {
    return adapter.parameters();
  }

  private boolean dora() {
    return adapter.config().dora();
  }

  @Override
  public boolean trainable() {
    return adapter.trainable();
  }

  @Override
  public boolean rescalesOutput() {
    return dora();
  }

  private static final class State {
    Tensor u; // compute type [n, rankSum]
    long seed; // of dropout; 0: none
    final List<Tensor> unscaled = new ArrayList<>(); // DoRA: compute type [n, out] by module
    final List<Tensor> scales = new ArrayList<>(); // DoRA: the coefficients of this step
  }

  private Tensor stackedA() {
    return parameters().compute(modules.get(0).a(), rankSum);
  }

  private Tensor output(Engine e, Tensor y, Module m) {
    return e.columns(y, group.column(m.member()), m.projection().out());
  }

  private static long memberSeed(long seed, int member) {
    return seed + 0xD1342543DE82EF95L * (member + 1);
  }

  @Override
  public Object forward(Engine e, Tensor x, Tensor y, long dropoutSeed, boolean recording) {
    State state = new State();
    float p = (float) adapter.config().dropout();
    state.seed = p > 0 && trainable() ? dropoutSeed : 0;
    state.u = e.allocate(x.rows(), rankSum, e.computeType());
    if (state.seed == 0) {
      e.gemm(1, x, false, stackedA(), true, 0, state.u); // [n, rankSum]
    }
    if (dora()) {
      refreshCoefficients(e);
    }
    int column = 0;
    for (int i = 0; i < modules.size(); i++) {
      Module m = modules.get(i);
      Tensor u = e.columns(state.u, column, m.rank()); // [n, r]
      Tensor out = output(e, y, m); // [n, out]
      Tensor b = parameters().compute(m.b());
      Tensor dropped = null;
      if (state.seed != 0) {
        dropped = e.dropout(x, p, memberSeed(state.seed, i));
        e.gemm(1, dropped, false, parameters().compute(m.a()), true, 0, u);
      }
      if (!dora()) {
        e.gemm(m.scale(), u, false, b, true, 1, out);
      } else {
        Tensor c = coefficients[i];
        Tensor bias = bias(e, m, 1);
        if (dropped == null) {
          // y = c (y - bias + s U B') + bias
          if (bias != null) {
            e.addColumns(out, bias(e, m, -1));
          }
          e.gemm(m.scale(), u, false, b, true, 1, out);
          if (recording) {
            state.unscaled.add(copyOf(e, out));
            state.scales.add(copyOf(e, c));
          }
          e.scaleColumns(out, c);
          if (bias != null) {
            e.addColumns(out, bias);
          }
        } else {
          Tensor base = withoutBias(e, m, dropped); // W d(x)
          Tensor t = copyOf(e, base);
          e.gemm(m.scale(), u, false, b, true, 1, t);
          if (recording) {
            state.unscaled.add(copyOf(e, t));
            state.scales.add(copyOf(e, c));
          }
          e.scaleColumns(t, c);
          e.scale(base, -1);
          e.add(t, out);
          e.add(base, out);
          e.release(t);
          e.release(base);
        }
      }
      if (dropped != null) {
        e.release(dropped);
      }
      column += m.rank();
    }
    if (!recording) {
      e.release(state.u);
      return null;
    }
    return state;
  }

  private static Tensor copyOf(Engine e, Tensor t) {
    Tensor copy = e.allocate(t.rows(), t.cols(), t.dtype());
    e.copy(t, copy);
    return copy;
  }

  private static Tensor bias(Engine e, Module m, float sign) {
    float[] bias = m.projection().bias();
    if (bias == null) {
      return null;
    }
    Tensor t = e.allocate(1, bias.length, DType.F32);
    e.write(t, bias);
    e.scale(t, sign);
    return t;
  }

  /** Returns {@code W x} of one member: {@code [n, out]}, contiguous. */
  private Tensor withoutBias(Engine e, Module m, Tensor x) {
    Tensor all = e.linear(x, group.weights(), null);
    Tensor own = copyOf(e, output(e, all, m));
    e.release(all);
    Tensor minus = bias(e, m, -1);
    if (minus != null) {
      e.addColumns(own, minus);
    }
    return own;
  }

  @Override
  public void rescaleGradient(Engine e, Object saved, Tensor x, Tensor dy) {
    State state = (State) saved;
    for (int i = 0; i < modules.size(); i++) {
      Module m = modules.get(i);
      Tensor d = output(e, dy, m);
      if (trainable()) {
        float[] dots = e.read(e.columnDots(d, state.unscaled.get(i)));
        float[] gradient = e.read(parameters().gradient(m.magnitude()));
        for (int j = 0; j < dots.length; j++) {
          gradient[j] += dots[j] / norms[i][j];
        }
        e.write(parameters().gradient(m.magnitude()), gradient);
      }
      if (state.seed == 0) {
        e.scaleColumns(d, state.scales.get(i));
      }
    }
  }

  @Override
  public void backward(Engine e, Object saved, Tensor x, Tensor dy, Tensor dx) {
    State state = (State) saved;
    float p = (float) adapter.config().dropout();
    Tensor du = e.allocate(x.rows(), rankSum, e.computeType());
    int column = 0;
    for (int i = 0; i < modules.size(); i++) {
      Module m = modules.get(i);
      Tensor d = output(e, dy, m); // [n, out]
      if (dora() && state.seed != 0) {
        Tensor scaled = copyOf(e, d);
        e.scaleColumns(scaled, state.scales.get(i));
        d = scaled;
      }
      Tensor dui = e.columns(du, column, m.rank()); // [n, r]
      e.gemm(m.scale(), d, false, parameters().compute(m.b()), false, 0, dui);
      if (trainable()) {
        Tensor u = e.columns(state.u, column, m.rank());
        e.gemm(m.scale(), d, true, u, false, 1, parameters().gradient(m.b()));
      }
      if (state.seed != 0) {
        Tensor dropped = e.dropout(x, p, memberSeed(state.seed, i));
        if (trainable()) {
          e.gemm(1, dui, true, dropped, false, 1, parameters().gradient(m.a()));
        }
        e.release(dropped);
        if (dx != null) {
          Tensor dDropped = throughBase(e, state, i, m, dy);
          float beta = dDropped == null ? 0 : 1;
          if (dDropped == null) {
            dDropped = e.allocate(x.rows(), x.cols(), e.computeType());
          }
          e.gemm(1, dui, false, parameters().compute(m.a()), false, beta, dDropped);
          Tensor masked = e.dropout(dDropped, p, memberSeed(state.seed, i));
          e.add(masked, dx);
          e.release(masked);
          e.release(dDropped);
        }
      }
      column += m.rank();
    }
    if (state.seed == 0) {
      if (trainable()) {
        e.gemm(1, du, true, x, false, 1, parameters().gradient(modules.get(0).a(), rankSum));
      }
      if (dx != null) {
        e.gemm(1, du, false, stackedA(), false, 1, dx);
      }
    }
    e.release(du);
    e.release(state.u);
    state.unscaled.forEach(e::release);
    state.scales.forEach(e::release);
  }

  /**
   * Returns DoRA's gradient by the dropped input through {@code (c - 1) W}, or null for plain LoRA.
   */
  private Tensor throughBase(Engine e, State state, int i, Module m, Tensor dy) {
    if (!dora()) {
      return null;
    }
    Tensor all = e.allocate(dy.rows(), group.out(), e.computeType());
    e.fill(all, 0);
    Tensor own = output(e, all, m);
    Tensor d = output(e, dy, m);
    e.copy(d, own);
    e.scaleColumns(own, state.scales.get(i));
    Tensor minus = copyOf(e, d);
    e.scale(minus, -1);
    e.add(minus, own);
    Tensor dx = e.linearBackward(all, group.weights());
    e.release(minus);
    e.release(all);
    return dx;
  }

  // ---- DoRA's norms

  void initialiseMagnitudes() {
    for (int i = 0; i < modules.size(); i++) {
      adapter.set(modules.get(i).magnitude(), rowNorms(adapter.model().engine(), i));
    }
  }

  private void refreshCoefficients(Engine e) {
    if (coefficientsVersion == parameters().version() && measured == group.weights()) {
      return;
    }
    if (coefficients == null) {
      coefficients = new Tensor[modules.size()];
      norms = new float[modules.size()][];
    }
    for (int i = 0; i < modules.size(); i++) {
      Module m = modules.get(i);
      norms[i] = rowNorms(e, i);
      float[] c = e.read(parameters().weight(m.magnitude()));
      for (int j = 0; j < c.length; j++) {
        c[j] /= norms[i][j];
      }
      if (coefficients[i] == null) {
        coefficients[i] = e.persistent(1, c.length, DType.F32);
      }
      e.write(coefficients[i], c);
    }
    coefficientsVersion = parameters().version();
    measured = group.weights();
  }

  void free(Engine e) {
    if (coefficients != null) {
      for (Tensor t : coefficients) {
        e.free(t);
      }
      coefficients = null;
      coefficientsVersion = -1;
    }
  }

  /**
   * Returns {@code ||W + s B A||} by row, of the base's own weights whatever is merged into them:
   * from {@code ||w||^2 + 2 s b.(A w) + s^2 b' (A A') b}, where the engine holds {@code W}, so that
   * the dense sum is not formed.
   */
  private float[] rowNorms(Engine e, int i) {
    Module m = modules.get(i);
    if (group.merged()) {
      return adapter.merge(m, m.projection().source()).norms();
    }
    int r = m.rank();
    int out = m.projection().out();
    int in = m.projection().in();
    if (squaredNorms[i] == null) {
      squaredNorms[i] = squaredRowNorms(m.projection().source());
    }
    float[] a = e.read(parameters().weight(m.a()));
    float[] b = e.read(parameters().weight(m.b()));
    float[] wa =
        e.read(withoutBias(e, m, e.cast(parameters().weight(m.a()), e.computeType()))); // [r, out]
    double[] aa = new double[r * r];
    for (int k = 0; k < r; k++) {
      for (int l = 0; l < r; l++) {
        for (int c = 0; c < in; c++) {
          aa[k * r + l] += (double) a[k * in + c] * a[l * in + c];
        }
      }
    }
    double s = m.scale();
    float[] norms = new float[out];
    for (int o = 0; o < out; o++) {
      double sum = squaredNorms[i][o];
      for (int k = 0; k < r; k++) {
        double bk = b[o * r + k];
        sum += 2 * s * bk * wa[k * out + o];
        for (int l = 0; l < r; l++) {
          sum += s * s * bk * b[o * r + l] * aa[k * r + l];
        }
      }
      norms[o] = (float) Math.sqrt(Math.max(sum, MergedSource.LEAST_SQUARED_NORM));
    }
    return norms;
  }

  private static float[] squaredRowNorms(MatrixSource w) {
    float[] sums = new float[w.rows()];
    float[] row = new float[w.cols()];
    for (int o = 0; o < sums.length; o++) {
      w.read(o, 1, row);
      double sum = 0;
      for (float v : row) {
        sum += (double) v * v;
      }
      sums[o] = (float) sum;
    }
    return sums;
  }
}
