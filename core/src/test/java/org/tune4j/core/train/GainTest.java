package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;

class GainTest {
  /** By hand: differences 1, 2, 3, 6; mean 3, variance 14 / 3, standard error sqrt(14 / 12). */
  @Example
  void isThePairedDifference() {
    Gain gain = Gain.of(new double[] {5, 5, 5, 7}, new double[] {4, 3, 2, 1});
    assertThat(gain.mean()).isCloseTo(3, within(1e-12));
    assertThat(gain.standardError()).isCloseTo(Math.sqrt(14 / 12.0), within(1e-12));
    assertThat(gain.examples()).isEqualTo(4);
    assertThat(gain.kept()).as("t is 2.78, 3.18 is needed with 3 degrees of freedom").isFalse();
    assertThat(new Gain(3.19, 1, 4).kept()).isTrue();
    assertThat(new Gain(3.18, 1, 4).kept()).isFalse();
    assertThat(new Gain(1.97, 1, 10_000).kept()).isTrue();
    assertThat(new Gain(1.95, 1, 10_000).kept()).isFalse();
  }

  @Example
  void nothingIsNoGain() {
    assertThat(Gain.of(new double[0], new double[0]).kept()).isFalse();
    assertThat(Gain.of(new double[] {9}, new double[] {1}).kept()).as("one example").isFalse();
    assertThat(Gain.of(new double[] {1, 2}, new double[] {1, 2}).kept()).isFalse();
    assertThat(Gain.of(new double[] {1, Double.NaN}, new double[] {0, 0}).kept()).isFalse();
    assertThat(Gain.of(new double[] {2, 3}, new double[] {1, 2}).kept())
        .as("the same everywhere")
        .isTrue();
  }

  @Property(tries = 50)
  void noiseIsSeldomKeptAndALargeGainAlways(
      @ForAll @IntRange(min = 20, max = 100) int examples,
      @ForAll @DoubleRange(min = 0.1, max = 10) double spread,
      @ForAll long seed) {
    Random random = new Random(seed);
    int kept = 0;
    for (int run = 0; run < 200; run++) {
      double[] without = new double[examples];
      double[] with = new double[examples];
      double[] better = new double[examples];
      for (int i = 0; i < examples; i++) {
        double hard = 10 * random.nextGaussian(); // of an example, which pairs are rid of
        without[i] = hard + spread * random.nextGaussian();
        with[i] = hard + spread * random.nextGaussian();
        better[i] = with[i] - 2 * spread;
      }
      kept += Gain.of(without, with).kept() ? 1 : 0;
      assertThat(Gain.of(without, better).kept()).isTrue();
    }
    assertThat(kept).as("of 200, 5 are expected").isLessThan(20);
  }
}
