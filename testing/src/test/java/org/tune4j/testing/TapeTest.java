package org.tune4j.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.HashMultiset;
import com.google.common.collect.Multiset;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.KvCache;
import org.tune4j.core.engine.MatrixSource;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Spans;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;

/** What the tape adds to the operations, which {@link EngineContract} tests. */
class TapeTest {
  private final Engine engine = Engines.create("nd4j", Precision.F32);

  @AfterEach
  void close() {
    engine.close();
  }

  /** Returns an engine that counts the calls of each operation. */
  private static Engine counting(Engine engine, Multiset<String> calls) {
    return (Engine)
        Proxy.newProxyInstance(
            TapeTest.class.getClassLoader(),
            new Class<?>[] {Engine.class},
            (proxy, method, args) -> {
              calls.add(method.getName());
              try {
                return method.invoke(engine, args);
              } catch (InvocationTargetException e) {
                throw e.getCause();
              }
            });
  }

  @ParameterizedTest
  @EnumSource(
      value = Tape.Mode.class,
      names = {"RECORDING", "CHECKPOINTING"})
  void formsNoGradientBelowTheLowestAdapter(Tape.Mode mode) {
    Multiset<String> calls = HashMultiset.create();
    Engine counting = counting(engine, calls);
    try (TestNetwork network = new TestNetwork(counting, 6, 0, 1, new Random(1))) {
      calls.clear();
      network.gradients(Tape.training(counting, mode, 1));
      // layer 1 alone: its product of queries, keys and values has adapters, its input needs
      // nothing
      assertThat(calls.count("linearBackward")).isEqualTo(3);
      assertThat(calls.count("layerNormBackward")).isZero();
      assertThat(calls.count("rmsNormBackward")).isEqualTo(2); // before the MLP, and the final one
      assertThat(calls.count("attentionBackward")).isEqualTo(1);
      assertThat(calls.count("swigluBackward")).isZero();
      assertThat(calls.count("geluBackward")).isEqualTo(1);
      assertThat(calls.count("headNormBackward")).isZero();
      // and layer 0 is run once
      assertThat(calls.count("swiglu")).isEqualTo(1);
      assertThat(calls.count("gelu")).isEqualTo(mode == Tape.Mode.CHECKPOINTING ? 2 : 1);
    }
    try (TestNetwork network = new TestNetwork(counting, 6, 0, 2, new Random(1))) {
      calls.clear();
      network.gradients(Tape.training(counting, mode, 1));
      assertThat(calls).doesNotContain("linearBackward", "rmsNormBackward", "attentionBackward");
    }
  }

  @Test
  void checkpointingGivesTheSameBitsWithDropout() {
    for (int seed = 0; seed < 4; seed++) {
      try (TestNetwork network = new TestNetwork(engine, 7, 0.3f, 0, new Random(seed))) {
        float[] recorded = network.gradients(Tape.training(engine, Tape.Mode.RECORDING, seed));
        assertThat(network.gradients(Tape.training(engine, Tape.Mode.CHECKPOINTING, seed)))
            .isEqualTo(recorded);
        assertThat(network.gradients(Tape.training(engine, Tape.Mode.RECORDING, seed + 1)))
            .isNotEqualTo(recorded);
      }
    }
  }

  @Test
  void onlyTrainingDropsOut() {
    try (TestNetwork with = new TestNetwork(engine, 7, 0.5f, 0, new Random(3));
        TestNetwork without = new TestNetwork(engine, 7, 0, 0, new Random(3))) {
      assertThat(with.losses(Tape.inference(engine)))
          .isEqualTo(without.losses(Tape.inference(engine)));
      assertThat(with.losses(Tape.recording(engine)))
          .isEqualTo(without.losses(Tape.recording(engine)));
      assertThat(with.losses(Tape.training(engine, Tape.Mode.RECORDING, 1)))
          .isNotEqualTo(without.losses(Tape.recording(engine)));
    }
  }

  /** Records the seeds that it is given. */
  private static final class SeedRecorder implements ProjectionAdapter {
    final List<Long> seeds = new ArrayList<>();

    @Override
    public boolean trainable() {
      return true;
    }

    @Override
    public Object forward(Engine e, Tensor x, Tensor y, long dropoutSeed, boolean recording) {
      seeds.add(dropoutSeed);
      return null;
    }

    @Override
    public void backward(Engine e, Object state, Tensor x, Tensor dy, Tensor dx) {}
  }

