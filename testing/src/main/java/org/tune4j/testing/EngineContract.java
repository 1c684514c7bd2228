package org.tune4j.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.Assertions.withinPercentage;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.GenerationMode;
import net.jqwik.api.Property;
import net.jqwik.api.PropertyDefaults;
import net.jqwik.api.ShrinkingMode;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.lifecycle.AfterContainer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.Floats;

/**
 * The contract of every {@link Engine}: each operation, forward and backward, on random shapes and
 * layouts, against float64 references and their central differences. An engine's test extends this
 * class and lists the engine's paths; run it with {@code -Dtune4j.poison=true}.
 *
 * <p>The file is long because an engine is one interface of some forty operations, with a test for
 * each; what the tests share is in {@link Reference}, {@link Operands} and {@link ErrorBounds}.
 */
@PropertyDefaults(
    tries = 20,
    generation = GenerationMode.RANDOMIZED,
    shrinking = ShrinkingMode.BOUNDED)
public abstract class EngineContract {
  /** Relative error allowed if everything is F32. */
  private static final double F32 = 1e-5;

  /** Relative error allowed if values are rounded to bfloat16, which keeps 8 bits. */
  private static final double BF16 = 2e-2;

  /** Relative error allowed if weights are rounded to 8-bit integers. */
  private static final double INT8 = 4e-2;

  /** Numbers of rows around which blocks, tiles and strides change. */
  private static final int[] ROWS = {
    1, 31, 32, 33, 255, 256, 257, 511, 512, 992, 1023, 1024, 1025, 1055, 1056, 1088, 1151, 1279,
    1280
  };

  private static final Map<EnginePath, Engine> ENGINES = new HashMap<>();

  /**
   * Returns the engine's paths that this machine can run. An empty list is a failure: an engine
   * that cannot be loaded must not pass.
   */
  protected abstract List<EnginePath> paths();

  @AfterContainer
  static void closeEngines() {
    ENGINES.values().forEach(Engine::close);
    ENGINES.clear();
  }

  private interface Try {
    void run(Engine e, Operands o);
  }

  private interface PathTry {
    void run(EnginePath path, Engine e, Operands o);
  }

  /** Runs a try on each path, with random operands from the seed. */
  private void onEachPath(long seed, PathTry body) {
    if (paths().isEmpty()) {
      throw new AssertionError("the engine does not run on this machine");
    }
    for (EnginePath path : paths()) {
      run(path, seed, body);
    }
  }

  /** Runs a try of an operation that is the same on all paths of a precision. */
  private void inEachPrecision(long seed, Try body) {
    Set<Precision> done = EnumSet.noneOf(Precision.class);
    onEachPath(
        seed,
        (path, e, o) -> {
          if (done.add(path.precision())) {
            body.run(e, o);
          }
        });
  }

  private static void run(EnginePath path, long seed, PathTry body) {
    Engine e = ENGINES.computeIfAbsent(path, EnginePath::create);
    e.lock().lock();
    try {
      Operands o = new Operands(e, seed);
      body.run(path, e, o);
      o.finish();
    } catch (AssertionError | RuntimeException failure) {
      throw new AssertionError(path + ": " + failure.getMessage(), failure);
    } finally {
      e.resetArena();
      e.lock().unlock();
    }
  }

  /**
   * Returns the tolerance of a result that involves frozen weights or rounding to the compute type.
   */
  private static double tolerance(Engine e) {
    return switch (e.precision()) {
      case F32 -> F32;
      case BF16 -> BF16;
      case INT8 -> INT8;
    };
  }

  /** Returns the tolerance of a result that is rounded only when it is stored. */
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

