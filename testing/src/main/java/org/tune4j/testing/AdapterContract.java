package org.tune4j.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.LossResult;
import org.tune4j.core.model.Routing;
import org.tune4j.lora.Merging;

/**
 * The contract of every kind of adapter. The test of a new kind extends this with {@link #create}
 * and {@link #load}; it runs on every engine that is present.
 */
public abstract class AdapterContract {
  private static final long SEED = 77; // seed of dropout

  @TempDir Path folder;

  /** Returns a new adapter, whose initial values follow from the seed. */
  protected abstract Adapter create(LanguageModel model, String name, long seed);

  /** Loads an adapter that {@link Adapter#save} wrote. */
  protected abstract Adapter load(LanguageModel model, String name, Path directory)
      throws IOException;

  /**
   * Adjusts moved parameters so that quantities which the adapter's gradient treats as constant, by
   * definition, keep their values from before the move.
   */
  protected void hold(Adapter adapter, float[] before, float[] moved) {}

  /** Returns whether {@link Adapter#mergeIntoModel} is supported. */
  protected boolean merges() {
    return true;
  }

  /** Returns whether training uses dropout. */
  protected boolean dropsOut() {
    return false;
  }

  /** Returns whether adapters of this kind can be stacked. */
  protected boolean stacks() {
    return true;
  }

  /** Returns whether initial values depend on the seed. */
  protected boolean drawsAtRandom() {
    return true;
  }

  /** Returns whether a saved adapter has the same parameters, rather than only the same effect. */
  protected boolean savesParameters() {
    return true;
  }

  /** Model families, each on every engine. */
  static Stream<Arguments> everywhere() {
    return Stream.of("gpt2", "llama", "qwen2")
        .flatMap(f -> TinyModels.engines(Precision.F32).stream().map(e -> Arguments.of(f, e)));
  }

  static Stream<String> engines() {
    return TinyModels.engines(Precision.F32).stream();
  }

  static Stream<String> bf16Engines() {
    return TinyModels.engines(Precision.BF16).stream();
  }

  private Adapter trained(LanguageModel model, String name, long seed) {
    Adapter adapter = create(model, name, seed);
    TinyModels.disturb(adapter, seed);
    return adapter;
  }

  private static Routing all(Adapter... adapters) {
    return Routing.all(TinyModels.batch().rows(), List.of(adapters));
  }

  private static float[] gradients(Adapter adapter) {
    return adapter.parameters().engine().read(adapter.parameters().flatGradients());
  }

