package org.tune4j.core.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.GenerationMode;
import net.jqwik.api.Property;
import net.jqwik.api.PropertyDefaults;
import net.jqwik.api.ShrinkingMode;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.lifecycle.AfterContainer;

/**
 * What every {@link Engine} does: each operation, forward and backward, on drawn shapes and
 * layouts, against float64 references and their central differences. An engine's test extends this
 * class and says how the engine is made.
 */
@PropertyDefaults(
    tries = 20,
    generation = GenerationMode.RANDOMIZED,
    shrinking = ShrinkingMode.BOUNDED)
abstract class EngineContract {
  /** Relative error allowed where all is F32. */
  private static final double F32 = 1e-5;

  /** Relative error allowed where values are rounded to bfloat16, which keeps 8 bits. */
  private static final double BF16 = 2e-2;

  /** Relative error allowed where weights are rounded to 8-bit integers. */
  private static final double INT8 = 4e-2;

  private static final Map<Precision, Engine> ENGINES = new EnumMap<>(Precision.class);

  /** Returns a new engine. */
  abstract Engine create(Precision precision);

  /** Returns the precisions that the engine has on this machine. */
  abstract List<Precision> precisions();

  @AfterContainer
  static void closeEngines() {
    ENGINES.values().forEach(Engine::close);
    ENGINES.clear();
  }

  private interface Try {
    void run(Engine e, Operands o);
  }

  /** Runs a try in every precision, with operands drawn from the seed. */
  private void inEachPrecision(long seed, Try body) {
    for (Precision precision : precisions()) {
      Engine e = ENGINES.computeIfAbsent(precision, this::create);
      e.lock().lock();
      try {
        Operands o = new Operands(e, seed);
        body.run(e, o);
        o.finish();
      } catch (AssertionError | RuntimeException failure) {
        throw new AssertionError("in " + precision + ": " + failure.getMessage(), failure);
      } finally {
        e.resetArena();
        e.lock().unlock();
      }
    }
  }

  /** Returns the tolerance of a result that frozen weights or compute-type roundings went into. */
  private static double tolerance(Engine e) {
    return switch (e.precision()) {
      case F32 -> F32;
      case BF16 -> BF16;
      case INT8 -> INT8;
    };
  }

  /** Returns the tolerance of a result that is only rounded when it is stored. */
  private static double tolerance(Tensor result) {
    return result.dtype() == DType.F32 ? F32 : BF16;
  }

  private static void assertClose(
      String what, Operands o, Tensor actual, double[] expected, double tolerance) {
    assertClose(what, o, actual, expected, expected, tolerance);
  }

  private static void assertClose(
      String what,
      Operands o,
      Tensor actual,
      double[] expected,
      double[] magnitude,
      double tolerance) {
    Operands.assertClose(what, o.engine.read(actual), expected, magnitude, tolerance);
  }

  private static void assertShape(Tensor t, int rows, int cols, DType type) {
    assertThat(t.rows()).as("rows of %s", t).isEqualTo(rows);
    assertThat(t.cols()).as("columns of %s", t).isEqualTo(cols);
    assertThat(t.dtype()).as("type of %s", t).isEqualTo(type);
  }

  /** Returns one of the two types; in F32 engines there is one. */
  private static DType either(Operands o) {
    return o.random.nextBoolean() ? DType.F32 : o.compute();
  }

  // ---- dense products