  /** Returns F32 or the compute type, at random. */
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
    multipliesDensely(n, k, m, transposeA, transposeB, accumulate, seed);
  }

  /** The products of adapters: many rows by few, and for gradients sums over many rows. */
  @Property
  void multipliesManyRows(
      @ForAll boolean transposeA,
      @ForAll boolean transposeB,
      @ForAll boolean accumulate,
      @ForAll long seed) {
    Random random = new Random(seed);
    int[] ranks = {1, 4, 7, 8, 16, 24};
    int[] widths = {33, 64, 255, 256, 257};
    int[] sizes = {
      ROWS[random.nextInt(ROWS.length)],
      ranks[random.nextInt(ranks.length)],
      widths[random.nextInt(widths.length)]
    };
    switch (random.nextInt(4)) {
      case 0 -> // x A'
          multipliesDensely(sizes[0], sizes[2], sizes[1], transposeA, transposeB, accumulate, seed);
      case 1 -> // h B'
          multipliesDensely(sizes[0], sizes[1], sizes[2], transposeA, transposeB, accumulate, seed);
      case 2 -> // gradient of A
          multipliesDensely(sizes[1], sizes[0], sizes[2], transposeA, transposeB, accumulate, seed);
      default -> // gradient of B
          multipliesDensely(sizes[2], sizes[0], sizes[1], transposeA, transposeB, accumulate, seed);
    }
  }

  /** A single row by transposed weights, as for a single token or an adapter of rank 1. */
  @Example
  void addsToOneRow() {
    for (int k : new int[] {1024, 1055, 2047}) {
      for (int m : new int[] {2, 257, 1280}) {
        multipliesDensely(1, k, m, false, true, true, m);
        multipliesDensely(m, k, 1, false, true, true, m);
      }
    }
  }

  private void multipliesDensely(
      int n, int k, int m, boolean transposeA, boolean transposeB, boolean accumulate, long seed) {
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
          double[] exact = Reference.plus(product, before);
          double[] sizes =
              Reference.plus(Reference.times(terms, Math.abs(alpha)), Reference.abs(before));
          ErrorBounds.assertWithin(
              "product of %s and %s into %s".formatted(a, b, c),
              e.read(c),
              exact,
              ErrorBounds.sum(exact, sizes, k, c.dtype()));
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
    multiplies(n, in, out, biased, onResidual, seed);
  }

  /** Sizes for which an engine may round inputs. */
  @Property(tries = 10)
  void multipliesManyRowsByFrozenWeights(
      @ForAll @IntRange(min = 32, max = 100) int n,
      @ForAll @IntRange(min = 1, max = 4) int in,
      @ForAll @IntRange(min = 1, max = 4) int out,
      @ForAll boolean biased,
      @ForAll boolean onResidual,
      @ForAll long seed) {
    multiplies(n, 64 * in, 64 * out, biased, onResidual, seed);
  }

  /** Rows with a few large values, which must not ruin the precision of the others. */
  @Property(tries = 10)
  void multipliesBesideLargeValues(
      @ForAll @IntRange(min = 32, max = 70) int n,
      @ForAll @IntRange(min = 2, max = 4) int in,
      @ForAll @IntRange(min = 2, max = 4) int out,
      @ForAll long seed) {
    onEachPath(
        seed,
        (path, e, o) -> {
          float[] w = channels(o, 64 * out, 64 * in);
          // weights of the large values are zero, so that only the others matter
          for (int i = 0; i < 64 * out; i++) {
            w[i * 64 * in] = 0;
          }
          for (int c = 0; c < 64 * in; c++) {
            w[c] = 0;
          }
          double[] wv = Reference.doubles(w);
          try (FrozenMatrix frozen = e.freeze(source(64 * out, 64 * in, w), null)) {
            Tensor x = o.read(n, 64 * in, o.compute(), withLargeFirst(o, n, 64 * in));
            double[] xv = o.values(x);
            assertClose(
                "linear",
                o,
                e.linear(x, frozen, null),
                Reference.product(
                    xv, Reference.transpose(wv, 64 * out, 64 * in), n, 64 * in, 64 * out),
                Reference.product(
                    Reference.abs(xv),
                    Reference.abs(Reference.transpose(wv, 64 * out, 64 * in)),
                    n,
                    64 * in,
                    64 * out),
                tolerance(e));
            Tensor dy = o.read(n, 64 * out, o.compute(), withLargeFirst(o, n, 64 * out));
            double[] dyv = o.values(dy);
            assertClose(
                "gradient of linear",
                o,
                e.linearBackward(dy, frozen),
                Reference.product(dyv, wv, n, 64 * out, 64 * in),
                Reference.product(Reference.abs(dyv), Reference.abs(wv), n, 64 * out, 64 * in),
                tolerance(e));
          }
        });
  }

  /**
   * Returns rows, some of which start with a value about a thousand times as large as the others.
   */
  private static float[] withLargeFirst(Operands o, int rows, int cols) {
    float[] values = o.normal(rows * cols);
    for (int r = 0; r < rows; r++) {
      if (o.random.nextInt(3) == 0) {
        values[r * cols] = o.random.nextBoolean() ? 4096 : -4096;
      }
    }
    return values;
  }

  /** Numbers of rows and lengths around which blocks, strides and the rounding of inputs change. */
  @Property(tries = 10)
  void multipliesRowsByFrozenWeights(
      @ForAll boolean biased, @ForAll boolean onResidual, @ForAll long seed) {
    Random random = new Random(seed);
    int[] lengths = {31, 63, 64, 65, 128, 129, 192};
    multiplies(
        ROWS[random.nextInt(ROWS.length)],
        lengths[random.nextInt(lengths.length)],
        lengths[random.nextInt(lengths.length)],
        biased,
        onResidual,
        seed);
  }

  private void multiplies(int n, int in, int out, boolean biased, boolean onResidual, long seed) {
    onEachPath(
        seed,
        (path, e, o) -> {
          float[] w = channels(o, out, in);
          float[] bias = biased ? o.normal(out) : null;
          double[] wv = Reference.doubles(w);
          double[] bv = biased ? Reference.doubles(bias) : new double[out];
          MatrixSource source = source(out, in, w);
          try (FrozenMatrix frozen = e.freeze(source, bias)) {
            assertThat(frozen.out()).isEqualTo(out);
            assertThat(frozen.in()).isEqualTo(in);
            assertThat(frozen.source()).isSameAs(source);
            Tensor x = o.read(n, in, o.compute());
            Tensor residual = onResidual ? o.read(n, out, DType.F32) : null;
            double[] xv = o.values(x);
            double[] rv = onResidual ? o.values(residual) : new double[n * out];
            Tensor y = e.linear(x, frozen, residual);
            assertShape(y, n, out, onResidual ? DType.F32 : o.compute());
            FrozenBounds bounds = new FrozenBounds(path, wv, in);
            ErrorBounds.assertWithin(
                "linear of " + x,
                e.read(y),
                Reference.linear(xv, wv, bv, rv, n, in, out),
                bounds.forward(xv, bv, rv, y.dtype()));

            Tensor dy = o.read(n, out, o.compute());
            Tensor dx = e.linearBackward(dy, frozen);
            assertShape(dx, n, in, o.compute());
            double[] dyv = o.values(dy);
            ErrorBounds.assertWithin(
                "gradient of linear from " + dy,
                e.read(dx),
                Reference.product(dyv, wv, n, out, in),
                bounds.backward(dyv, dx.dtype()));
          }
        });
  }

  /** Returns weights whose rows differ in scale, like output channels. */
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
          double[] biased = Reference.normMagnitude(xv, wv, eps, true, null);
          for (int i = 0; i < biased.length; i++) {
            biased[i] += Math.abs(bv[i % d]);
          }
          assertClose(
              "LayerNorm",
              o,
              normed.y(),
              Reference.layerNorm(xv, wv, bv, eps),
              biased,
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
            // the backward pass is the rotation by the negative angle
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

  /** Returns cosines and sines as in Su et al., times an attention factor. */
  static RopeTable ropeTable(int positions, int half) {
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

  /** A random case of attention. */
  private record AttentionCase(AttentionShape shape, Spans spans, int queries, int keys) {
    /**
     * Draws spans of {@code 1..longest} queries, possibly with rows between them that are in no
     * span.
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
    double[] bounds = attentionBounds(expected, terms, once.dtype());
    ErrorBounds.assertWithin("attention", e.read(once), expected, bounds);

    Engine.Attended attended = e.attention(q, k, v, spans, shape, true);
    ErrorBounds.assertWithin("attention for backward", e.read(attended.out()), expected, bounds);
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

  /** Returns bounds for probabilities that are rounded to the compute type, as is the result. */
  private static double[] attentionBounds(double[] exact, double[] terms, DType type) {
    double[] scores = Reference.times(terms, F32); // errors of scores change probabilities
    double[] bounds = ErrorBounds.plus(ErrorBounds.sum(exact, terms, 0, type), scores, type);
    return type == DType.F32
        ? bounds
        : ErrorBounds.plus(bounds, Reference.times(terms, ErrorBounds.BF16), type);
  }

  /** Packed segments of a training step, at sizes where tile counts and strides coincide. */
  @Property(tries = 12)
  void attendsWithinRaggedSegments(@ForAll long seed) {
    int[] more = {2016, 2047, 2048, 2049, 2080, 3072};
    int[] lengths = {8, 70, 70, 300};
    int[] dims = {8, 16, 33, 64};
    Random random = new Random(seed);
    int pick = random.nextInt(ROWS.length + more.length);
    int rows = pick < ROWS.length ? ROWS[pick] : more[pick - ROWS.length];
    attendsWithinRaggedSegments(
        rows,
        lengths[random.nextInt(lengths.length)],
        1 + random.nextInt(2),
        1 + random.nextInt(3),
        dims[random.nextInt(dims.length)],
        seed);
  }

  @Example
  void attendsWithinRaggedSegmentsOfWhichTilesAreAsManyAsTheirRows() {
    for (int rows : new int[] {1024, 1056, 2048}) {
      for (int group : new int[] {1, 2}) {
        attendsWithinRaggedSegments(rows, 70, 2, group, 32, rows);
      }
    }
  }

  private void attendsWithinRaggedSegments(
      int rows, int longest, int kvHeads, int group, int headDim, long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          List<Integer> starts = new ArrayList<>(List.of(0));
          for (int at = 0; at < rows; ) {
            at = Math.min(rows, at + 1 + o.random.nextInt(longest));
            starts.add(at);
          }
          AttentionCase c =
              new AttentionCase(
                  new AttentionShape(
                      kvHeads * group,
                      kvHeads,
                      headDim,
                      (float) (1 / Math.sqrt(headDim)),
                      o.random.nextInt(3) == 0 ? 17 : 0),
                  Spans.causal(starts.stream().mapToInt(i -> i).toArray()),
                  rows,
                  rows);
          int cols = c.shape.queryCols() + 2 * c.shape.kvCols();
          Tensor qkv = o.read(rows, cols, o.compute());
          Tensor d = o.set(rows, cols, o.compute());
          int k = c.shape.queryCols();
          int v = k + c.shape.kvCols();
          checkAttention(
              e,
              o,
              c,
              e.columns(qkv, 0, k),
              e.columns(qkv, k, v - k),
              e.columns(qkv, v, v - k),
              e.columns(d, 0, k),
              e.columns(d, k, v - k),
              e.columns(d, v, v - k),
              false);
        });
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

  /** Returns values that include extremes at which a formula may overflow. */
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

  /** Returns {@link Reference#gradient} of an elementwise function, in one pass. */
  private static double[] elementwiseGradient(
      java.util.function.UnaryOperator<double[]> f, double[] x, double[] dy) {
    double h = 1e-5;
    double[] shift = new double[x.length];
    Arrays.fill(shift, h);
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

  /** An operation on independent rows. */
  private interface RowWise {
    /** Returns results with as many rows as its operands. */
    List<Tensor> apply(Engine e, Tensor x, Tensor dy, int[] positions);
  }

  /** Results must not depend on the number of rows, although blocks, tiles and strides do. */
  @Property(tries = 12)
  void manyRowsComeOutAsFew(@ForAll @IntRange(min = 1, max = 4) int heads, @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          int n = ROWS[o.random.nextInt(ROWS.length)];
          int half = 1 + o.random.nextInt(9);
          int d = heads * 2 * half;
          Tensor weight = o.vector(d);
          Tensor bias = o.vector(d);
          Tensor headWeight = o.vector(2 * half);
          RopeTable table = ropeTable(40, half);
          RowWise[] inF32 = {
            (en, x, dy, at) -> {
              Engine.Normed y = en.rmsNorm(x, weight, 1e-6f);
              Tensor dx = en.allocate(x.rows(), d, DType.F32);
              en.rmsNormBackward(x, weight, 1e-6f, y.stats(), dy, dx, false);
              return List.of(y.y(), dx);
            },
            (en, x, dy, at) -> {
              Engine.Normed y = en.layerNorm(x, weight, bias, 1e-6f);
              Tensor dx = en.allocate(x.rows(), d, DType.F32);
              en.layerNormBackward(x, weight, 1e-6f, y.stats(), dy, dx, false);
              return List.of(y.y(), dx);
            },
          };
          RowWise[] inCompute = {
            (en, x, dy, at) -> List.of(en.gelu(x, true), en.geluBackward(x, false, dy)),
            (en, x, dy, at) -> {
              Tensor y = copyOf(en, x);
              en.rope(y, table, at, false);
              return List.of(y);
            },
            (en, x, dy, at) -> {
              Tensor y = copyOf(en, x);
              Tensor dx = copyOf(en, dy);
              en.headNormBackward(en.headNorm(y, headWeight, 1e-6f), headWeight, 1e-6f, dx);
              return List.of(y, dx);
            },
            (en, x, dy, at) ->
                List.of(en.swiglu(x), en.swigluBackward(x, en.columns(dy, 0, heads * half))),
            (en, x, dy, at) -> {
              Tensor y = copyOf(en, x);
              en.scaleColumns(y, weight);
              en.addColumns(y, bias);
              en.scale(y, 0.3f);
              en.add(dy, y);
              return List.of(y, en.cast(y, DType.F32));
            },
          };
          checkRowWise(o, n, d, DType.F32, inF32);
          checkRowWise(o, n, d, o.compute(), inCompute);
        });
  }

  private static Tensor copyOf(Engine e, Tensor t) {
    Tensor copy = e.allocate(t.rows(), t.cols(), t.dtype());
    e.copy(t, copy);
    return copy;
  }

  private static void checkRowWise(Operands o, int n, int d, DType type, RowWise... operations) {
    Engine e = o.engine;
    Tensor x = o.read(n, d, type);
    Tensor dy = o.read(n, d, o.compute());
    int[] positions = o.random.ints(n, 0, 40).toArray();
    int[] some = o.random.ints(5, 0, n).toArray();
    some[0] = n - 1;
    int[] somePositions = Arrays.stream(some).map(i -> positions[i]).toArray();
    for (int i = 0; i < operations.length; i++) {
      List<Tensor> all = operations[i].apply(e, x, dy, positions);
      List<Tensor> few =
          operations[i].apply(e, e.gatherRows(x, some), e.gatherRows(dy, some), somePositions);
      for (int k = 0; k < all.size(); k++) {
        assertThat(e.read(all.get(k))).as("result %s of %s", k, i).doesNotContain(Float.NaN);
        double[] expected = o.values(few.get(k));
        assertClose(
            "result %s of operation %s in %s on %s rows".formatted(k, i, type, n),
            o,
            e.gatherRows(all.get(k), some),
            expected,
            tolerance(few.get(k)));
      }
    }
  }

  // ---- head

  @Property
  void scoresTargets(
      @ForAll @IntRange(min = 0, max = 9) int n,
      @ForAll @IntRange(min = 1, max = 20) int in,
      @ForAll @IntRange(min = 1, max = 70) int vocabulary,
      @ForAll long seed) {
    onEachPath(
        seed,
        (path, e, o) -> {
          float[] w = o.normalWeights(vocabulary * in);
          double[] wv = Reference.doubles(w);
          MatrixSource source = source(vocabulary, in, w);
          try (FrozenMatrix head = e.freeze(source, null)) {
            Tensor h = o.read(n, in, o.compute());
            double[] hv = o.values(h);
            Tensor logits = e.logits(h, head);
            assertShape(logits, n, vocabulary, DType.F32);
            ErrorBounds.assertWithin(
                "logits",
                e.read(logits),
                Reference.linear(hv, wv, null, null, n, in, vocabulary),
                new FrozenBounds(path, wv, in).forward(hv, null, null, DType.F32));

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
            ErrorBounds.assertWithin(
                "gradient of the loss",
                e.read(loss.dHidden()),
                Reference.gradient(
                    v -> Reference.crossEntropy(v, wv, in, targets),
                    hv,
                    Reference.doubles(weights)),
                new FrozenBounds(path, wv, in)
                    .lossGradient(hv, targets, weights, loss.dHidden().dtype()));

            Engine.HeadLoss alone = e.headLoss(h, head, targets, null);
            assertThat(alone.dHidden()).isNull();
            Operands.assertClose(
                "losses without gradient", alone.losses(), expected, sizes, tolerance(e));

            // in two steps, as for a head with adapters
            Tensor z = e.logits(h, head);
            float[] before = e.read(z);
            Engine.LogitsLoss parts = e.crossEntropy(z, targets, weights);
            assertThat(e.read(z)).isEqualTo(before);
            Operands.assertClose("losses of logits", parts.losses(), expected, sizes, tolerance(e));
            assertShape(parts.dLogits(), n, vocabulary, DType.F32);
            assertClose(
                "gradient through logits",
                o,
                e.logitsBackward(parts.dLogits(), head),
                Reference.gradient(
                    v -> Reference.crossEntropy(v, wv, in, targets),
                    hv,
                    Reference.doubles(weights)),
                Reference.crossEntropyGradient(hv, wv, in, targets, weights, true),
                tolerance(e));
            assertThat(e.crossEntropy(z, targets, null).dLogits()).isNull();
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

  @Example
  void scoresInChunks() {
    int n = 600;
    int in = 4;
    int vocabulary = 40000;
    for (EnginePath path : paths()) {
      try (Engine e = path.create()) {
        Operands o = new Operands(e, 5);
        float[] w = o.normalWeights(vocabulary * in);
        try (FrozenMatrix head = e.freeze(source(vocabulary, in, w), null)) {
          Tensor h = o.read(n, in, o.compute());
          int[] targets = o.random.ints(n, 0, vocabulary).toArray();
          float[] weights = o.normal(n);
          Engine.HeadLoss loss = e.headLoss(h, head, targets, weights);
          assertThat(e.memory().arenaPeak())
              .as("arena of %s", path)
              .isLessThan(4L * n * vocabulary);

          // rows are independent: check some of them, including the first and the last
          int[] some = o.random.ints(20, 0, n).toArray();
          some[0] = 0;
          some[1] = n - 1;
          int[] someTargets = new int[some.length];
          float[] someWeights = new float[some.length];
          float[] losses = new float[some.length];
          for (int i = 0; i < some.length; i++) {
            someTargets[i] = targets[some[i]];
            someWeights[i] = weights[some[i]];
            losses[i] = loss.losses()[some[i]];
          }
          double[] hv = Reference.rows(o.values(h), in, some);
          double[] wv = Reference.doubles(w);
          double[] expected = Reference.crossEntropy(hv, wv, in, someTargets);
          Operands.assertClose("losses", losses, expected, expected, tolerance(e));
          assertClose(
              "gradient of the loss",
              o,
              e.gatherRows(loss.dHidden(), some),
              Reference.crossEntropyGradient(hv, wv, in, someTargets, someWeights, false),
              Reference.crossEntropyGradient(hv, wv, in, someTargets, someWeights, true),
              tolerance(e));
          o.finish();
        }
      }
    }
  }

  @Example
  void lossIsStableAtLargeLogits() {
    onEachPath(
        7,
        (path, e, o) -> {
          float[] w = {1, 0, 0, 1, -1, 0};
          try (FrozenMatrix head = e.freeze(source(3, 2, w), null)) {
            Tensor h = o.read(3, 2, o.compute(), new float[] {8192, 0, 8192, 0, -8192, 0});
            Engine.HeadLoss loss =
                e.headLoss(h, head, new int[] {0, 2, 1}, new float[] {1, 1, 0.5f});
            assertThat(loss.losses()).containsExactly(0f, 16384f, 8192f);
            assertThat(e.crossEntropy(e.logits(h, head), new int[] {0, 2, 1}, null).losses())
                .containsExactly(0f, 16384f, 8192f);
            assertClose(
                "gradient of the loss",
                o,
                loss.dHidden(),
                new double[] {0, 0, 2, 0, -0.5, -0.5},
                new double[] {2, 1, 2, 1, 1, 1},
                tolerance(e));
          }
        });
  }

  @Property
  void embeds(
      @ForAll @IntRange(min = 1, max = 60) int vocabulary,
      @ForAll @IntRange(min = 1, max = 30) int d,
      @ForAll @IntRange(min = 1, max = 20) int n,
      @ForAll boolean tied,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float[] w = o.normalWeights(vocabulary * d);
          try (FrozenMatrix table = e.freeze(source(vocabulary, d, w), null)) {
            int[] ids = o.random.ints(n, 0, vocabulary).toArray(); // tokens recur
            Tensor x = e.embed(table, ids);
            assertShape(x, n, d, DType.F32);
            double[] wv = Reference.doubles(w);
            assertClose(
                "embeddings",
                o,
                x,
                Reference.rows(wv, d, ids),
                e.precision() == Precision.INT8 ? INT8 : F32);
            if (tied) {
              Tensor h = o.read(n, d, o.compute());
              double[] hv = o.values(h);
              assertClose(
                  "logits",
                  o,
                  e.logits(h, table),
                  Reference.linear(hv, wv, null, null, n, d, vocabulary),
                  Reference.linear(
                      Reference.abs(hv), Reference.abs(wv), null, null, n, d, vocabulary),
                  tolerance(e));
            }
          }
        });
  }

  /** Returns a source that refuses to be read outside its rows. */
  private static MatrixSource source(int rows, int cols, float[] values) {
    MatrixSource all = MatrixSource.of(rows, cols, values);
    return new MatrixSource() {
      @Override
      public int rows() {
        return rows;
      }

      @Override
      public int cols() {
        return cols;
      }

      @Override
      public void read(int row, int count, float[] into) {
        assertThat(row).isNotNegative();
        assertThat(count).isBetween(0, rows - row);
        assertThat(into.length).isGreaterThanOrEqualTo(count * cols);
        all.read(row, count, into);
      }
    };
  }

  // ---- storage

  private static DType anyType(Operands o) {
    return o.random.nextBoolean() ? DType.F32 : DType.BF16;
  }

  private static float[] rounded(float[] values, DType type) {
    float[] out = values.clone();
    for (int i = 0; i < out.length; i++) {
      out[i] = type == DType.F32 ? out[i] : Floats.fromBf16(Floats.toBf16(out[i]));
    }
    return out;
  }

  @Property
  void storesValues(
      @ForAll @IntRange(min = 0, max = 20) int n,
      @ForAll @IntRange(min = 1, max = 30) int m,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          DType type = anyType(o);
          Tensor t = o.set(n, m, type);
          assertShape(t, n, m, type);
          float[] values = o.normal(n * m);
          e.write(t, values);
          assertThat(e.read(t)).isEqualTo(rounded(values, type));
          if (n > 0) {
            INDArray array = e.toArray(t);
            assertThat(array.shape()).containsExactly(n, m);
            assertThat(array.dataType()).isEqualTo(DataType.FLOAT);
            assertThat(array.dup('c').data().asFloat()).isEqualTo(rounded(values, type));
            float[] others = o.normal(n * m);
            INDArray source = Nd4j.create(others, new long[] {n, m}, 'c');
            for (INDArray written :
                List.of(source, source.dup('f'), source.transpose().dup('c').transpose())) {
              e.fill(t, 7);
              assertThat(e.read(t)).containsOnly(7);
              e.write(t, written);
              assertThat(e.read(t)).isEqualTo(rounded(others, type));
            }
            e.write(t, Nd4j.create(others)); // [n * m]
            assertThat(e.read(t)).isEqualTo(rounded(others, type));
          }
        });
  }

  @Property
  void viewsShareStorage(
      @ForAll @IntRange(min = 1, max = 12) int n,
      @ForAll @IntRange(min = 1, max = 12) int m,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          DType type = anyType(o);
          int row = o.random.nextInt(n);
          int rows = 1 + o.random.nextInt(n - row);
          int col = o.random.nextInt(m);
          int cols = 1 + o.random.nextInt(m - col);
          Tensor whole = o.changed(n, m, type);
          float[] expected = e.read(whole);
          Tensor part = e.rows(e.columns(whole, col, cols), row, rows);
          Tensor same = e.columns(e.rows(whole, row, rows), col, cols);
          assertShape(part, rows, cols, type);
          assertThat(e.read(part)).isEqualTo(e.read(same));
          float[] values = rounded(o.normal(rows * cols), type);
          e.write(part, values);
          for (int i = 0; i < values.length; i++) {
            expected[(row + i / cols) * m + col + i % cols] = values[i];
          }
          assertThat(e.read(whole)).isEqualTo(expected);
          assertThat(e.read(same)).isEqualTo(values);

          Tensor flat = e.allocate(n, m, type);
          e.write(flat, expected);
          int offset = o.random.nextInt(n * m);
          int length = 1 + o.random.nextInt(n * m - offset);
          assertThat(e.read(e.view(flat, offset, length, 1)))
              .isEqualTo(Arrays.copyOfRange(expected, offset, offset + length));
        });
  }

  @Property
  void copiesAndConverts(
      @ForAll @IntRange(min = 1, max = 12) int n,
      @ForAll @IntRange(min = 1, max = 40) int m,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          Tensor from = o.read(n, m, anyType(o));
          Tensor to = o.set(n, m, anyType(o));
          e.copy(from, to);
          assertThat(e.read(to)).isEqualTo(rounded(e.read(from), to.dtype()));

          DType type = anyType(o);
          Tensor cast = e.cast(from, type);
          assertShape(cast, n, m, type);
          assertThat(cast.stride()).isEqualTo(m);
          assertThat(e.read(cast)).isEqualTo(rounded(e.read(from), type));
          assertThat(cast == from).isEqualTo(from.dtype() == type && from.stride() == m);
        });
  }

  @Property
  void addsAndScales(
      @ForAll @IntRange(min = 1, max = 12) int n,
      @ForAll @IntRange(min = 1, max = 40) int m,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          Tensor from = o.read(n, m, anyType(o));
          Tensor to = o.changed(n, m, anyType(o));
          double[] sum = Reference.plus(o.values(from), o.values(to));
          double[] terms =
              Reference.plus(Reference.abs(o.values(from)), Reference.abs(o.values(to)));
          e.add(from, to);
          assertClose("sum of " + from, o, to, sum, terms, tolerance(to));

          Tensor t = o.changed(n, m, anyType(o));
          double[] scaled = Reference.times(o.values(t), -1.7f);
          e.scale(t, -1.7f);
          assertClose("scaled", o, t, scaled, tolerance(t));

          Tensor vector = o.vector(m);
          double[] v = o.values(vector);
          Tensor x = o.changed(n, m, anyType(o));
          double[] xv = o.values(x);
          e.scaleColumns(x, vector);
          double[] products = new double[n * m];
          double[] sums = new double[n * m];
          for (int i = 0; i < products.length; i++) {
            products[i] = xv[i] * v[i % m];
          }
          assertClose("scaled columns", o, x, products, tolerance(x));

          Tensor y = o.changed(n, m, anyType(o));
          double[] yv = o.values(y);
          e.addColumns(y, vector);
          double[] sizes = new double[n * m];
          for (int i = 0; i < sums.length; i++) {
            sums[i] = yv[i] + v[i % m];
            sizes[i] = Math.abs(yv[i]) + Math.abs(v[i % m]);
          }
          assertClose("columns with a bias", o, y, sums, sizes, tolerance(y));
        });
  }

  @Property
  void multipliesColumns(
      @ForAll @IntRange(min = 1, max = 60) int n,
      @ForAll @IntRange(min = 1, max = 40) int m,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          Tensor a = o.read(n, m, anyType(o));
          Tensor b = o.read(n, m, anyType(o));
          double[] av = o.values(a);
          double[] bv = o.values(b);
          double[] dots = new double[m];
          double[] sizes = new double[m];
          for (int i = 0; i < av.length; i++) {
            dots[i % m] += av[i] * bv[i];
            sizes[i % m] += Math.abs(av[i] * bv[i]);
          }
          Tensor result = e.columnDots(a, b);
          assertShape(result, 1, m, DType.F32);
          assertClose("dots of " + a + " and " + b, o, result, dots, sizes, F32);
        });
  }

  @Property
  void movesRows(
      @ForAll @IntRange(min = 1, max = 15) int n,
      @ForAll @IntRange(min = 1, max = 20) int m,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          DType type = anyType(o);
          Tensor x = o.read(n, m, type);
          float[] xv = e.read(x);
          int[] any = o.random.ints(o.random.nextInt(2 * n), 0, n).toArray(); // rows recur
          Tensor gathered = e.gatherRows(x, any);
          assertShape(gathered, any.length, m, type);
          float[] expected = new float[any.length * m];
          for (int i = 0; i < any.length; i++) {
            System.arraycopy(xv, any[i] * m, expected, i * m, m);
          }
          assertThat(e.read(gathered)).isEqualTo(expected);

          List<Integer> order = new ArrayList<>();
          for (int i = 0; i < n; i++) {
            order.add(i);
          }
          Collections.shuffle(order, o.random);
          int[] index =
              order.subList(0, o.random.nextInt(n + 1)).stream().mapToInt(i -> i).toArray();
          Tensor from = o.read(index.length, m, type);
          float[] fv = e.read(from);
          Tensor to = o.changed(n, m, type);
          Tensor sum = o.changed(n, m, type);
          float[] tv = e.read(to);
          double[] sv = o.values(sum);
          double[] terms = Reference.abs(sv);
          for (int i = 0; i < index.length; i++) {
            System.arraycopy(fv, i * m, tv, index[i] * m, m);
            for (int c = 0; c < m; c++) {
              sv[index[i] * m + c] += fv[i * m + c];
              terms[index[i] * m + c] += Math.abs(fv[i * m + c]);
            }
          }
          e.scatterRows(from, index, to);
          assertThat(e.read(to)).isEqualTo(tv);
          e.scatterAddRows(from, index, sum);
          assertClose("scattered sums", o, sum, sv, terms, tolerance(sum));
        });
  }

  /** Reads of unwritten storage show in tests. */
  @Example
  void storageIsPoisonedUntilItIsWritten() {
    inEachPrecision(
        17,
        (e, o) -> {
          for (DType type : DType.values()) {
            Tensor t = e.allocate(40, 33, type);
            assertThat(e.read(t)).containsOnly(Float.NaN);
            e.fill(t, 1);
            e.release(t);
            assertThat(e.read(e.allocate(40, 33, type))).containsOnly(Float.NaN);
            assertThat(e.read(e.allocate(400, 7000, type))).containsOnly(Float.NaN); // a slab
          }
        });
  }

  @Example
  void keepsPersistentTensorsUntilFreed() {
    inEachPrecision(
        11,
        (e, o) -> {
          long before = e.memory().persistent();
          Tensor t = e.persistent(30, 7, DType.F32);
          Tensor half = e.persistent(30, 7, DType.BF16);
          assertThat(e.read(t)).containsOnly(0);
          assertThat(e.read(half)).containsOnly(0);
          assertThat(e.memory().persistent() - before).isBetween(30 * 7 * 6L, 30 * 7 * 6L + 1024);
          e.fill(t, 3);
          e.release(t);
          e.release(e.rows(t, 0, 2));
          e.resetArena();
          e.fill(e.allocate(30, 7, DType.F32), 5);
          assertThat(e.read(t)).containsOnly(3);
          e.free(half);
          e.free(t);
          assertThat(e.memory().persistent()).isEqualTo(before);
        });
  }

  @Example
  void countsFrozenWeights() {
    inEachPrecision(
        13,
        (e, o) -> {
          long before = e.memory().weights();
          FrozenMatrix w = e.freeze(source(40, 30, o.normal(1200)), null);
          assertThat(e.weightBytes(40, 30)).isGreaterThanOrEqualTo(1200);
          assertThat(e.memory().weights() - before).isEqualTo(e.weightBytes(40, 30));
          w.close();
          w.close();
          assertThat(e.memory().weights()).isEqualTo(before);
        });
  }

  @Example
  void reusesTheStorageOfReleasedTensorsAndPastSteps() {
    for (EnginePath path : paths()) {
      try (Engine e = path.create()) {
        for (int i = 0; i < 300; i++) {
          Tensor t = e.allocate(256, 1000 + i % 5, DType.F32); // 1 MB
          Tensor part = e.rows(t, 0, 1);
          e.fill(t, i);
          e.release(part); // a view: ignored
          Tensor other = e.allocate(1, 1000, DType.F32);
          e.fill(other, -1);
          assertThat(e.read(part)).containsOnly(i);
          e.release(other);
          e.release(t);
        }
        assertThat(e.memory().arenaReserved()).isLessThan(32L << 20);
        assertThat(e.memory().arenaPeak()).isBetween(1L << 20, 4L << 20);
        e.resetArena();
        long reserved = 0;
        for (int step = 0; step < 50; step++) {
          for (int i = 0; i < 20; i++) {
            e.allocate(256, 1000 + (step * 7 + i) % 5, DType.F32);
          }
          e.resetArena();
          reserved = step == 2 ? e.memory().arenaReserved() : reserved;
        }
        assertThat(e.memory().arenaReserved()).isEqualTo(reserved);
      }
    }
  }

  @Example
  void givesTheArenaBack() {
    for (EnginePath path : paths()) {
      try (Engine e = path.create()) {
        e.fill(e.allocate(4000, 1000, DType.F32), 1); // 16 MB
        e.resetArena();
        e.freeArena();
        assertThat(e.memory().arenaReserved()).isZero();
        assertThat(e.memory().arenaPeak()).isZero();
        Tensor small = e.allocate(10, 1000, DType.F32);
        e.fill(small, 2);
        assertThat(e.read(small)).containsOnly(2);
        assertThat(e.memory().arenaReserved()).isBetween(1L, 16L << 20);
        assertThat(e.memory().arenaPeak()).isBetween(40_000L, 50_000L);
        e.resetArena();
      }
    }
  }

  private static void locked(Engine e, Runnable work) {
    e.lock().lock();
    try {
      work.run();
    } finally {
      e.lock().unlock();
    }
  }

  private static void untilSomebodyWaits(Engine e) {
    while (!e.lock().hasQueuedThreads()) {
      Thread.onSpinWait();
    }
  }

  /** Steps of two threads, one of which gives way to the other between any two operations. */
  @Example
  void aStepThatGivesWayGoesOnAsItWas() throws InterruptedException {
    for (EnginePath path : paths()) {
      try (Engine e = path.create();
          TestNetwork mine = new TestNetwork(e, 70, 0.2f, 0, new Random(1));
          TestNetwork theirs = new TestNetwork(e, 45, 0, 0, new Random(2))) {
        float[] expected = theirs.losses(Tape.inference(e));
        e.resetArena();
        AtomicInteger steps = new AtomicInteger();
        AtomicInteger different = new AtomicInteger();
        AtomicBoolean done = new AtomicBoolean();
        Runnable step =
            () -> {
              if (!Arrays.equals(theirs.losses(Tape.inference(e)), expected)) {
                different.incrementAndGet();
              }
              e.resetArena();
              steps.incrementAndGet();
            };
        Thread other =
            new Thread(
                () -> {
                  while (!done.get()) {
                    locked(e, step);
                  }
                });
        locked(
            e,
            () -> {
              other.start();
              long reserved = 0;
              for (int round = 0; round < 3; round++) {
                for (Tape.Mode mode : List.of(Tape.Mode.RECORDING, Tape.Mode.CHECKPOINTING)) {
                  float[] alone = mine.gradients(Tape.training(e, mode, 3));
                  int before = steps.get();
                  AtomicInteger pauses = new AtomicInteger();
                  Runnable pause =
                      () -> {
                        untilSomebodyWaits(e);
                        pauses.incrementAndGet();
                        e.giveWay();
                      };
                  float[] beside = mine.gradients(Tape.training(e, mode, 3).pausing(pause));
                  assertThat(beside).as("%s on %s", mode, path).isEqualTo(alone);
                  assertThat(pauses.get()).isGreaterThan(40);
                  assertThat(steps.get() - before).isGreaterThanOrEqualTo(pauses.get());
                }
                reserved = round == 0 ? e.memory().arenaReserved() : reserved;
              }
              assertThat(e.memory().arenaReserved()).as("used again").isEqualTo(reserved);
              done.set(true);
            });
        other.join();
        assertThat(different).hasValue(0);
      }
    }
  }

  @Example
  void nothingIsGivenWhereSomebodyCountsOnTheLock() throws InterruptedException {
    try (Engine e = paths().get(0).create()) {
      Thread other = new Thread(() -> locked(e, () -> {}));
      locked(
          e,
          () ->
              locked(
                  e,
                  () -> {
                    other.start();
                    untilSomebodyWaits(e);
                    e.giveWay();
                    assertThat(e.lock().hasQueuedThreads()).as("it still waits").isTrue();
                    assertThat(e.lock().getHoldCount()).isEqualTo(2);
                  }));
      other.join();
    }
  }

  // ---- dropout

  @Property
  void dropsByPlaceAndSeed(
      @ForAll @IntRange(min = 1, max = 40) int n,
      @ForAll @IntRange(min = 1, max = 80) int m,
      @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float p = List.of(0.05f, 0.1f, 0.5f, 0.9f).get(o.random.nextInt(4));
          float[] values = o.normal(n * m);
          for (int i = 0; i < values.length; i++) {
            values[i] += Math.copySign(0.1f, values[i]); // no value is 0 before dropout
          }
          Tensor x = o.read(n, m, o.compute(), values);
          Tensor y = e.dropout(x, p, seed);
          assertShape(y, n, m, o.compute());
          double[] expected = o.values(x);
          float[] actual = e.read(y);
          boolean[] kept = new boolean[n * m];
          for (int i = 0; i < kept.length; i++) {
            kept[i] = actual[i] != 0;
            expected[i] = kept[i] ? expected[i] / (1 - p) : 0;
          }
          assertClose("what was kept", o, y, expected, tolerance(y));
          // the mask is the same for another layout and type
          float[] again = e.read(e.dropout(o.read(n, m, DType.F32, values), p, seed));
          for (int i = 0; i < kept.length; i++) {
            assertThat(again[i] != 0).as("element %s kept", i).isEqualTo(kept[i]);
          }
          assertThat(e.read(e.dropout(x, 0, seed))).isEqualTo(e.read(x));
        });
  }

  @Property(tries = 5)
  void dropsAsManyAsAskedFor(@ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          int n = 64;
          int m = 129;
          float p = 0.3f;
          float[] ones = new float[n * m];
          Arrays.fill(ones, 1);
          Tensor x = o.read(n, m, o.compute(), ones);
          float[] first = e.read(e.dropout(x, p, seed));
          float[] second = e.read(e.dropout(x, p, seed + 1));
          // independent masks agree in p^2 + (1 - p)^2 of all elements, as do any two rows
          int dropped = 0;
          int agreeing = 0;
          int likeNextRow = 0;
          for (int i = 0; i < first.length; i++) {
            dropped += first[i] == 0 ? 1 : 0;
            agreeing += first[i] == second[i] ? 1 : 0;
            likeNextRow += first[i] == first[(i + m) % first.length] ? 1 : 0;
          }
          assertShare("dropped", dropped, first.length, p);
          assertShare("agreeing with another seed", agreeing, first.length, 0.58);
          assertShare("agreeing with the next row", likeNextRow, first.length, 0.58);
        });
  }

  /** Checks a count of binomial draws within 6 standard deviations (8 for the weakly dependent). */
  private static void assertShare(String what, int count, int of, double p) {
    assertThat((double) count).as(what).isCloseTo(of * p, within(8 * Math.sqrt(of * p * (1 - p))));
  }

  // ---- optimizer

  @Property
  void sumsSquares(@ForAll @IntRange(min = 1, max = 5000) int n, @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          Tensor t = e.view(o.vector(n + 3), 2, 1, n);
          double sum = Arrays.stream(o.values(t)).map(v -> v * v).sum();
          assertThat(e.sumOfSquares(t)).isCloseTo(sum, withinPercentage(1e-4));
        });
  }

  @Property
  void stepsLikeAdamW(
      @ForAll @IntRange(min = 1, max = 200) int n, @ForAll boolean decay, @ForAll long seed) {
    inEachPrecision(
        seed,
        (e, o) -> {
          float lr = 3e-2f;
          float beta1 = 0.9f;
          float beta2 = 0.95f;
          float eps = 1e-8f;
          float weightDecay = decay ? 0.1f : 0;
          Tensor w = o.vector(n);
          Tensor m = e.persistent(1, n, DType.F32);
          Tensor v = e.persistent(1, n, DType.F32);
          double[] ws = o.values(w);
          double[] ms = new double[n];
          double[] vs = new double[n];
          for (int step = 1; step <= 6; step++) {
            float gradScale = step % 2 == 0 ? 1 : 0.25f;
            Tensor g = o.read(1, n, DType.F32);
            double[] gs = o.values(g);
            // torch.optim.AdamW, single-tensor form
            for (int i = 0; i < n; i++) {
              double grad = gs[i] * gradScale;
              ws[i] -= (double) lr * weightDecay * ws[i];
              ms[i] += (grad - ms[i]) * (1 - (double) beta1);
              vs[i] = beta2 * vs[i] + (1 - (double) beta2) * grad * grad;
              double denominator = Math.sqrt(vs[i]) / Math.sqrt(1 - Math.pow(beta2, step)) + eps;
              ws[i] -= lr / (1 - Math.pow(beta1, step)) * ms[i] / denominator;
            }
            e.adamW(w, g, m, v, gradScale, lr, beta1, beta2, eps, weightDecay, step);
          }
          assertClose("weights", o, w, ws, F32);
          assertClose("first moments", o, m, ms, F32);
          assertClose("second moments", o, v, vs, F32);
          e.free(m);
          e.free(v);
        });
  }

  // ---- a whole network

  @Property(tries = 8)
  void differentiatesANetwork(
      @ForAll @IntRange(min = 2, max = 9) int n, @ForAll boolean checkpointing, @ForAll long seed) {
    onEachPath(
        seed,
        (path, e, o) -> {
          Tape.Mode mode = checkpointing ? Tape.Mode.CHECKPOINTING : Tape.Mode.RECORDING;
          try (TestNetwork network = new TestNetwork(e, n, 0, 0, o.random)) {
            double[] at = network.values();
            double[] losses = network.losses(at);
            Operands.assertCloseThroughout(
                "losses", network.losses(Tape.inference(e)), losses, e.precision());
            double[] gradient = Reference.gradient(network::losses, at, network.lossWeights());
            Operands.assertCloseThroughout(
                "gradients of the adapters",
                network.gradients(Tape.training(e, mode, seed)),
                gradient,
                e.precision());
          }
        });
  }

  @Property(tries = 5)
  void theSameCallsGiveTheSameBits(@ForAll long seed) {
    onEachPath(
        seed,
        (path, e, o) -> {
          float[] w = o.normalWeights(48 * 33);
          int[] targets = o.random.ints(70, 0, 48).toArray();
          float[] weights = o.normal(70);
          float[] x = o.normal(70 * 33);
          List<float[]> results = new ArrayList<>();
          try (FrozenMatrix head = e.freeze(source(48, 33, w), null);
              FrozenMatrix square = e.freeze(source(48, 33, w), null)) {
            for (int run = 0; run < 2; run++) {
              Tensor t = e.allocate(70, 33, o.compute());
              e.write(t, x);
              Tensor y = e.linear(t, square, null);
              Tensor dx = e.linearBackward(y, square);
              Spans spans = Spans.causal(new int[] {0, 30, 70});
              AttentionShape shape = new AttentionShape(3, 3, 11, 0.3f, 0);
              Engine.Attended a = e.attention(t, dx, t, spans, shape, true);
              Tensor dq = e.allocate(70, 33, o.compute());
              Tensor dk = e.allocate(70, 33, o.compute());
              Tensor dv = e.allocate(70, 33, o.compute());
              e.attentionBackward(t, dx, t, spans, shape, a, dx, dq, dk, dv);
              Tensor g = e.allocate(33, 33, DType.F32);
              e.gemm(1, t, true, dq, false, 0, g);
              Engine.HeadLoss loss = e.headLoss(t, head, targets, weights);
              results.add(
                  com.google.common.primitives.Floats.concat(
                      e.read(y),
                      e.read(dx),
                      e.read(a.out()),
                      e.read(dk),
                      e.read(dv),
                      e.read(g),
                      loss.losses(),
                      e.read(loss.dHidden()),
                      new float[] {(float) e.sumOfSquares(g)}));
              e.resetArena();
            }
          }
          assertThat(results.get(1)).isEqualTo(results.get(0));
        });
  }
}