  /** Runs a training step's forward and backward pass; returns the loss. */
  private static double step(
      LanguageModel model, Routing routing, Tape.Mode mode, float[] weights, Adapter... trained) {
    Engine engine = model.engine();
    engine.lock().lock();
    try {
      for (Adapter a : trained) {
        a.parameters().zeroGradients();
      }
      Tape tape = Tape.training(engine, mode, SEED);
      LossResult loss = model.loss(tape, TinyModels.batch(), routing, weights);
      tape.backward();
      return loss.mean();
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
  }

  /** Returns the loss with the same dropout masks as {@link #step}. */
  private static double lossOf(LanguageModel model, Routing routing) {
    Engine engine = model.engine();
    engine.lock().lock();
    try {
      Tape tape = Tape.training(engine, Tape.Mode.RECORDING, SEED);
      return model.loss(tape, TinyModels.batch(), routing, null).mean();
    } finally {
      engine.resetArena();
      engine.lock().unlock();
    }
  }

  /** Checks the gradient of each of an adapter's parameters against central differences. */
  private void checkGradients(
      LanguageModel model, Routing routing, Adapter adapter, float[] gradient) {
    Random random = new Random(3);
    float[] at = TinyModels.get(adapter);
    for (String name : adapter.parameters().names()) {
      Parameters.Slot slot = adapter.parameters().slot(name);
      int from = (int) slot.offset();
      int size = slot.rows() * slot.cols();
      double norm = 0;
      for (int i = from; i < from + size; i++) {
        norm += (double) gradient[i] * gradient[i];
      }
      norm = Math.sqrt(norm);
      // a direction close to the gradient's, so that the derivative is far from 0
      double[] direction = new double[size];
      double predicted = 0;
      for (int i = 0; i < size; i++) {
        direction[i] = gradient[from + i] / norm + random.nextGaussian() / Math.sqrt(size);
        predicted += direction[i] * gradient[from + i];
      }
      // Richardson extrapolation: the error is of fourth order in the step
      double h = 2e-3;
      double measured =
          (4 * slope(model, routing, adapter, at, from, direction, h)
                  - slope(model, routing, adapter, at, from, direction, 2 * h))
              / 3;
      TinyModels.set(adapter, at);
      assertThat(norm).as("norm of the gradient of %s", name).isGreaterThan(1e-5);
      assertThat(measured)
          .as("derivative by %s", name)
          .isCloseTo(predicted, within(5e-3 * Math.abs(predicted) + 3e-4));
    }
  }

  private double slope(
      LanguageModel model,
      Routing routing,
      Adapter adapter,
      float[] at,
      int from,
      double[] direction,
      double h) {
    return (lossAt(model, routing, adapter, at, from, direction, h)
            - lossAt(model, routing, adapter, at, from, direction, -h))
        / (2 * h);
  }

  private double lossAt(
      LanguageModel model,
      Routing routing,
      Adapter adapter,
      float[] at,
      int from,
      double[] direction,
      double h) {
    float[] moved = at.clone();
    for (int i = 0; i < direction.length; i++) {
      moved[from + i] += (float) (h * direction[i]);
    }
    hold(adapter, at, moved);
    TinyModels.set(adapter, moved);
    return lossOf(model, routing);
  }

  @ParameterizedTest
  @MethodSource("everywhere")
  void aFreshAdapterChangesNoOutput(String family, String engineName) {
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model(family, engine);
        Adapter adapter = create(model, "fresh", 1)) {
      assertThat(adapter.trainable()).isTrue();
      float[] base = TinyModels.logits(model);
      assertThat(TinyModels.relativeError(TinyModels.logits(model, adapter), base))
          .isLessThan(1e-6);
      TinyModels.disturb(adapter, 1);
      assertThat(TinyModels.relativeError(TinyModels.logits(model, adapter), base))
          .isGreaterThan(1e-2);
      assertThat(TinyModels.logits(model)).isEqualTo(base);
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void theSeedDeterminesAFreshAdapter(String engineName) {
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        Adapter first = create(model, "a", 1);
        Adapter again = create(model, "b", 1);
        Adapter other = create(model, "c", 2)) {
      assertThat(TinyModels.get(again)).isEqualTo(TinyModels.get(first));
      if (drawsAtRandom()) {
        assertThat(TinyModels.get(other)).isNotEqualTo(TinyModels.get(first));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("everywhere")
  void gradientsAreThoseOfTheLoss(String family, String engineName) {
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model(family, engine);
        Adapter adapter = trained(model, "a", 1)) {
      step(model, all(adapter), Tape.Mode.RECORDING, null, adapter);
      checkGradients(model, all(adapter), adapter, gradients(adapter));
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void checkpointingGivesTheSameGradients(String engineName) {
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        Adapter adapter = trained(model, "a", 1)) {
      step(model, all(adapter), Tape.Mode.RECORDING, null, adapter);
      float[] recorded = gradients(adapter);
      step(model, all(adapter), Tape.Mode.CHECKPOINTING, null, adapter);
      assertThat(gradients(adapter)).isEqualTo(recorded);
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void gradientsAddUpOverSteps(String engineName) {
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        Adapter adapter = trained(model, "a", 1)) {
      step(model, all(adapter), Tape.Mode.RECORDING, null, adapter);
      float[] once = gradients(adapter);
      step(model, all(adapter), Tape.Mode.RECORDING, null); // without zeroing them
      float[] twice = gradients(adapter);
      float[] doubled = new float[once.length];
      for (int i = 0; i < once.length; i++) {
        doubled[i] = 2 * once[i];
      }
      assertThat(TinyModels.relativeError(twice, doubled)).isLessThan(1e-6);
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void onlyTrainingDropsOut(String engineName) {
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        Adapter adapter = trained(model, "a", 1)) {
      double inference = model.loss(TinyModels.batch(), all(adapter)).mean();
      double training = lossOf(model, all(adapter));
      assertThat(lossOf(model, all(adapter))).isEqualTo(training);
      if (dropsOut()) {
        assertThat(training).isNotCloseTo(inference, within(1e-3));
      } else {
        assertThat(training).isCloseTo(inference, within(1e-5));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void adaptersOnTheirOwnSlicesDoNotMix(String engineName) {
    assumeTrue(!dropsOut(), "masks depend on the place in the batch");
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        Adapter first = trained(model, "first", 1);
        Adapter second = trained(model, "second", 2)) {
      Routing both =
          new Routing(
              ImmutableList.of(
                  new Routing.Slice(0, 9, ImmutableList.of(first)),
                  new Routing.Slice(9, 6, ImmutableList.of(second))));
      float[] mixed = TinyModels.logits(model, both);
      int row = TinyModels.VOCABULARY;
      assertThat(
              TinyModels.relativeError(
                  Arrays.copyOf(mixed, 9 * row),
                  Arrays.copyOf(TinyModels.logits(model, first), 9 * row)))
          .isLessThan(1e-6);
      assertThat(
              TinyModels.relativeError(
                  Arrays.copyOfRange(mixed, 9 * row, 15 * row),
                  Arrays.copyOfRange(TinyModels.logits(model, second), 9 * row, 15 * row)))
          .isLessThan(1e-6);
      assertThat(
              TinyModels.relativeError(
                  Arrays.copyOfRange(mixed, 15 * row, 19 * row),
                  Arrays.copyOfRange(TinyModels.logits(model), 15 * row, 19 * row)))
          .isLessThan(1e-6);

      int[] lossRows = TinyModels.batch().lossRows();
      float[] ofFirst = new float[lossRows.length];
      float[] ofSecond = new float[lossRows.length];
      float[] ofBoth = new float[lossRows.length];
      for (int i = 0; i < lossRows.length; i++) {
        (lossRows[i] < 9 ? ofFirst : ofSecond)[i] = 0.3f;
        ofBoth[i] = 0.3f;
      }
      step(model, both, Tape.Mode.RECORDING, ofBoth, first, second);
      float[] gradientOfFirst = gradients(first);
      float[] gradientOfSecond = gradients(second);
      step(model, all(first), Tape.Mode.RECORDING, ofFirst, first);
      assertThat(TinyModels.relativeError(gradientOfFirst, gradients(first))).isLessThan(1e-5);
      step(model, all(second), Tape.Mode.RECORDING, ofSecond, second);
      assertThat(TinyModels.relativeError(gradientOfSecond, gradients(second))).isLessThan(1e-5);
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void aStackTrainsEachOfItsAdapters(String engineName) {
    assumeTrue(stacks());
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        Adapter lower = trained(model, "lower", 1);
        Adapter upper = trained(model, "upper", 2)) {
      Routing stack = all(lower, upper);
      step(model, stack, Tape.Mode.RECORDING, null, lower, upper);
      float[] ofUpper = gradients(upper); // a loss may form gradients of a head's adapter already
      float[] ofLower = gradients(lower);
      checkGradients(model, stack, upper, ofUpper);
      checkGradients(model, stack, lower, ofLower);
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void whatIsFrozenBelowIsLeftAlone(String engineName) {
    assumeTrue(stacks());
    assumeTrue(!dropsOut(), "a frozen adapter drops nothing, so that the two differ");
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        Adapter lower = trained(model, "lower", 1);
        Adapter upper = trained(model, "upper", 2)) {
      Routing stack = all(lower, upper);
      double loss = step(model, stack, Tape.Mode.RECORDING, null, lower, upper);
      float[] expected = gradients(upper);
      lower.setTrainable(false);
      assertThat(step(model, stack, Tape.Mode.RECORDING, null, lower, upper)).isEqualTo(loss);
      assertThat(gradients(lower)).containsOnly(0f);
      assertThat(TinyModels.relativeError(gradients(upper), expected)).isLessThan(1e-6);
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void savingAndLoadingKeepsEveryBit(String engineName) throws IOException {
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        Adapter adapter = trained(model, "a", 1)) {
      Path directory = folder.resolve("adapter");
      adapter.save(directory);
      try (Adapter loaded = load(model, "b", directory)) {
        assertThat(loaded.name()).isEqualTo("b");
        float[] applied = TinyModels.logits(model, adapter);
        if (savesParameters()) {
          assertThat(loaded.parameters().names()).isEqualTo(adapter.parameters().names());
          assertThat(TinyModels.get(loaded)).isEqualTo(TinyModels.get(adapter));
          assertThat(TinyModels.logits(model, loaded)).isEqualTo(applied);
        } else {
          assertThat(TinyModels.relativeError(TinyModels.logits(model, loaded), applied))
              .isLessThan(1e-5);
        }
        loaded.save(folder.resolve("again"));
      }
      try (Stream<Path> files = Files.list(directory)) {
        for (Path file : files.toList()) {
          assertThat(folder.resolve("again").resolve(file.getFileName()))
              .hasSameBinaryContentAs(file);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("everywhere")
  void mergingEqualsApplyingAndIsUndoneBitForBit(String family, String engineName) {
    assumeTrue(merges());
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model(family, engine);
        Adapter first = trained(model, "first", 1);
        Adapter second = trained(model, "second", 2)) {
      float[] base = TinyModels.logits(model);
      float[] applied = TinyModels.logits(model, first);
      float[] stacked = stacks() ? TinyModels.logits(model, first, second) : null;
      first.mergeIntoModel();
      assertThat(TinyModels.relativeError(TinyModels.logits(model), applied)).isLessThan(1e-5);
      if (stacks()) {
        second.mergeIntoModel();
        assertThat(TinyModels.relativeError(TinyModels.logits(model), stacked)).isLessThan(1e-5);
      }
      Merging.unmerge(model);
      assertThat(TinyModels.logits(model)).isEqualTo(base);
      assertThat(TinyModels.logits(model, first)).isEqualTo(applied);
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void anAdapterFollowsTheWeightsBeneathIt(String engineName) {
    assumeTrue(merges());
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine);
        Adapter merged = trained(model, "merged", 1);
        Adapter early = trained(model, "early", 2);
        Adapter late = trained(model, "late", 2)) {
      float[] onBase = TinyModels.logits(model, early);
      merged.mergeIntoModel();
      // one adapter has run on the weights before, the other has not
      assertThat(TinyModels.logits(model, early)).isEqualTo(TinyModels.logits(model, late));
      Merging.unmerge(model);
      assertThat(TinyModels.logits(model, early)).isEqualTo(onBase);
      assertThat(TinyModels.logits(model, late)).isEqualTo(onBase);
    }
  }

  @ParameterizedTest
  @MethodSource("engines")
  void closingFreesEverything(String engineName) {
    try (Engine engine = Engines.create(engineName, Precision.F32);
        LanguageModel model = TinyModels.model("llama", engine)) {
      useOnce(model).close(); // an engine may keep scratch space that it needed
      long before = engine.memory().persistent();
      Adapter adapter = useOnce(model);
      assertThat(engine.memory().persistent()).isGreaterThan(before);
      adapter.close();
      assertThat(engine.memory().persistent()).isEqualTo(before);
      adapter.close(); // a second time changes nothing
      assertThat(engine.memory().persistent()).isEqualTo(before);
    }
  }

  private Adapter useOnce(LanguageModel model) {
    Adapter adapter = trained(model, "a", 1);
    TinyModels.logits(model, adapter);
    step(model, all(adapter), Tape.Mode.RECORDING, null, adapter);
    return adapter;
  }

  @ParameterizedTest(allowZeroInvocations = true) // not every engine has bf16
  @MethodSource("bf16Engines")
  void bf16StaysCloseToF32(String engineName) {
    Batch batch = TinyModels.batch();
    try (Engine single = Engines.create(engineName, Precision.F32);
        Engine half = Engines.create(engineName, Precision.BF16);
        LanguageModel model = TinyModels.model("llama", single);
        LanguageModel halfModel = TinyModels.model("llama", half);
        Adapter adapter = trained(model, "a", 1);
        Adapter halfAdapter = create(halfModel, "a", 1)) {
      TinyModels.set(halfAdapter, TinyModels.get(adapter));
      assertThat(halfModel.loss(batch, all(halfAdapter)).mean())
          .isCloseTo(model.loss(batch, all(adapter)).mean(), within(0.05));
      step(model, all(adapter), Tape.Mode.RECORDING, null, adapter);
      step(halfModel, all(halfAdapter), Tape.Mode.RECORDING, null, halfAdapter);
      assertThat(TinyModels.relativeError(gradients(halfAdapter), gradients(adapter)))
          .isLessThan(0.1);
    }
  }
}
