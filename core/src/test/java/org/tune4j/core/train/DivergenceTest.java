package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.tune4j.core.engine.Precision;

/** Whom a number that is none is blamed on. */
class DivergenceTest {
  private static List<StepRecord> steps(double[] losses, double[] norms) {
    List<StepRecord> steps = new ArrayList<>();
    for (int i = 0; i < losses.length; i++) {
      steps.add(
          new StepRecord(
              "s",
              0,
              i + 1,
              100,
              i % 2 == 0
                  ? ImmutableMap.of("t", losses[i])
                  : ImmutableMap.of("t", losses[i], "other", 1.0),
              1e-3,
              ImmutableMap.of("a", norms[i]),
              4,
              100,
              10,
              0.1));
    }
    return steps;
  }

  private static String explain(double[] losses, double[] norms, double size, Precision precision) {
    return new Divergence(steps(losses, norms), 0.1, size, precision).explain("t", "a");
  }

  @Test
  void aRisingLossIsDivergence() {
    assertThat(explain(new double[] {3, 2, 2.2, 2.1, 4, 7, 9}, new double[7], 0.1, Precision.F32))
        .isEqualTo(
            "Training diverged: the loss had risen from 2.10 to 6.67; a lower learning rate may help");
  }

  @Test
  void largeGradientsAndParametersAreDivergence() {
    assertThat(explain(new double[] {3, 2, 2}, new double[] {0.5, 0.4, 80}, 1e30, Precision.F32))
        .contains(
            "the gradient norm had risen from 0.500 to 80.0",
            "parameters had grown from 0.100 to 1.00e+30",
            "a lower learning rate may help");
    assertThat(explain(new double[] {2}, new double[] {1}, Double.NaN, Precision.F32))
        .contains("parameters had grown from 0.100 to NaN");
  }

  @Test
  void aCalmTrainingDidNotDiverge() {
    assertThat(
            explain(
                new double[] {3, 2.5, 2.9, 2.4}, new double[] {1, 2, 1, 2}, 0.2, Precision.BF16))
        .isEqualTo(
            "Training had not diverged (step 4: loss 2.40, gradient norm 2.00), so that a lower learning"
                + " rate is unlikely to help; F32 tells whether BF16 is the cause");
  }

  @Test
  void theFirstStepBlamesNoLearningRate() {
    assertThat(explain(new double[0], new double[0], 0.1, Precision.F32))
        .contains("No step came before", "the base model")
        .doesNotContain("may help", "F32 tells");
  }
}
