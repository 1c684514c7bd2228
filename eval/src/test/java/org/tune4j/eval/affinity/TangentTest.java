package org.tune4j.eval.affinity;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.eval.advice.WordModel;
import org.tune4j.lora.LoraConfig;

class TangentTest {
  private static final Hyperparameters H = Hyperparameters.defaults();
  private static Path directory;
  private static LanguageModel model;

  @BeforeContainer
  static void load() throws IOException {
    directory = Files.createTempDirectory("tangent");
    model = WordModel.create(directory);
  }

  @AfterContainer
  static void close() throws IOException {
    model.close();
    AtomicFiles.deleteRecursively(directory);
  }

  /** The gradient of an example's margin, of one and of several tokens, by central differences. */
  @Property(tries = 12)
  void gradientsOfMarginsAreTheirSlopes(
      @ForAll long seed, @ForAll @DoubleRange(min = 0.02, max = 0.2) double size) {
    int dimensions = 512;
    Task task =
        Task.builder("a")
            .train(
                List.of(
                    Example.of("thing1 colour is ", "green"),
                    Example.of("place3 size is ", "large red blue")))
            .build();
    List<EncodedExample> examples =
        model
            .encoder(H.maxLength(), H.lengthPolicy(), H.learnedTurns())
            .encode(task, Task.Split.TRAIN)
            .examples();
    try (Adapter adapter = LoraConfig.rank(2).create(model, "a", seed)) {
      SplittableRandom random = new SplittableRandom(seed);
      float[] at = new float[adapter.parameters().size()];
      float[] along = new float[at.length];
      double[] direction = random.doubles(dimensions, -1, 1).toArray();
      for (int i = 0; i < at.length; i++) {
        at[i] = (float) (size * random.nextGaussian());
        // what the direction of the projection is among the parameters: products are kept exactly
        float[] unit = new float[at.length];
        unit[i] = 1;
        along[i] =
            (float) LogisticRegression.dot(Tangent.sketch(unit, dimensions, seed), direction);
      }
      Tangent tangent = new Tangent(model, adapter, dimensions, seed);
      for (EncodedExample e : examples) {
        write(adapter, at, along, 0);
        Tangent.Output output = tangent.of("a", e);
        assertThat(output.tokens()).isEqualTo(e.lossTokens());
        assertThat(output.margin()).isCloseTo(margin(adapter, e), within(1e-4));
        double slope = LogisticRegression.dot(output.gradient(), direction);
        double step = 1e-3;
        write(adapter, at, along, step);
        double above = margin(adapter, e);
        write(adapter, at, along, -step);
        double difference = (above - margin(adapter, e)) / (2 * step);
        assertThat(slope).isCloseTo(difference, within(0.02 + 0.005 * Math.abs(slope)));
      }
    }
  }

  private static double margin(Adapter adapter, EncodedExample example) {
    double loss =
        PassLosses.mean(Pass.divide(List.of(example), List.of(adapter), 4096), model::losses);
    return Math.log(Math.exp(-loss) / (1 - Math.exp(-loss)));
  }

  private static void write(Adapter adapter, float[] at, float[] along, double step) {
    float[] values = new float[at.length];
    for (int i = 0; i < at.length; i++) {
      values[i] = (float) (at[i] + step * along[i]);
    }
    Engine engine = model.engine();
    engine.lock().lock();
    try {
      engine.write(adapter.parameters().flat(), values);
      adapter.parameters().changed();
    } finally {
      engine.lock().unlock();
    }
  }

  @Property(tries = 20)
  void sketchesKeepInnerProducts(@ForAll long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    float[] a = new float[20_000];
    float[] b = new float[a.length];
    double exact = 0;
    double aa = 0;
    double bb = 0;
    for (int i = 0; i < a.length; i++) {
      a[i] = (float) random.nextGaussian();
      b[i] = (float) (0.5 * a[i] + random.nextGaussian());
      exact += (double) a[i] * b[i];
      aa += (double) a[i] * a[i];
      bb += (double) b[i] * b[i];
    }
    int dimensions = LinearisedFineTuning.DIMENSIONS;
    double kept =
        LogisticRegression.dot(
            Tangent.sketch(a, dimensions, seed), Tangent.sketch(b, dimensions, seed));
    // five standard errors
    assertThat(kept).isCloseTo(exact, within(5 * Math.sqrt(aa * bb * 2 / dimensions)));
  }
}
