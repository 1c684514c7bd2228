package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.tune4j.core.data.Task;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.Prediction;

class TrialTest {
  private static Evaluation evaluation(String task, double... scores) {
    ImmutableList.Builder<Prediction> predictions = ImmutableList.builder();
    for (double s : scores) {
      predictions.add(new Prediction("?", "yes", s == 1 ? "yes" : "no", s));
    }
    return new Evaluation(
        task,
        Task.Type.GENERATION,
        Task.Split.VALIDATION,
        ImmutableList.of(),
        "exact match",
        ImmutableMap.of("exact match", 0.0),
        predictions.build(),
        0);
  }

  private static Trial trial(Evaluation... evaluations) {
    ImmutableMap.Builder<String, Evaluation> byTask = ImmutableMap.builder();
    for (Evaluation e : evaluations) {
      byTask.put(e.task(), e);
    }
    return new Trial("?", byTask.buildOrThrow(), 1, 1, Path.of("?"));
  }

  @Test
  void tasksWeighTheSameWhateverTheirSize() {
    assertThat(trial(evaluation("a", 1), evaluation("b", 0, 0, 0)).score()).isEqualTo(0.5);
  }

  @Test
  void whatTwoHaveInCommonIsNoError() {
    Random random = new Random(5);
    double[] hard = new double[400];
    double[] better = new double[400];
    for (int i = 0; i < hard.length; i++) {
      hard[i] = random.nextInt(2);
      better[i] = i % 40 == 0 ? 1 : hard[i];
    }
    Trial one = trial(evaluation("a", hard));
    Trial two = trial(evaluation("a", better));
    Estimate paired = two.difference(one);
    assertThat(paired.mean()).isCloseTo(two.score() - one.score(), within(1e-12)).isPositive();
    assertThat(paired.deviation())
        .as("against that of two independent means")
        .isLessThan(0.3 * Math.hypot(one.estimate().deviation(), two.estimate().deviation()));
  }

  @Test
  void theErrorIsThatOfAMeanOfDifferences() {
    // differences 1, -1, 0, 0: squares 2, half a square more, by 4 * 4
    Estimate d = trial(evaluation("a", 1, 0, 1, 0)).difference(trial(evaluation("a", 0, 1, 1, 0)));
    assertThat(d.mean()).isZero();
    assertThat(d.deviation()).isCloseTo(Math.sqrt(2.5 / 16), within(1e-12));
    Estimate same = trial(evaluation("a", 1)).difference(trial(evaluation("a", 1)));
    assertThat(same.deviation()).as("one example shows little").isGreaterThan(0.5);
  }

  @Test
  void otherExamplesAreNotCompared() {
    assertThatThrownBy(() -> trial(evaluation("a", 1, 0)).difference(trial(evaluation("a", 1))))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("task 'a': 2 examples are compared with 1");
  }
}
