package org.tune4j.testing;

import com.google.common.primitives.Doubles;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.Floats;

/**
 * A network of two different layers that uses every operation of {@link Tape}, with stacked and
 * parallel adapters of both kinds on its products; also implemented in float64.
 */
final class TestNetwork implements AutoCloseable {
  private static final int HIDDEN = 6;
  private static final int FEATURES = 5;
  private static final int VOCABULARY = 13;
  private static final float EPS = 1e-5f;

  /** A product with its adapters. */
  private record Site(
      FrozenMatrix weights, double[] values, double[] bias, List<ProjectionAdapter.Slice> slices) {}

  /** A parameter vector of a norm. */
  private record Vector(Tensor tensor, double[] values) {}

  private record Layer(
      Vector norm1, Vector norm1Bias, Site qkv, Site out, Vector norm2, Site up, Site down) {}

  private final Engine engine;
  private final Random random;
  private final int n;
  private final int[] ids;
  private final int[] positions;
  private final Spans spans;
  private final int[] lossRows;
  private final int[] targets;
  private final float[] weights;
  private final RopeTable rope;
  private final AttentionShape[] shapes = {
    new AttentionShape(2, 1, 4, 0.5f, 0), new AttentionShape(2, 2, 4, 0.4f, 2)
  };
  private final Site tokens;
  private final Site table;
  private final List<Layer> layers = new ArrayList<>();
  private final Vector queryNorm;
  private final Vector keyNorm;
  private final Vector finalNorm;
  private final List<AutoCloseable> owned = new ArrayList<>();

  /** The adapters' parameters, in the order of {@link #losses(double[])}. */
  final List<Parameters> parameters = new ArrayList<>();

