package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.learning.config.AMSGrad;
import org.nd4j.linalg.learning.config.AdaBelief;
import org.nd4j.linalg.learning.config.AdaDelta;
import org.nd4j.linalg.learning.config.AdaGrad;
import org.nd4j.linalg.learning.config.AdaMax;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.config.Nadam;
import org.nd4j.linalg.learning.config.Nesterovs;
import org.nd4j.linalg.learning.config.NoOp;
import org.nd4j.linalg.learning.config.RmsProp;
import org.nd4j.linalg.learning.config.Sgd;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Precision;

class OptimizerTest {
  private static final int SIZE = 37;
  private static Engine engine;

  @BeforeAll
  static void create() {
    engine = Engines.create(Precision.F32);
  }

  @AfterAll
  static void close() {
    engine.close();
  }

  /** Weights with an optimizer, and the gradients that they are given. */
  private static final class Run implements AutoCloseable {
    final Parameters parameters;
    final Optimizer optimizer;

    Run(Hyperparameters h) {
      Parameters.Builder builder = Parameters.builder(engine);
      builder.add("w", 1, SIZE);
      parameters = builder.build(true);
      engine.write(parameters.flat(), values(99));
      parameters.changed();
      optimizer = h.optimizer().create(parameters, h);
    }

    static float[] values(long seed) {
      Random random = new Random(seed);
      float[] all = new float[SIZE];
      for (int i = 0; i < SIZE; i++) {
        all[i] = (float) random.nextGaussian();
      }
      return all;
    }

    static double rate(int step) {
      return 0.1 / step;
    }

    void steps(int from, int to) {
      for (int step = from; step <= to; step++) {
        engine.write(parameters.flatGradients(), values(step));
        optimizer.apply(rate(step), 0.5, step);
        engine.resetArena();
      }
    }

    float[] weights() {
      return engine.read(parameters.flat());
    }

    @Override
    public void close() {
      optimizer.close();
      parameters.close();
    }
  }

  /**
   * Loshchilov and Hutter 2019, algorithm 2, as torch.optim.AdamW writes it, in double precision.
   */
  @Test
  void adamWIsTorchs() {
    Hyperparameters h =
        Hyperparameters.builder().betas(0.8, 0.95).epsilon(1e-3).weightDecay(0.2).build();
    double[] w = new double[SIZE];
    double[] m = new double[SIZE];
    double[] v = new double[SIZE];
    float[] initial = Run.values(99);
    for (int i = 0; i < SIZE; i++) {
      w[i] = initial[i];
      for (int step = 1; step <= 20; step++) {
        double g = 0.5 * Run.values(step)[i];
        w[i] -= Run.rate(step) * 0.2 * w[i];
        m[i] = 0.8 * m[i] + 0.2 * g;
        v[i] = 0.95 * v[i] + 0.05 * g * g;
        double denominator = Math.sqrt(v[i]) / Math.sqrt(1 - Math.pow(0.95, step)) + 1e-3;
        w[i] -= Run.rate(step) / (1 - Math.pow(0.8, step)) * m[i] / denominator;
      }
    }
    try (Run run = new Run(h)) {
      run.steps(1, 20);
      float[] weights = run.weights();
      for (int i = 0; i < SIZE; i++) {
        assertThat((double) weights[i]).isCloseTo(w[i], Offset.offset(2e-6));
      }
    }
  }

  @Test
  void nd4jsUpdatersGetRateScaleAndDecay() {
    Hyperparameters h = Hyperparameters.builder().updater(new Sgd(7)).weightDecay(0.2).build();
    float[] w = Run.values(99);
    for (int step = 1; step <= 4; step++) {
      float[] g = Run.values(step);
      for (int i = 0; i < SIZE; i++) {
        w[i] = (float) (w[i] * (1 - Run.rate(step) * 0.2) - Run.rate(step) * 0.5 * g[i]);
      }
    }
    try (Run run = new Run(h)) {
      run.steps(1, 4);
      assertThat(run.weights()).containsExactly(w, Offset.offset(1e-5f));
    }
  }

  static Stream<IUpdater> updaters() {
    return Stream.of(
        new Sgd(0.1),
        new Nesterovs(0.1, 0.9),
        new Adam(0.1),
        new AdaMax(0.1),
        new AMSGrad(0.1),
        new Nadam(0.1),
        new AdaBelief(0.1),
        new AdaGrad(0.1),
        new AdaDelta(),
        new RmsProp(0.1),
        new NoOp());
  }

  @ParameterizedTest
  @MethodSource("updaters")
  void savedStateGoesOnWithTheSameBits(IUpdater updater) {
    goesOn(Hyperparameters.builder().updater(updater).build(), updater instanceof NoOp);
  }

  @Test
  void savedAdamWGoesOnWithTheSameBits() {
    goesOn(Hyperparameters.defaults(), false);
  }

  private static void goesOn(Hyperparameters h, boolean still) {
    try (Run whole = new Run(h);
        Run first = new Run(h);
        Run second = new Run(h)) {
      whole.steps(1, 6);
      first.steps(1, 3);
      Map<String, float[]> saved = first.optimizer.save();
      assertThat(second.optimizer.sizes().keySet()).isEqualTo(saved.keySet());
      saved.forEach(
          (kind, values) -> {
            assertThat(values).hasSize(second.optimizer.sizes().get(kind));
            second.optimizer.restore(kind, values);
          });
      engine.write(second.parameters.flat(), first.weights());
      second.parameters.changed();
      second.steps(4, 6);
      assertThat(second.weights()).isEqualTo(whole.weights());
      if (!still) {
        assertThat(List.of(whole.weights())).isNotEqualTo(List.of(Run.values(99)));
      }
    }
  }
}
