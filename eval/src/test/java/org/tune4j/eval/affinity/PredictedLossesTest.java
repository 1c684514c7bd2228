package org.tune4j.eval.affinity;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import org.junit.jupiter.api.Test;
import org.tune4j.core.train.Gain;
import org.tune4j.strategies.Grouped;

/** Predictions from made-up margins and gradients, without a model. */
class PredictedLossesTest {
  private static final int DIMENSIONS = 64;
  private static final int TRAIN = 30;
  private static final int VALIDATION = 25;

  /** Examples whose margins rise along {@code sign} times a direction of the seed, with noise. */
  private static Outputs task(String name, long direction, double sign, long seed, double after) {
    SplittableRandom along = new SplittableRandom(direction);
    double[] common = along.doubles(DIMENSIONS, -1, 1).map(x -> sign * x).toArray();
    SplittableRandom random = new SplittableRandom(seed);
    return new Outputs(
        name, 300, 30, after, outputs(TRAIN, common, random), outputs(VALIDATION, common, random));
  }

  private static ImmutableList<Tangent.Output> outputs(
      int count, double[] common, SplittableRandom random) {
    ImmutableList.Builder<Tangent.Output> all = ImmutableList.builder();
    for (int i = 0; i < count; i++) {
      double[] g = new double[DIMENSIONS];
      for (int k = 0; k < DIMENSIONS; k++) {
        g[k] = common[k] + random.nextDouble(-2, 2);
      }
      all.add(new Tangent.Output(random.nextDouble(-1, 0.5), 1 + random.nextInt(3), g));
    }
    return all.build();
  }

  private static PredictedLosses of(long seed) {
    return PredictedLosses.of(
        List.of(
            task("a", seed, 1, seed + 1, 0.6),
            task("copy", seed, 1, seed + 2, 0.6),
            task("against", seed, -1, seed + 3, 0.9),
            task("other", seed + 9, 1, seed + 4, 0.6)));
  }

  @Property(tries = 20)
  void aCopyHelpsAndAContradictionHarms(@ForAll long seed) {
    PredictedLosses p = of(seed);
    assertThat(p.of("a", ImmutableSet.of("a"))).isZero();
    assertThat(p.of("a", ImmutableSet.of("a", "copy"))).as("%s", p).isPositive();
    assertThat(p.of("a", ImmutableSet.of("a", "against"))).as("%s", p).isNegative();
    assertThat(p.of("a", ImmutableSet.of("a", "copy", "against")))
        .isLessThan(p.of("a", ImmutableSet.of("a", "copy")));
    assertThat(p.loss("a", Set.of("copy"))).isLessThan(p.commonLoss("a"));
    assertThat(p.loss("a", Set.of("against"))).isGreaterThan(p.commonLoss("a"));
    assertThat(Grouped.byScore(ImmutableList.of("a", "copy", "against"), p, 3).groups())
        .contains(ImmutableList.of("a", "copy"));
  }

  @Property(tries = 20)
  void strengthIsWhatTrainingOnCameTo(
      @ForAll long seed, @ForAll @DoubleRange(min = 0.05, max = 0.6) double fallen) {
    // what training on draws is all that training draws: the prediction is the measurement
    List<Outputs> free = List.of(task("a", seed, 1, seed + 1, 0), task("b", seed, 1, seed + 2, 0));
    PredictedLosses start = PredictedLosses.of(free);
    List<Outputs> measured =
        free.stream()
            .map(
                o ->
                    new Outputs(
                        o.task(),
                        o.onward(),
                        o.onward(),
                        (1 - fallen) * start.commonLoss(o.task()),
                        o.train(),
                        o.validation()))
            .toList();
    PredictedLosses p = PredictedLosses.of(measured);
    Set<String> both = Set.of("a", "b");
    assertThat(p.loss("a", both) + p.loss("b", both))
        .isCloseTo((1 - fallen) * (start.commonLoss("a") + start.commonLoss("b")), within(0.02));
  }

  @Test
  void gainsAndAffinitiesAreThoseOfTheLosses() {
    PredictedLosses p = of(7);
    ImmutableSet<String> pair = ImmutableSet.of("a", "against");
    Gain gain = p.gain("a", pair);
    assertThat(gain.examples()).isEqualTo(VALIDATION);
    assertThat(gain.mean()).isNegative();
    assertThat(gain.standardError()).isPositive();
    assertThat(gain.kept()).isFalse();
    assertThat(p.gain("a", ImmutableSet.of("a")).mean()).isZero();
    assertThat(p.of("a", pair))
        .isCloseTo(1 - p.loss("a", pair) / p.loss("a", Set.of("a")), within(1e-12));
    assertThat(p.affinity().gain("against", "a")).isEqualTo(p.of("a", pair));
    assertThat(p.affinity().tasks()).isEqualTo(p.tasks());
    assertThat(p.trainExamples()).containsEntry("a", TRAIN);
    assertThat(p.validationExamples()).containsEntry("a", VALIDATION);
    assertThat(p.toString()).contains("against").contains("%");
  }

  @Test
  void orderOfQuestionsAndOfNamesChangesNothing() {
    PredictedLosses p = of(3);
    PredictedLosses q = of(3);
    double first = p.of("a", ImmutableSet.of("a", "other", "copy"));
    q.affinity();
    assertThat(q.of("a", ImmutableSet.of("copy", "other", "a"))).isEqualTo(first);
    assertThat(p.of("a", ImmutableSet.of("other", "a", "copy"))).isEqualTo(first);
  }

  @Test
  void withoutGradientsNothingMoves() {
    ImmutableList<Tangent.Output> flat =
        ImmutableList.of(new Tangent.Output(-0.5, 1, new double[DIMENSIONS]));
    PredictedLosses p =
        PredictedLosses.of(
            List.of(
                new Outputs("a", 10, 1, 0.9, flat, flat),
                new Outputs("b", 10, 1, 0.9, flat, flat)));
    assertThat(p.of("a", ImmutableSet.of("a", "b"))).isZero();
    assertThat(p.loss("a", Set.of("a", "b"))).isEqualTo(p.commonLoss("a"));
  }

  @Test
  void refusesTasksThatWereNotMeasured() {
    PredictedLosses p = of(1);
    assertThatThrownBy(() -> p.loss("x", Set.of("a")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'x'");
    assertThatThrownBy(() -> p.loss("a", Set.of("a", "y")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'y'");
    assertThatThrownBy(() -> p.loss("a", Set.of()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("no task at all");
    assertThatThrownBy(() -> p.of("a", ImmutableSet.of("copy")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("not among those learned");
    assertThatThrownBy(() -> p.gain("a", Set.of("copy")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("not among those learned");
  }
}