  @Test
  void dropsUnrelatedElementsAtEachApplication() {
    SeedRecorder recorder = new SeedRecorder();
    Tensor x = engine.allocate(64, 64, DType.F32);
    engine.fill(x, 1);
    try (FrozenMatrix w = engine.freeze(MatrixSource.of(1, 1, new float[1]), null)) {
      Tape tape = Tape.training(engine, Tape.Mode.RECORDING, 42);
      List<ProjectionAdapter.Slice> slices = List.of(new ProjectionAdapter.Slice(0, 1, recorder));
      for (int i = 0; i < 5; i++) {
        tape.project(engine.allocate(1, 1, DType.F32), w, null, slices);
      }
    }
    float[] first = engine.read(engine.dropout(x, 0.5f, recorder.seeds.get(0)));
    for (long other : recorder.seeds.subList(1, 5)) {
      float[] mask = engine.read(engine.dropout(x, 0.5f, other));
      for (int shift = -5; shift <= 5; shift++) {
        int agreeing = 0;
        for (int i = 5; i < mask.length - 5; i++) {
          agreeing += mask[i] == first[i + shift] ? 1 : 0;
        }
        assertThat(agreeing / (mask.length - 10.0))
            .as("share of places that agree with a mask shifted by %s", shift)
            .isCloseTo(0.5, within(0.05)); // 6 standard deviations
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Tape.Mode.class)
  void holdsLittleForEachMoreLayer(Tape.Mode mode) {
    long few = peak(mode, 4);
    long many = peak(mode, 36);
    long activation = 32 * 32 * Float.BYTES;
    double perLayer = (many - few) / 32.0 / activation;
    switch (mode) {
      case INFERENCE -> assertThat(perLayer).isZero();
      case CHECKPOINTING -> assertThat(perLayer).isBetween(1.0, 1.2); // the layer's input
      case RECORDING -> assertThat(perLayer).isBetween(3.0, 5.0);
    }
  }

  /** Returns the most that a step through that many layers of norm, product and GELU held. */
  private static long peak(Tape.Mode mode, int layers) {
    int d = 32;
    try (Engine e = Engines.create("nd4j", Precision.F32);
        FrozenMatrix w = e.freeze(MatrixSource.of(d, d, new float[d * d]), null);
        TestAdapters.LowRank adapter = new TestAdapters.LowRank(e, d, d, 1, 0, new Random(1))) {
      Tensor norm = e.persistent(1, d, DType.F32);
      e.fill(norm, 1);
      List<ProjectionAdapter.Slice> slices = List.of(new ProjectionAdapter.Slice(0, 32, adapter));
      Tape tape = mode == Tape.Mode.INFERENCE ? Tape.inference(e) : Tape.training(e, mode, 1);
      Tensor x = tape.embed(new Tape.Lookup(w, new int[32], List.of())); // [32, d]
      for (int l = 0; l < layers; l++) {
        x =
            tape.layer(
                x,
                (t, in) -> {
                  Tensor h = t.rmsNorm(in, norm, 1e-5f);
                  Tensor a = t.gelu(t.project(h, w, null, slices), true);
                  return t.project(a, w, in, slices);
                });
      }
      tape.headLoss(tape.rmsNorm(x, norm, 1e-5f), w, List.of(), new int[32], new float[32]);
      if (mode != Tape.Mode.INFERENCE) {
        tape.backward();
      }
      return e.memory().arenaPeak();
    }
  }

  @Test
  void whatNothingUsesGetsNoGradient() {
    try (TestAdapters.LowRank used = new TestAdapters.LowRank(engine, 3, 3, 1, 0, new Random(1));
        TestAdapters.LowRank unused = new TestAdapters.LowRank(engine, 3, 3, 1, 0, new Random(2));
        FrozenMatrix w =
            engine.freeze(MatrixSource.of(3, 3, new float[] {1, 0, 2, 0, 1, 0, 3, 0, 1}), null)) {
      Tensor x = engine.allocate(2, 3, DType.F32);
      engine.fill(x, 1);
      Tape tape = Tape.recording(engine);
      Tensor h = tape.project(x, w, null, List.of(new ProjectionAdapter.Slice(0, 2, used)));
      tape.gelu(tape.project(h, w, null, List.of(new ProjectionAdapter.Slice(0, 2, unused))), true);
      tape.headLoss(h, w, List.of(), new int[] {0, 2}, new float[] {1, 1});
      tape.backward();
      assertThat(engine.read(unused.parameters.flatGradients())).containsOnly(0);
      assertThat(engine.read(used.parameters.flatGradients())).doesNotContain(Float.NaN, 0f);
    }
  }

  @Test
  void cachedAttentionContinuesAttention() {
    AttentionShape shape = new AttentionShape(4, 2, 3, 0.6f, 0);
    int cols = shape.queryCols() + 2 * shape.kvCols();
    float[] values = new float[7 * cols];
    Random random = new Random(5);
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    Tape tape = Tape.inference(engine);
    Tensor qkv = engine.allocate(7, cols, DType.F32);
    engine.write(qkv, values);
    float[] whole =
        engine.read(tape.attention(qkv, Spans.causal(new int[] {0, 7}), shape)); // [7, 12]
    try (KvCache cache = new KvCache(engine, 2, 20, shape.kvCols())) {
      // 4 rows, then 3, at rows 10 to 16 of the cache's second layer
      List<float[]> parts = new ArrayList<>();
      for (int[] range : new int[][] {{0, 4}, {4, 3}}) {
        int[] cacheRows = java.util.stream.IntStream.range(0, range[1]).toArray();
        for (int i = 0; i < cacheRows.length; i++) {
          cacheRows[i] += 10 + range[0];
        }
        Spans spans =
            new Spans(
                new int[] {0},
                new int[] {range[1]},
                new int[] {10},
                new int[] {range[0] + range[1]},
                null);
        parts.add(
            engine.read(
                tape.cachedAttention(
                    engine.rows(qkv, range[0], range[1]), cache, 1, cacheRows, spans, shape)));
      }
      assertThat(com.google.common.primitives.Floats.concat(parts.toArray(float[][]::new)))
          .usingComparatorWithPrecision(1e-6f)
          .containsExactly(whole);
      assertThatThrownBy(
              () ->
                  Tape.recording(engine)
                      .cachedAttention(
                          qkv, cache, 0, new int[7], Spans.causal(new int[] {0, 7}), shape))
          .isInstanceOf(IllegalStateException.class)
          .hasMessage("a key/value cache is for inference");
    }
  }

  @Test
  void inferenceHasNoBackwardPass() {
    assertThatThrownBy(() -> Tape.inference(engine).backward())
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("an inference tape has no backward pass");
  }
}
