package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import org.tune4j.core.train.Hyperparameters;

/** What is believed of candidates, before and after measuring. */
class BeliefsTest {
  private static final Forecast FORECAST = Forecast.standard();

  /** The library's candidates for three tasks, with these means of gains and what is forecast. */
  private static Beliefs beliefs(double... means) {
    List<Assessment> all = new ArrayList<>();
    for (int k = 0; k < Situations.CANDIDATES.size(); k++) {
      Candidate c = Situations.CANDIDATES.get(k);
      double deviation = FORECAST.gain(c.name(), Situations.features()).deviation();
      all.add(
          new Assessment(
              c,
              Hyperparameters.defaults(),
              Estimate.of(means[k], deviation),
              Estimate.of(0.5, 0.1),
              0,
              true,
              1,
              new PlanPrice(1, 1, 1, 1, 1, 1),
              ""));
    }
    return Beliefs.of(all, FORECAST);
  }

  private static Beliefs level() {
    return beliefs(new double[Situations.CANDIDATES.size()]);
  }

  private static int index(String name) {
    return Situations.CANDIDATES.stream().map(Candidate::name).toList().indexOf(name);
  }

  @Property(tries = 50)
  void anExactMeasurementIsBelieved(@ForAll @DoubleRange(min = -0.5, max = 0.5) double difference) {
    int a = index("independent");
    int b = index("multi-task");
    Estimate after = level().observed(a, b, Estimate.of(difference, 0)).difference(a, b);
    assertThat(after.mean()).isCloseTo(difference, within(1e-9));
    assertThat(after.deviation()).isCloseTo(0, within(1e-6));
  }

  @Property(tries = 50)
  void aMeasurementMovesBeliefTowardsItAndMakesItSurer(
      @ForAll @DoubleRange(min = -0.5, max = 0.5) double difference,
      @ForAll @DoubleRange(min = 0.01, max = 1) double deviation) {
    int a = index("independent");
    int b = index("multi-task");
    Estimate before = level().difference(a, b);
    Beliefs after = level().observed(a, b, Estimate.of(difference, deviation));
    // the precision-weighted mean of two normal distributions
    double weight = 1 / (1 + Math.pow(deviation / before.deviation(), 2));
    assertThat(after.difference(a, b).mean())
        .isCloseTo(before.mean() + weight * (difference - before.mean()), within(1e-9));
    assertThat(after.difference(a, b).deviation()).isLessThan(before.deviation());
    assertThat(after.gain(b))
        .as("multi-task is what others are compared with")
        .isEqualTo(Estimate.of(0, 0));
  }

  @Example
  void whatGoesTogetherIsLearnedTogether() {
    int sequential = index("sequential");
    int replay = index("sequential-replay");
    int base = index("multi-task");
    assertThat(FORECAST.correlation("sequential", "sequential-replay")).isPositive();
    Beliefs after = level().observed(sequential, base, Estimate.of(0.1, 0.001));
    assertThat(after.gain(replay).mean()).isPositive();
  }

  @Example
  void probabilitiesAddUpAndFollowTheMeans() {
    double[] even = level().probabilities(new Random(1));
    assertThat(Arrays.stream(even).sum()).isCloseTo(1, within(1e-9));
    double[] means = new double[Situations.CANDIDATES.size()];
    means[index("independent")] = 0.5;
    double[] sure = beliefs(means).probabilities(new Random(1));
    assertThat(sure[index("independent")]).isGreaterThan(0.99);
    assertThat(beliefs(means).probabilities(new Random(1))).containsExactly(sure);
  }

  @Property(tries = 50)
  void improvementIsAtLeastTheMeanAndGrowsWithDoubt(
      @ForAll @DoubleRange(min = -0.2, max = 0.2) double mean) {
    double[] means = new double[Situations.CANDIDATES.size()];
    int a = index("independent");
    int b = index("multi-task");
    means[a] = mean;
    Beliefs before = beliefs(means);
    double improvement = before.improvement(a, b);
    assertThat(improvement).isGreaterThanOrEqualTo(Math.max(0, mean) - 1e-12);
    Beliefs surer = before.observed(a, b, Estimate.of(before.difference(a, b).mean(), 0.01));
    assertThat(surer.improvement(a, b)).isLessThanOrEqualTo(improvement + 1e-12);
    // against the mean of draws
    Random random = new Random(3);
    double sum = 0;
    for (int i = 0; i < 200_000; i++) {
      sum += Math.max(0, mean + before.difference(a, b).deviation() * random.nextGaussian());
    }
    assertThat(improvement).isCloseTo(sum / 200_000, within(1e-3));
  }
}
