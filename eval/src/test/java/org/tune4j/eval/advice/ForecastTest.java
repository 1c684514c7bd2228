package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.common.collect.ImmutableMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Hyperparameters;

/** The constants that were fitted, and what is made of them. */
class ForecastTest {
  private static final Forecast FORECAST = Forecast.standard();

  private static Features with(String feature, double value) {
    Map<String, Double> values = new HashMap<>(Situations.features().values());
    values.put(feature, value);
    return new Features(ImmutableMap.copyOf(values));
  }

  @Example
  void knowsEveryBuiltInCandidate() {
    for (Candidate c : Situations.CANDIDATES) {
      assertThat(FORECAST.gain(c.name(), Situations.features()).deviation()).isBetween(0.0, 0.5);
    }
    assertThatThrownBy(() -> FORECAST.gain("other", Situations.features()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'other'")
        .hasMessageContaining("independent");
  }

  @Example
  void isFittedToTheFeaturesThatThereAre() {
    Features f =
        Features.of(
            List.of(
                Task.builder("t")
                    .train(List.of(org.tune4j.core.data.Example.of("a", "b")))
                    .build()),
            Hyperparameters.defaults());
    assertThat(FORECAST.parts("independent", f).keySet()).isEqualTo(f.values().keySet());
  }

  @Property(tries = 100)
  void moreConflictsNeverSpeakForSharing(
      @ForAll @DoubleRange(min = 0, max = 0.6) double less,
      @ForAll @DoubleRange(min = 0, max = 0.6) double more) {
    for (String strategy : List.of("independent", "multi-task-specialised")) {
      double some = FORECAST.gain(strategy, with(Features.OPPOSITION, Math.min(less, more))).mean();
      double many = FORECAST.gain(strategy, with(Features.OPPOSITION, Math.max(less, more))).mean();
      assertThat(many).as(strategy).isGreaterThanOrEqualTo(some);
    }
  }

  @Property(tries = 100)
  void aFeatureBeyondWhatWasFittedToCountsAsAtTheEnd(
      @ForAll @DoubleRange(min = 20, max = 1e9) double far) {
    assertThat(FORECAST.gain("independent", with(Features.STEPS, far)))
        .isEqualTo(FORECAST.gain("independent", with(Features.STEPS, 2 * far)));
  }

  @Property(tries = 300)
  void aTighterBudgetNeverMovesToADearerPlan(
      @ForAll @DoubleRange(min = -0.3, max = 0.3) double gain,
      @ForAll @DoubleRange(min = 1, max = 100) double cost,
      @ForAll @DoubleRange(min = 1, max = 100) double dearer,
      @ForAll @DoubleRange(min = 0.1, max = 200) double budget,
      @ForAll @DoubleRange(min = 0.01, max = 1) double tighter) {
    double high = cost + dearer;
    double before = lead(gain, cost, high, budget);
    double after = lead(gain, cost, high, budget * tighter);
    assertThat(after).isLessThanOrEqualTo(before + 1e-12);
  }

  /** Returns the lead of a dearer plan. */
  private static double lead(double gain, double cost, double high, double budget) {
    return FORECAST.cut(Estimate.of(gain, 0.01), Math.min(1, budget / high)).mean()
        - FORECAST.cut(Estimate.of(0, 0.01), Math.min(1, budget / cost)).mean();
  }

  @Example
  void theScorecardAddsUpToTheDifference() {
    Scorecard card = Evidence.scorecard(FORECAST, Situations.features());
    assertThat(card.lean())
        .isCloseTo(-FORECAST.gain("independent", Situations.features()).mean(), within(1e-9));
    assertThat(card.factors()).allMatch(f -> f.sentence().endsWith("."));
    assertThat(card.factors()).extracting(f -> -Math.abs(f.points())).isSorted();
  }

  @Example
  void anEstimateIsOfNumbers() {
    assertThat(Estimate.of(0.02, 0.01).toString()).isEqualTo("+2.0 [+0.4, +3.6]");
    assertThatThrownBy(() -> Estimate.of(0, -1)).hasMessageContaining("-1");
    assertThatThrownBy(() -> Estimate.of(Double.NaN, 0)).hasMessageContaining("NaN");
  }
}
