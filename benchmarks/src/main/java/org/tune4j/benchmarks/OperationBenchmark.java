package org.tune4j.benchmarks;

import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.RopeTable;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tensor;

/**
 * Times the operations of a training step in milliseconds, at the shapes of GPT-2 124M with 4 sequences of 128 tokens. Runs in this process, as the native code loads only once:
 *
 * <pre>mvn -q -Pjmh -pl benchmarks -am compile exec:java -Dexec.args="-p engine=onednn linear.*"
 * </pre>
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 3, time = 300, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 5, time = 300, timeUnit = TimeUnit.MILLISECONDS)
public class OperationBenchmark {
  private static final int ROWS = 512;
  private static final int HIDDEN = 768;
  private static final int INNER = 3072;
  private static final int VOCABULARY = 50257;
  private static final int RANK = 8;
  private static final AttentionShape SHAPE = new AttentionShape(12, 12, 64, 0.125f, 0);

  /** Engine. */
  @Param({"onednn", "nd4j"})
  public String engine;

  /** Precision. */
  @Param({"F32"})
  public Precision precision;

  private Engine e;
  private FrozenMatrix up;
  private FrozenMatrix head;
  private Tensor narrow; // compute type [512, 768]
  private Tensor wide; // compute type [512, 3072]
  private Tensor residual; // F32 [512, 768]
  private Tensor qkv; // compute type [512, 2304]
  private Tensor gain;
  private Tensor a; // compute type [8, 768]
  private Tensor b; // compute type [3072, 8]
  private Tensor low; // compute type [512, 8]
  private Tensor parameters;
  private Tensor gradients;
  private Tensor firstMoment;
  private Tensor secondMoment;
  private final int[] positions = new int[ROWS];
  private final int[] targets = new int[ROWS];
  private final float[] weights = new float[ROWS];
  private final Spans spans = Spans.causal(new int[] {0, 128, 256, 384, 512});
  private RopeTable rope;

  @Setup(Level.Trial)
  public void setUp() {
    e = Engines.create(engine, precision);
    Random random = new Random(1);
    up = frozen(INNER, HIDDEN, random);
    head = frozen(VOCABULARY, HIDDEN, random);
    narrow = tensor(ROWS, HIDDEN, e.computeType(), random);
    wide = tensor(ROWS, INNER, e.computeType(), random);
    residual = tensor(ROWS, HIDDEN, DType.F32, random);
    qkv = tensor(ROWS, 3 * HIDDEN, e.computeType(), random);
    gain = tensor(1, HIDDEN, DType.F32, random);
    a = tensor(RANK, HIDDEN, e.computeType(), random);
    b = tensor(INNER, RANK, e.computeType(), random);
    low = tensor(ROWS, RANK, e.computeType(), random);
    parameters = tensor(1, 1 << 20, DType.F32, random);
    gradients = tensor(1, 1 << 20, DType.F32, random);
    firstMoment = e.persistent(1, 1 << 20, DType.F32);
    secondMoment = e.persistent(1, 1 << 20, DType.F32);
    float[] cos = new float[128 * 32];
    float[] sin = new float[128 * 32];
    for (int i = 0; i < cos.length; i++) {
      cos[i] = (float) Math.cos(i);
      sin[i] = (float) Math.sin(i);
    }
    rope = new RopeTable(128, 32, cos, sin);
    for (int i = 0; i < ROWS; i++) {
      positions[i] = i % 128;
      targets[i] = random.nextInt(VOCABULARY);
      weights[i] = 1f / ROWS;
    }
  }

  private FrozenMatrix frozen(int out, int in, Random random) {
    float[] values = new float[out * in];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (0.02 * random.nextGaussian());
    }
    return e.freeze(MatrixSource.of(out, in, values), null);
  }

  private Tensor tensor(int rows, int cols, DType type, Random random) {
    float[] values = new float[rows * cols];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    Tensor t = e.persistent(rows, cols, type);
    e.write(t, values);
    return t;
  }

  @TearDown(Level.Trial)
  public void tearDown() {
    up.close();
    head.close();
    e.close();
  }

  /** Ends a step. */
  @TearDown(Level.Invocation)
  public void endStep() {
    e.resetArena();
  }

  /** [512,768] x [768,3072]. */
  @Benchmark
  public Tensor linear() {
    return e.linear(narrow, up, null);
  }

  /** [512,3072] x [3072,768]. */
  @Benchmark
  public Tensor linearBackward() {
    return e.linearBackward(wide, up);
  }

  /** LoRA's A: [512,768] x [768,8]. */
  @Benchmark
  public Tensor loraA() {
    Tensor u = e.allocate(ROWS, RANK, e.computeType());
    e.gemm(1, narrow, false, a, true, 0, u);
    return u;
  }

  /** LoRA's B, accumulated: [512,8] x [8,3072]. */
  @Benchmark
  public Tensor loraB() {
    e.gemm(2, low, false, b, true, 1, wide);
    return wide;
  }

  /** Attention of 4 sequences, 12 heads, forward. */
  @Benchmark
  public Engine.Attended attention() {
    return e.attention(query(), key(), value(), spans, SHAPE, true);
  }

  /** Attention of 4 sequences, 12 heads, forward and backward. */
  @Benchmark
  public Tensor attentionBothWays() {
    Engine.Attended attended = e.attention(query(), key(), value(), spans, SHAPE, true);
    Tensor d = e.allocate(ROWS, 3 * HIDDEN, e.computeType());
    e.attentionBackward(
        query(),
        key(),
        value(),
        spans,
        SHAPE,
        attended,
        narrow,
        e.columns(d, 0, HIDDEN),
        e.columns(d, HIDDEN, HIDDEN),
        e.columns(d, 2 * HIDDEN, HIDDEN));
    return d;
  }

  private Tensor query() {
    return e.columns(qkv, 0, HIDDEN);
  }

  private Tensor key() {
    return e.columns(qkv, HIDDEN, HIDDEN);
  }

  private Tensor value() {
    return e.columns(qkv, 2 * HIDDEN, HIDDEN);
  }

  /** Rotary positions of 24 heads. */
  @Benchmark
  public Tensor rope() {
    Tensor heads = e.columns(qkv, 0, 2 * HIDDEN);
    e.rope(heads, rope, positions, false);
    return heads;
  }

  /** RMSNorm of [512,768]. */
  @Benchmark
  public Engine.Normed rmsNorm() {
    return e.rmsNorm(residual, gain, 1e-5f);
  }

  /** LayerNorm of [512,768]. */
  @Benchmark
  public Engine.Normed layerNorm() {
    return e.layerNorm(residual, gain, gain, 1e-5f);
  }

  /** GELU of [512,3072]. */
  @Benchmark
  public Tensor gelu() {
    return e.gelu(wide, true);
  }

  /** SwiGLU of [512,3072]. */
  @Benchmark
  public Tensor swiglu() {
    return e.swiglu(wide);
  }

  /** Cross-entropy of 512 rows over 50257 tokens, with its gradient. */
  @Benchmark
  public Engine.HeadLoss headLoss() {
    return e.headLoss(narrow, head, targets, weights);
  }

  /** AdamW over 2^20 parameters. */
  @Benchmark
  public Tensor adamW() {
    e.adamW(
        parameters, gradients, firstMoment, secondMoment, 1, 1e-4f, 0.9f, 0.999f, 1e-8f, 0.01f, 1);
    return parameters;
  }

  /** Runs JMH with its own command line, without forks. */
  public static void main(String[] args) throws RunnerException, CommandLineOptionException {
    ChainedOptionsBuilder options =
        new OptionsBuilder().parent(new CommandLineOptions(args)).forks(0);
    new Runner(options.build()).run();
  }
}