  /**
   * Draws a network.
   *
   * @param n rows of its batch, at least 2
   * @param firstAdapted the lowest layer that has adapters
   */
  TestNetwork(Engine engine, int n, float dropout, int firstAdapted, Random random) {
    this.engine = engine;
    this.random = random;
    this.n = n;
    ids = random.ints(n, 0, VOCABULARY).toArray();
    int first = 1 + random.nextInt(n - 1); // rows of the first segment
    positions = new int[n];
    for (int i = 0; i < n; i++) {
      positions[i] = i < first ? i : i - first;
    }
    spans = Spans.causal(new int[] {0, first, n});
    lossRows = random.ints(0, n).distinct().limit(1 + random.nextInt(n)).sorted().toArray();
    targets = random.ints(lossRows.length, 0, VOCABULARY).toArray();
    weights = new float[targets.length];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = (float) random.nextGaussian();
    }
    rope = EngineContract.ropeTable(n, 2);
    tokens = site(VOCABULARY, HIDDEN, false);
    table = site(n, HIDDEN, false);
    queryNorm = vector(4);
    keyNorm = vector(4);
    finalNorm = vector(HIDDEN);
    for (int l = 0; l < 2; l++) {
      AttentionShape shape = shapes[l];
      Site qkv = projection(shape.queryCols() + 2 * shape.kvCols(), HIDDEN, true);
      Site out = projection(HIDDEN, shape.queryCols(), l == 1);
      Site up = projection(l == 0 ? 2 * FEATURES : FEATURES, HIDDEN, l == 1);
      Site down = projection(HIDDEN, FEATURES, true);
      if (l >= firstAdapted) {
        lowRank(qkv, 0, first, dropout);
        lowRank(qkv, first, n - first, dropout);
        rescale(out, 0, n);
        lowRank(out, 0, first, dropout);
        lowRank(up, 0, n, dropout);
        lowRank(down, first, n - first, dropout);
        rescale(down, first, n - first);
      }
      layers.add(new Layer(vector(HIDDEN), vector(HIDDEN), qkv, out, vector(HIDDEN), up, down));
    }
  }

  private Site projection(int out, int in, boolean biased) {
    return site(out, in, biased);
  }

  private float[] normal(int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = Floats.fromBf16(Floats.toBf16((float) (0.6 * random.nextGaussian())));
    }
    return values;
  }

  private Site site(int out, int in, boolean biased) {
    float[] w = normal(out * in);
    float[] bias = biased ? normal(out) : null;
    if (engine.precision() == Precision.INT8) {
      roundTo8Bits(w, in);
    }
    FrozenMatrix frozen = engine.freeze(MatrixSource.of(out, in, w), bias);
    owned.add(frozen);
    return new Site(
        frozen, Reference.doubles(w), biased ? Reference.doubles(bias) : null, new ArrayList<>());
  }

  private Vector vector(int cols) {
    Tensor t = engine.persistent(1, cols, DType.F32);
    float[] values = normal(cols);
    engine.write(t, values);
    owned.add(() -> engine.free(t));
    return new Vector(t, Reference.doubles(values));
  }

  private void lowRank(Site site, int from, int count, float dropout) {
    TestAdapters.LowRank adapter =
        new TestAdapters.LowRank(engine, site.weights.in(), site.weights.out(), 2, dropout, random);
    site.slices.add(new ProjectionAdapter.Slice(from, count, adapter));
    parameters.add(adapter.parameters);
    owned.add(adapter);
  }

  private void rescale(Site site, int from, int count) {
    TestAdapters.ColumnScale adapter =
        new TestAdapters.ColumnScale(engine, site.weights.out(), random);
    site.slices.add(new ProjectionAdapter.Slice(from, count, adapter));
    parameters.add(adapter.parameters);
    owned.add(adapter);
  }

  /** Returns the weights of the losses in the sum that the tape differentiates. */
  double[] lossWeights() {
    return Reference.doubles(weights);
  }

  /** Returns the values of all parameters. */
  double[] values() {
    return Doubles.concat(
        parameters.stream()
            .map(p -> Reference.doubles(engine.read(p.flat())))
            .toArray(double[][]::new));
  }

  /**
   * Runs forward and backward from zeroed gradients and returns the gradients of all parameters.
   */
  float[] gradients(Tape tape) {
    parameters.forEach(Parameters::zeroGradients);
    losses(tape);
    tape.backward();
    float[] gradients =
        com.google.common.primitives.Floats.concat(
            parameters.stream().map(p -> engine.read(p.flatGradients())).toArray(float[][]::new));
    engine.resetArena();
    return gradients;
  }

  /** Runs the forward pass and returns the loss of each row with a target. */
  float[] losses(Tape tape) {
    Tensor x =
        tape.embed(
            new Tape.Lookup(tokens.weights, ids, List.of()),
            new Tape.Lookup(table.weights, positions, List.of()));
    for (int l = 0; l < 2; l++) {
      int index = l;
      x = tape.layer(x, (t, in) -> layer(t, in, index));
    }
    Tensor h = tape.rmsNorm(tape.selectRows(x, lossRows), finalNorm.tensor, EPS);
    return tape.headLoss(h, tokens.weights, List.of(), targets, weights);
  }

  private Tensor layer(Tape t, Tensor x, int index) {
    Layer l = layers.get(index);
    Tensor h =
        index == 0
            ? t.rmsNorm(x, l.norm1.tensor, EPS)
            : t.layerNorm(x, l.norm1.tensor, l.norm1Bias.tensor, EPS);
    Tensor qkv = t.project(h, l.qkv.weights, null, l.qkv.slices);
    if (index == 0) {
      t.headNorm(qkv, shapes[0], queryNorm.tensor, keyNorm.tensor, EPS);
      t.rope(qkv, shapes[0], rope, positions);
    }
    Tensor a = t.attention(qkv, spans, shapes[index]);
    x = t.project(a, l.out.weights, x, l.out.slices);
    h = t.rmsNorm(x, l.norm2.tensor, EPS);
    Tensor up = t.project(h, l.up.weights, null, l.up.slices);
    Tensor g = index == 0 ? t.swiglu(up) : t.gelu(up, true);
    return t.project(g, l.down.weights, x, l.down.slices);
  }

  /** Returns the losses at other values of the parameters, in float64, without dropout. */
  double[] losses(double[] at) {
    Values v = new Values(at);
    double[] x =
        Reference.plus(
            Reference.rows(tokens.values, HIDDEN, ids),
            Reference.rows(table.values, HIDDEN, positions));
    for (int l = 0; l < 2; l++) {
      x = layer(v, x, l);
    }
    double[] h = Reference.rmsNorm(Reference.rows(x, HIDDEN, lossRows), finalNorm.values, EPS);
    return Reference.crossEntropy(h, tokens.values, HIDDEN, targets);
  }

  private double[] layer(Values v, double[] x, int index) {
    Layer l = layers.get(index);
    AttentionShape shape = shapes[index];
    int q = shape.queryCols();
    int kv = shape.kvCols();
    int packed = q + 2 * kv;
    double[] h =
        index == 0
            ? Reference.rmsNorm(x, l.norm1.values, EPS)
            : Reference.layerNorm(x, l.norm1.values, l.norm1Bias.values, EPS);
    double[] qkv = project(v, l.qkv, h, null);
    double[] queries = Reference.columns(qkv, packed, 0, q);
    double[] keys = Reference.columns(qkv, packed, q, kv);
    double[] values = Reference.columns(qkv, packed, q + kv, kv);
    if (index == 0) {
      queries = Reference.rmsNorm(queries, queryNorm.values, EPS);
      keys = Reference.rmsNorm(keys, keyNorm.values, EPS);
      queries = Reference.rope(queries, q, rope, positions, false);
      keys = Reference.rope(keys, kv, rope, positions, false);
    }
    double[] a = Reference.attention(queries, keys, values, spans, shape);
    x = project(v, l.out, a, x);
    h = Reference.rmsNorm(x, l.norm2.values, EPS);
    double[] up = project(v, l.up, h, null);
    double[] g = index == 0 ? Reference.swiglu(up, FEATURES) : Reference.gelu(up, true);
    return project(v, l.down, g, x);
  }

  /**
   * Hands out parameters in the order in which adapters were created, which is the order of use.
   */
  private static final class Values {
    private final double[] all;
    private int next;

    Values(double[] all) {
      this.all = all;
    }

    double[] take(int count) {
      next += count;
      return java.util.Arrays.copyOfRange(all, next - count, next);
    }
  }

  private double[] project(Values v, Site site, double[] x, double[] residual) {
    int in = site.weights.in();
    int out = site.weights.out();
    double[] y = Reference.linear(x, site.values, site.bias, null, n, in, out);
    for (ProjectionAdapter.Slice s : site.slices) {
      double[] own = java.util.Arrays.copyOfRange(x, s.from() * in, (s.from() + s.count()) * in);
      double[] added = new double[s.count() * out];
      double[] factors = null;
      if (s.adapter().rescalesOutput()) {
        factors = v.take(out);
      } else {
        double[] u = Reference.linear(own, v.take(2 * in), null, null, s.count(), in, 2);
        added = Reference.linear(u, v.take(out * 2), null, null, s.count(), 2, out);
      }
      for (int i = 0; i < added.length; i++) {
        int at = s.from() * out + i;
        y[at] = y[at] * (factors == null ? 1 : factors[i % out]) + added[i];
      }
    }
    return residual == null ? y : Reference.plus(y, residual);
  }

  @Override
  public void close() {
    try {
      for (AutoCloseable o : owned) {
        o.close();
      }
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  /** Rounds each row to multiples of 1/127 of its largest value, like 8-bit weights. */
  private static void roundTo8Bits(float[] w, int in) {
    for (int row = 0; row < w.length; row += in) {
      float largest = 0;
      for (int c = row; c < row + in; c++) {
        largest = Math.max(largest, Math.abs(w[c]));
      }
      for (int c = row; c < row + in; c++) {
        w[c] = Math.round(w[c] / largest * 127) * (largest / 127);
      }
    }
  }
}