  @Property
  void multiplies(
      @ForAll @IntRange(min = 1, max = 90) int n,
      @ForAll @IntRange(min = 1, max = 90) int k,
      @ForAll @IntRange(min = 1, max = 90) int m,
      @ForAll boolean transposeA,
      @ForAll boolean transposeB,
      @ForAll boolean accumulate,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float alpha = List.of(1f, -0.5f, 2.25f).get(o.random.nextInt(3));
          DType factors = either(o);
          Tensor a = transposeA ? o.read(k, n, factors) : o.read(n, k, factors);
          Tensor b = transposeB ? o.read(m, k, factors) : o.read(k, m, factors);
          Tensor c = accumulate ? o.changed(n, m, either(o)) : o.set(n, m, either(o));
          double[] av = transposeA ? Reference.transpose(o.values(a), k, n) : o.values(a);
          double[] bv = transposeB ? Reference.transpose(o.values(b), m, k) : o.values(b);
          double[] before = accumulate ? o.values(c) : new double[n * m];
          e.gemm(alpha, a, transposeA, b, transposeB, accumulate ? 1 : 0, c);
          double[] product = Reference.times(Reference.product(av, bv, n, k, m), alpha);
          double[] terms = Reference.product(Reference.abs(av), Reference.abs(bv), n, k, m);
          assertClose(
              "product into " + c,
              o,
              c,
              Reference.plus(product, before),
              Reference.plus(Reference.times(terms, Math.abs(alpha)), Reference.abs(before)),
              tolerance(c));
        });
  }

  @Property
  void multipliesByFrozenWeights(
      @ForAll @IntRange(min = 1, max = 70) int n,
      @ForAll @IntRange(min = 1, max = 70) int in,
      @ForAll @IntRange(min = 1, max = 70) int out,
      @ForAll boolean biased,
      @ForAll boolean onResidual,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float[] w = channels(o, out, in);
          float[] bias = biased ? o.normal(out) : null;
          double[] wv = Reference.doubles(w);
          double[] bv = biased ? Reference.doubles(bias) : new double[out];
          MatrixSource source = MatrixSource.of(out, in, w);
          try (FrozenMatrix frozen = e.freeze(source, bias, FrozenMatrix.Use.PROJECTION)) {
            assertThat(frozen.out()).isEqualTo(out);
            assertThat(frozen.in()).isEqualTo(in);
            assertThat(frozen.hasBias()).isEqualTo(biased);
            assertThat(frozen.source()).isSameAs(source);
            Tensor x = o.read(n, in, o.compute());
            Tensor residual = onResidual ? o.read(n, out, DType.F32) : null;
            double[] xv = o.values(x);
            double[] rv = onResidual ? o.values(residual) : new double[n * out];
            Tensor y = e.linear(x, frozen, residual);
            assertShape(y, n, out, onResidual ? DType.F32 : o.compute());
            assertClose(
                "linear",
                o,
                y,
                Reference.linear(xv, wv, bv, rv, n, in, out),
                Reference.linear(
                    Reference.abs(xv),
                    Reference.abs(wv),
                    Reference.abs(bv),
                    Reference.abs(rv),
                    n,
                    in,
                    out),
                tolerance(e));

            Tensor dy = o.read(n, out, o.compute());
            Tensor dx = e.linearBackward(dy, frozen);
            assertShape(dx, n, in, o.compute());
            double[] dyv = o.values(dy);
            assertClose(
                "gradient of linear",
                o,
                dx,
                Reference.product(dyv, wv, n, out, in),
                Reference.product(Reference.abs(dyv), Reference.abs(wv), n, out, in),
                tolerance(e));
          }
        });
  }

  /** Returns weights whose rows differ in scale, as output channels do. */
  private static float[] channels(Operands o, int out, int in) {
    float[] w = o.normalWeights(out * in);
    for (int i = 0; i < w.length; i++) {
      w[i] = Math.scalb(w[i], i / in % 4 - 2);
    }
    return w;
  }

  // ---- norms

  @Property
  void normalisesByRootMeanSquare(
      @ForAll @IntRange(min = 1, max = 12) int n,
      @ForAll @IntRange(min = 1, max = 40) int d,
      @ForAll boolean accumulate,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float eps = 1e-6f;
          Tensor x = o.read(n, d, DType.F32);
          Tensor weight = o.vector(d);
          double[] xv = o.values(x);
          double[] wv = o.values(weight);
          Engine.Normed normed = e.rmsNorm(x, weight, eps);
          assertShape(normed.y(), n, d, o.compute());
          assertClose(
              "RMSNorm", o, normed.y(), Reference.rmsNorm(xv, wv, eps), tolerance(normed.y()));

          Tensor dy = o.read(n, d, o.random.nextBoolean() ? DType.F32 : DType.BF16);
          Tensor dx = accumulate ? o.changed(n, d, DType.F32) : o.set(n, d, DType.F32);
          double[] before = accumulate ? o.values(dx) : new double[n * d];
          double[] dyv = o.values(dy);
          e.rmsNormBackward(x, weight, eps, normed.stats(), dy, dx, accumulate);
          assertClose(
              "gradient of RMSNorm from " + dy,
              o,
              dx,
              Reference.plus(
                  before, Reference.gradient(v -> Reference.rmsNorm(v, wv, eps), xv, dyv)),
              Reference.plus(
                  Reference.abs(before), Reference.normMagnitude(xv, wv, eps, false, dyv)),
              F32);
        });
  }

  @Property
  void normalisesLayers(
      @ForAll @IntRange(min = 1, max = 12) int n,
      @ForAll @IntRange(min = 1, max = 40) int d,
      @ForAll boolean accumulate,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float eps = 1e-5f;
          Tensor x = o.read(n, d, DType.F32);
          Tensor weight = o.vector(d);
          Tensor bias = o.vector(d);
          double[] xv = o.values(x);
          double[] wv = o.values(weight);
          double[] bv = o.values(bias);
          Engine.Normed normed = e.layerNorm(x, weight, bias, eps);
          assertShape(normed.y(), n, d, o.compute());
          assertClose(
              "LayerNorm",
              o,
              normed.y(),
              Reference.layerNorm(xv, wv, bv, eps),
              Reference.normMagnitude(xv, wv, eps, true, null),
              tolerance(normed.y()));

          Tensor dy = o.read(n, d, o.random.nextBoolean() ? DType.F32 : DType.BF16);
          Tensor dx = accumulate ? o.changed(n, d, DType.F32) : o.set(n, d, DType.F32);
          double[] before = accumulate ? o.values(dx) : new double[n * d];
          double[] dyv = o.values(dy);
          e.layerNormBackward(x, weight, eps, normed.stats(), dy, dx, accumulate);
          assertClose(
              "gradient of LayerNorm from " + dy,
              o,
              dx,
              Reference.plus(
                  before, Reference.gradient(v -> Reference.layerNorm(v, wv, bv, eps), xv, dyv)),
              Reference.plus(
                  Reference.abs(before), Reference.normMagnitude(xv, wv, eps, true, dyv)),
              F32);
        });
  }

  @Property
  void normalisesHeads(
      @ForAll @IntRange(min = 1, max = 9) int n,
      @ForAll @IntRange(min = 1, max = 5) int heads,
      @ForAll @IntRange(min = 1, max = 20) int d,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float eps = 1e-6f;
          Tensor x = o.changed(n, heads * d, o.compute());
          Tensor weight = o.vector(d);
          double[] xv = o.values(x);
          double[] wv = o.values(weight);
          Tensor saved = e.headNorm(x, weight, eps);
          assertClose("head norm", o, x, Reference.rmsNorm(xv, wv, eps), tolerance(x));

          Tensor dxy = o.changed(n, heads * d, o.compute());
          double[] dyv = o.values(dxy);
          e.headNormBackward(saved, weight, eps, dxy);
          assertClose(
              "gradient of head norm",
              o,
              dxy,
              Reference.gradient(v -> Reference.rmsNorm(v, wv, eps), xv, dyv),
              Reference.normMagnitude(xv, wv, eps, false, dyv),
              tolerance(dxy));
        });
  }

  // ---- attention

  @Property
  void rotatesHeads(
      @ForAll @IntRange(min = 1, max = 12) int n,
      @ForAll @IntRange(min = 1, max = 5) int heads,
      @ForAll @IntRange(min = 1, max = 17) int half,
      @ForAll boolean inverse,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          RopeTable table = ropeTable(40, half);
          int[] positions = o.random.ints(n, 0, 40).toArray();
          int cols = heads * 2 * half;
          Tensor x = o.changed(n, cols, o.compute());
          double[] xv = o.values(x);
          e.rope(x, table, positions, inverse);
          assertClose(
              "rotation", o, x, Reference.rope(xv, cols, table, positions, inverse), tolerance(x));
          if (!inverse) {
            // the backward is the rotation by minus the angle
            Tensor dy = o.changed(n, cols, o.compute());
            double[] dyv = o.values(dy);
            e.rope(dy, table, positions, true);
            assertClose(
                "gradient of rotation",
                o,
                dy,
                Reference.gradient(v -> Reference.rope(v, cols, table, positions, false), xv, dyv),
                tolerance(dy));
          }
        });
  }

  /** Returns angles as Su et al. define them, times an attention factor. */
  private static RopeTable ropeTable(int positions, int half) {
    float[] cos = new float[positions * half];
    float[] sin = new float[positions * half];
    for (int p = 0; p < positions; p++) {
      for (int i = 0; i < half; i++) {
        double angle = p * Math.pow(10000, -i / (double) half);
        cos[p * half + i] = (float) (1.2 * Math.cos(angle));
        sin[p * half + i] = (float) (1.2 * Math.sin(angle));
      }
    }
    return new RopeTable(positions, half, cos, sin);
  }

  /** A drawn case of attention. */
  private record AttentionCase(AttentionShape shape, Spans spans, int queries, int keys) {
    /**
     * Draws spans of {@code 1..longest} queries, some with rows between them that are in no span.
     *
     * @param cached whether keys may be longer than queries; otherwise queries are keys
     */
    static AttentionCase draw(Random random, int spans, int longest, boolean cached) {
      int kvHeads = 1 + random.nextInt(3);
      int headDim = 1 + random.nextInt(12);
      List<int[]> order = new ArrayList<>();
      boolean gaps = random.nextInt(3) == 0;
      int queries = 0;
      int keys = 0;
      for (int s = 0; s < spans; s++) {
        int length = 1 + random.nextInt(longest);
        int past = cached ? random.nextInt(6) : 0;
        int gap = gaps ? random.nextInt(3) : 0;
        queries += gap;
        keys += cached && gaps ? random.nextInt(3) : gap;
        order.add(new int[] {queries, length, keys, past + length});
        queries += length;
        keys += past + length;
      }
      queries += gaps ? 1 : 0;
      keys += gaps ? 1 : 0;
      Collections.shuffle(order, random);
      int[] branch = random.nextInt(3) == 0 ? random.ints(keys, 0, 3).toArray() : null;
      int window = branch == null && random.nextBoolean() ? 1 + random.nextInt(5) : 0;
      return new AttentionCase(
          new AttentionShape(
              kvHeads * (1 + random.nextInt(3)),
              kvHeads,
              headDim,
              (float) (random.nextBoolean() ? 1 / Math.sqrt(headDim) : 0.7),
              window),
          new Spans(
              order.stream().mapToInt(s -> s[0]).toArray(),
              order.stream().mapToInt(s -> s[1]).toArray(),
              order.stream().mapToInt(s -> s[2]).toArray(),
              order.stream().mapToInt(s -> s[3]).toArray(),
              branch),
          queries,
          keys);
    }
  }

  @Property(tries = 25)
  void attendsWithinSegments(
      @ForAll @IntRange(min = 1, max = 5) int spans,
      @ForAll @IntRange(min = 1, max = 6) int longest,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          AttentionCase c = AttentionCase.draw(o.random, spans, longest, false);
          AttentionShape shape = c.shape;
          int n = c.queries;
          int cols = shape.queryCols() + 2 * shape.kvCols();
          Tensor qkv = o.read(n, cols, o.compute());
          Tensor q = e.columns(qkv, 0, shape.queryCols());
          Tensor k = e.columns(qkv, shape.queryCols(), shape.kvCols());
          Tensor v = e.columns(qkv, shape.queryCols() + shape.kvCols(), shape.kvCols());
          Tensor d = o.set(n, cols, o.compute());
          Tensor dq = e.columns(d, 0, shape.queryCols());
          Tensor dk = e.columns(d, shape.queryCols(), shape.kvCols());
          Tensor dv = e.columns(d, shape.queryCols() + shape.kvCols(), shape.kvCols());
          checkAttention(e, o, c, q, k, v, dq, dk, dv, true);
        });
  }

  @Property
  void attendsToCachedKeys(
      @ForAll @IntRange(min = 1, max = 5) int spans,
      @ForAll @IntRange(min = 1, max = 4) int longest,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          AttentionCase c = AttentionCase.draw(o.random, spans, longest, true);
          checkAttention(
              e,
              o,
              c,
              o.read(c.queries, c.shape.queryCols(), o.compute()),
              o.read(c.keys, c.shape.kvCols(), o.compute()),
              o.read(c.keys, c.shape.kvCols(), o.compute()),
              o.set(c.queries, c.shape.queryCols(), o.compute()),
              o.set(c.keys, c.shape.kvCols(), o.compute()),
              o.set(c.keys, c.shape.kvCols(), o.compute()),
              true);
        });
  }

  @Property(tries = 5)
  void attendsOverLongAndManySegments(@ForAll boolean many, @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          AttentionCase c =
              AttentionCase.draw(o.random, many ? 150 : 2, many ? 1 : 130, o.random.nextBoolean());
          checkAttention(
              e,
              o,
              c,
              o.read(c.queries, c.shape.queryCols(), o.compute()),
              o.read(c.keys, c.shape.kvCols(), o.compute()),
              o.read(c.keys, c.shape.kvCols(), o.compute()),
              o.set(c.queries, c.shape.queryCols(), o.compute()),
              o.set(c.keys, c.shape.kvCols(), o.compute()),
              o.set(c.keys, c.shape.kvCols(), o.compute()),
              false);
        });
  }

  private static void checkAttention(
      Engine e,
      Operands o,
      AttentionCase c,
      Tensor q,
      Tensor k,
      Tensor v,
      Tensor dq,
      Tensor dk,
      Tensor dv,
      boolean differences) {
    AttentionShape shape = c.shape;
    Spans spans = c.spans;
    double[] qv = o.values(q);
    double[] kv = o.values(k);
    double[] vv = o.values(v);
    double[] expected = Reference.attention(qv, kv, vv, spans, shape);
    double[] terms = Reference.attention(qv, kv, Reference.abs(vv), spans, shape);
    Tensor once = e.attention(q, k, v, spans, shape, false).out();
    assertShape(once, c.queries, shape.queryCols(), o.compute());
    assertClose("attention", o, once, expected, terms, tolerance(once));

    Engine.Attended attended = e.attention(q, k, v, spans, shape, true);
    assertClose("attention for backward", o, attended.out(), expected, terms, tolerance(once));
    Tensor dOut = o.read(c.queries, shape.queryCols(), o.compute());
    double[] dv64 = o.values(dOut);
    e.attentionBackward(q, k, v, spans, shape, attended, dOut, dq, dk, dv);
    double[][] gradients =
        differences
            ? new double[][] {
              Reference.gradient(x -> Reference.attention(x, kv, vv, spans, shape), qv, dv64),
              Reference.gradient(x -> Reference.attention(qv, x, vv, spans, shape), kv, dv64),
              Reference.gradient(x -> Reference.attention(qv, kv, x, spans, shape), vv, dv64)
            }
            : Reference.attentionGradient(qv, kv, vv, spans, shape, dv64, false);
    double[][] sizes = Reference.attentionGradient(qv, kv, vv, spans, shape, dv64, true);
    assertClose("gradient by queries", o, dq, gradients[0], sizes[0], tolerance(dq));
    assertClose("gradient by keys", o, dk, gradients[1], sizes[1], tolerance(dk));
    assertClose("gradient by values", o, dv, gradients[2], sizes[2], tolerance(dv));
  }

  @Example
  void attentionIsStableAtLargeScores() {
    inEachPrecision(
        3,
        (e, o) -> {
          AttentionShape shape = new AttentionShape(1, 1, 4, 50, 0);
          Spans spans = Spans.causal(new int[] {0, 6});
          float[] large = {
            9, 0, 0, 0, 0, 9, 0, 0, 0, 0, 9, 0, 0, 0, 0, 9, -9, 0, 0, 0, 0, -9, 0, 0
          };
          Tensor q = o.read(6, 4, o.compute(), large);
          Tensor v = o.read(6, 4, o.compute());
          Engine.Attended attended = e.attention(q, q, v, spans, shape, true);
          // scores of 50 * 81: each row attends to itself alone
          assertClose("attention", o, attended.out(), o.values(v), tolerance(attended.out()));
          Tensor dOut = o.read(6, 4, o.compute());
          Tensor dq = o.set(6, 4, o.compute());
          Tensor dk = o.set(6, 4, o.compute());
          Tensor dv = o.set(6, 4, o.compute());
          e.attentionBackward(q, q, v, spans, shape, attended, dOut, dq, dk, dv);
          assertClose("gradient by values", o, dv, o.values(dOut), tolerance(dv));
          assertThat(e.read(dq)).doesNotContain(Float.NaN);
          assertThat(e.read(dk)).doesNotContain(Float.NaN);
        });
  }

  // ---- activations

  /** Returns values that include those at which a formula may overflow. */
  private static float[] withExtremes(Operands o, int count) {
    float[] values = o.normal(count);
    float[] extremes = {0, -0f, 100, -100, 1e4f, -1e4f, 12, -12, 1e-30f};
    for (int i = 0; i < count; i++) {
      if (o.random.nextInt(8) == 0) {
        values[i] = extremes[o.random.nextInt(extremes.length)];
      }
    }
    return values;
  }

  @Property
  void appliesGelu(
      @ForAll @IntRange(min = 1, max = 12) int n,
      @ForAll @IntRange(min = 1, max = 40) int f,
      @ForAll boolean tanh,
      @ForAll boolean extremes,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          Tensor x = o.read(n, f, o.compute(), extremes ? withExtremes(o, n * f) : o.normal(n * f));
          double[] xv = o.values(x);
          Tensor y = e.gelu(x, tanh);
          assertShape(y, n, f, o.compute());
          assertClose("GELU", o, y, Reference.gelu(xv, tanh), Reference.abs(xv), tolerance(y));
          Tensor dy = o.read(n, f, o.compute());
          double[] dyv = o.values(dy);
          Tensor dx = e.geluBackward(x, tanh, dy);
          assertShape(dx, n, f, o.compute());
          double[] gradient = elementwiseGradient(v -> Reference.gelu(v, tanh), xv, dyv);
          assertClose("gradient of GELU", o, dx, gradient, dyv, tolerance(dx));
        });
  }

  /** Returns {@link Reference#gradient} of a function of each element on its own, in one pass. */
  private static double[] elementwiseGradient(
      java.util.function.UnaryOperator<double[]> f, double[] x, double[] dy) {
    double h = 1e-5;
    double[] shift = new double[x.length];
    java.util.Arrays.fill(shift, h);
    double[] above = f.apply(Reference.plus(x, shift));
    double[] below = f.apply(Reference.plus(x, Reference.times(shift, -1)));
    double[] gradient = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      gradient[i] = dy[i] * (above[i] - below[i]) / (2 * h);
    }
    return gradient;
  }

  @Property
  void appliesSwiglu(
      @ForAll @IntRange(min = 1, max = 9) int n,
      @ForAll @IntRange(min = 1, max = 20) int f,
      @ForAll boolean extremes,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float[] values = extremes ? withExtremes(o, 2 * n * f) : o.normal(2 * n * f);
          Tensor gateUp = o.read(n, 2 * f, o.compute(), values);
          double[] xv = o.values(gateUp);
          Tensor y = e.swiglu(gateUp);
          assertShape(y, n, f, o.compute());
          assertClose("SwiGLU", o, y, Reference.swiglu(xv, f), tolerance(y));
          Tensor dy = o.read(n, f, o.compute());
          double[] dyv = o.values(dy);
          Tensor dx = e.swigluBackward(gateUp, dy);
          assertShape(dx, n, 2 * f, o.compute());
          double[] gradient = Reference.gradient(v -> Reference.swiglu(v, f), xv, dyv);
          assertClose("gradient of SwiGLU", o, dx, gradient, tolerance(dx));
        });
  }

  // ---- head

  @Property
  void scoresTargets(
      @ForAll @IntRange(min = 0, max = 9) int n,
      @ForAll @IntRange(min = 1, max = 20) int in,
      @ForAll @IntRange(min = 1, max = 70) int vocabulary,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float[] w = o.normalWeights(vocabulary * in);
          double[] wv = Reference.doubles(w);
          MatrixSource source = MatrixSource.of(vocabulary, in, w);
          try (FrozenMatrix head = e.freeze(source, null, FrozenMatrix.Use.HEAD)) {
            Tensor h = o.read(n, in, o.compute());
            double[] hv = o.values(h);
            Tensor logits = e.logits(h, head);
            assertShape(logits, n, vocabulary, DType.F32);
            assertClose(
                "logits",
                o,
                logits,
                Reference.linear(hv, wv, null, null, n, in, vocabulary),
                Reference.linear(
                    Reference.abs(hv), Reference.abs(wv), null, null, n, in, vocabulary),
                tolerance(e));

            int[] targets = o.random.ints(n, 0, vocabulary).toArray();
            float[] weights = o.normal(n);
            for (int r = 0; r < n; r++) {
              weights[r] = o.random.nextInt(4) == 0 ? 0 : weights[r];
            }
            Engine.HeadLoss loss = e.headLoss(h, head, targets, weights);
            double[] expected = Reference.crossEntropy(hv, wv, in, targets);
            // a loss is a difference of logits
            double[] sizes =
                Reference.plus(
                    expected,
                    rowMaxima(Reference.linear(hv, wv, null, null, n, in, vocabulary), n));
            Operands.assertClose("losses", loss.losses(), expected, sizes, tolerance(e));
            assertShape(loss.dHidden(), n, in, o.compute());
            assertClose(
                "gradient of the loss",
                o,
                loss.dHidden(),
                Reference.gradient(
                    v -> Reference.crossEntropy(v, wv, in, targets),
                    hv,
                    Reference.doubles(weights)),
                Reference.crossEntropyGradient(hv, wv, in, targets, weights, true),
                tolerance(e));

            Engine.HeadLoss alone = e.headLoss(h, head, targets, null);
            assertThat(alone.dHidden()).isNull();
            Operands.assertClose(
                "losses without gradient", alone.losses(), expected, sizes, tolerance(e));
          }
        });
  }

  private static double[] rowMaxima(double[] z, int rows) {
    double[] maxima = new double[rows];
    for (int i = 0; i < z.length; i++) {
      int r = i / (z.length / rows);
      maxima[r] = Math.max(maxima[r], Math.abs(z[i]));
    }
    return maxima;
  }
}
