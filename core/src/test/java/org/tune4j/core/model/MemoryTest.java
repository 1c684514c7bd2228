package org.tune4j.core.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.engine.DType;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.EngineProvider;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.MemoryUsage;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;

/** Long runs hold no more memory than short ones, on every engine that runs here. */
class MemoryTest {
  private static final int SETTLED = 60;
  private static final int STEPS = 300;

  static Stream<Arguments> engines() {
    return Engines.providers().stream()
        .flatMap(
            provider ->
                Stream.of(Precision.values())
                    .filter(precision -> provider.unavailable(precision).isEmpty())
                    .map(precision -> Arguments.of(provider.name(), precision)));
  }

  /**
   * Returns a batch of one to eight segments of 2 to 24 rows, with targets on two rows of three.
   */
  private static Batch batch(Random random) {
    int[] starts = new int[2 + random.nextInt(8)];
    for (int s = 1; s < starts.length; s++) {
      starts[s] = starts[s - 1] + 2 + random.nextInt(23);
    }
    int n = starts[starts.length - 1];
    int[] positions = new int[n];
    int[] targets = new int[n];
    for (int s = 1; s < starts.length; s++) {
      for (int i = starts[s - 1]; i < starts[s]; i++) {
        positions[i] = i - starts[s - 1];
        targets[i] = i % 3 == 0 ? -1 : random.nextInt(61);
      }
    }
    int[] ids = random.ints(n, 0, 61).toArray();
    return new Batch(ids, positions, starts, targets, new int[starts.length - 1], null);
  }

  @ParameterizedTest(name = "{0} in {1}")
  @MethodSource("engines")
  void trainingHoldsNoMoreAsItGoesOn(String name, Precision precision) {
    EngineProvider provider =
        Engines.providers().stream().filter(p -> p.name().equals(name)).findFirst().orElseThrow();
    try (Engine engine = provider.create(precision);
        LanguageModel model = TinyModels.model("llama", engine);
        TinyModels.LowRank adapter = new TinyModels.LowRank(model, 3)) {
      int size = adapter.parameters().size();
      Tensor first = engine.persistent(1, size, DType.F32);
      Tensor second = engine.persistent(1, size, DType.F32);
      // shapes recur, as the packer's do: engines keep kernels by shape. The count is odd, so that
      // each of them meets both modes
      Random random = new Random(1);
      List<Batch> batches = Stream.generate(() -> batch(random)).limit(21).toList();
      MemoryUsage settled = null;
      long tracked = 0;
      long beyondHeap = 0;
      for (int step = 1; step <= STEPS; step++) {
        Batch batch = batches.get(step % batches.size());
        Tape.Mode mode = step % 2 == 0 ? Tape.Mode.RECORDING : Tape.Mode.CHECKPOINTING;
        int number = step;
        model.step(
            () -> {
              adapter.parameters().zeroGradients();
              Tape tape = Tape.training(engine, mode, number);
              Routing routing = Routing.all(batch.rows(), List.of(adapter));
              model.loss(tape, batch, routing, null);
              tape.backward();
              double norm = Math.sqrt(engine.sumOfSquares(adapter.parameters().flatGradients()));
              engine.adamW(
                  adapter.parameters().flat(),
                  adapter.parameters().flatGradients(),
                  first,
                  second,
                  (float) Math.min(1, 1 / norm),
                  1e-3f,
                  0.9f,
                  0.999f,
                  1e-8f,
                  0.01f,
                  number);
              adapter.parameters().changed();
              return null;
            });
        if (step == SETTLED) {
          settled = engine.memory();
          tracked = Pointer.totalBytes();
          Runtime heap = Runtime.getRuntime();
          beyondHeap = Pointer.physicalBytes() - (heap.totalMemory() - heap.freeMemory());
        }
      }
      MemoryUsage after = engine.memory();
      assertThat(after.weights()).isEqualTo(settled.weights());
      assertThat(after.persistent()).isEqualTo(settled.persistent());
      assertThat(after.arenaReserved()).isEqualTo(settled.arenaReserved());
      assertThat(Pointer.totalBytes() - tracked)
          .as("bytes that JavaCPP tracks")
          .isLessThan(2 << 20); // arrays that await the collector
      // all of the heap may be resident by now
      assertThat(Pointer.physicalBytes() - Runtime.getRuntime().totalMemory() - beyondHeap)
          .as("growth of what the process holds beyond the heap")
          .isLessThan(48L << 20);
      assertThat(Pointer.totalBytes() - tracked)
          .as("bytes that JavaCPP tracks")
          .isLessThan(2 << 20); // arrays that await the collector
      assertThat(adapter.get()).doesNotContain(Float.NaN);
      engine.free(first);
      engine.free(second);
    }
  }
}
