package org.tune4j.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;

class BootstrapTest {
  @Provide
  Arbitrary<List<double[]>> scores() {
    return Arbitraries.doubles()
        .between(0, 1)
        .array(double[].class)
        .ofMinSize(1)
        .ofMaxSize(20)
        .list()
        .ofMinSize(1)
        .ofMaxSize(4);
  }

  @Property(tries = 60)
  void theIntervalHoldsTheMeanAndStaysWithinTheScores(
      @ForAll("scores") List<double[]> scores, @ForAll long seed) {
    ConfidenceInterval i = Bootstrap.seeded(seed).interval(scores);
    double mean =
        scores.stream().mapToDouble(s -> Arrays.stream(s).average().orElseThrow()).sum()
            / scores.size();
    assertThat(i.mean()).isCloseTo(mean, Offset.offset(1e-12));
    assertThat(i.low()).isLessThanOrEqualTo(i.mean());
    assertThat(i.high()).isGreaterThanOrEqualTo(i.mean());
    double least = scores.stream().flatMapToDouble(Arrays::stream).min().orElseThrow();
    double most = scores.stream().flatMapToDouble(Arrays::stream).max().orElseThrow();
    assertThat(i.low()).isGreaterThanOrEqualTo(least - 1e-12);
    assertThat(i.high()).isLessThanOrEqualTo(most + 1e-12);
  }

  @Property(tries = 40)
  void winsOfOneAreLossesOfTheOther(@ForAll("scores") List<double[]> a, @ForAll long seed) {
    Random random = new Random(seed);
    List<double[]> b = a.stream().map(s -> random.doubles(s.length).toArray()).toList();
    Bootstrap bootstrap = Bootstrap.seeded(seed);
    assertThat(bootstrap.winProbability(a, b) + bootstrap.winProbability(b, a))
        .isCloseTo(1, Offset.offset(1e-12));
    assertThat(bootstrap.winProbability(a, a)).isEqualTo(0.5);
  }

  @Test
  void theIntervalCoversTheTruthAboutAsOftenAsItSays() {
    Random random = new Random(4);
    int covered = 0;
    int trials = 300;
    for (int t = 0; t < trials; t++) {
      double[] scores = random.doubles(80).map(u -> u < 0.3 ? 1 : 0).toArray();
      ConfidenceInterval i = Bootstrap.seeded(t).interval(scores);
      covered += i.low() <= 0.3 && 0.3 <= i.high() ? 1 : 0;
    }
    assertThat((double) covered / trials).isBetween(0.90, 0.99);
  }

  @Test
  void theIntervalNarrowsWithTheRootOfTheNumberOfExamples() {
    double[] few = new Random(1).doubles(100).toArray();
    double[] many = new Random(1).doubles(1600).toArray();
    Bootstrap bootstrap = Bootstrap.seeded(0);
    double ratio = width(bootstrap.interval(few)) / width(bootstrap.interval(many));
    assertThat(ratio).isBetween(3.4, 4.7);
  }

  private static double width(ConfidenceInterval i) {
    return i.high() - i.low();
  }

  @Test
  void comparesPairByPair() {
    // on every example a is better by less than the interval of either mean is wide
    double[] b = new Random(2).doubles(50).toArray();
    double[] a = Arrays.stream(b).map(s -> s + 0.001).toArray();
    Bootstrap bootstrap = Bootstrap.seeded(3);
    assertThat(width(bootstrap.interval(a))).isGreaterThan(0.1);
    assertThat(bootstrap.winProbability(List.of(a), List.of(b))).isEqualTo(1);
  }

  @Test
  void eachTaskWeighsTheSame() {
    double[] large = new double[400];
    double[] small = {1, 1};
    assertThat(Bootstrap.seeded(0).interval(List.of(large, small)).mean()).isEqualTo(0.5);
  }

  @Test
  void theSeedDecides() {
    double[] scores = new Random(5).doubles(30).toArray();
    assertThat(Bootstrap.seeded(1).interval(scores))
        .isEqualTo(Bootstrap.seeded(1).interval(scores));
    assertThat(Bootstrap.seeded(1).interval(scores))
        .isNotEqualTo(Bootstrap.seeded(2).interval(scores));
  }

  @Test
  void refusesWhatCannotBeResampledOrPaired() {
    Bootstrap bootstrap = Bootstrap.seeded(0);
    assertThatThrownBy(() -> bootstrap.interval(List.of())).hasMessageContaining("no tasks");
    assertThatThrownBy(() -> bootstrap.interval(new double[0]))
        .hasMessageContaining("without examples");
    assertThatThrownBy(
            () -> bootstrap.winProbability(List.of(new double[2]), List.of(new double[3])))
        .hasMessageContaining("2 examples are compared with 3");
  }
}
