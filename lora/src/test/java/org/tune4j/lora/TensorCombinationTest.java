package org.tune4j.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;
import org.tune4j.lora.Combination.Majority;

/** The arithmetic of combinations on tensors, without a model. */
class TensorCombinationTest {
  private static final float[][] TENSORS = {{1, -2, 3, -4}, {-3, -1, 2, 0.5f}, {1, 4, -1, 0.25f}};
  private static final double[] WEIGHTS = {1, 2, 0.5};

  private static float[] combine(Combination c, float[][] tensors, double[] weights) {
    return c.combined(tensors, weights, new SplittableRandom(c.seed()));
  }

  @Test
  void linearAddsUp() {
    assertThat(combine(Combination.linear(), TENSORS, WEIGHTS))
        .containsExactly(1 - 6 + 0.5f, -2 - 2 + 2, 3 + 4 - 0.5f, -4 + 1 + 0.125f);
  }

  @Test
  void tiesPrunesElectsAndAverages() {
    // kept at density 0.5: {0, 0, 3, -4}, {-3, 0, 2, 0}, {0 or 1, 4, ...}: of equal ones the first
    // sums: -3 + 1, 4, 5, -4: signs -, +, +, -
    assertThat(combine(Combination.ties(0.5), TENSORS, WEIGHTS))
        .containsExactly(2 * -3, 0.5f * 4, (3 + 2 * 2) / 2f, -4);
  }

  @Test
  void majoritiesDiffer() {
    float[][] tensors = {{5}, {-1}, {-2}};
    double[] weights = {1, 1, 1};
    assertThat(combine(Combination.ties(1), tensors, weights)).containsExactly(5);
    assertThat(combine(Combination.ties(1).electing(Majority.FREQUENCY), tensors, weights))
        .containsExactly(-1.5f);
  }

  @Test
  void withoutAMajorityTheSignIsPlus() {
    assertThat(combine(Combination.ties(1), new float[][] {{2}, {-2}}, new double[] {1, 1}))
        .containsExactly(2);
    assertThat(combine(Combination.ties(0), TENSORS, WEIGHTS)).containsOnly(0f);
  }

  @Property(tries = 50)
  void theLargestAreKept(
      @ForAll @Size(min = 1, max = 40) List<@IntRange(min = -9, max = 9) Integer> drawn,
      @ForAll @DoubleRange(min = 0, max = 1) double density) {
    float[] values = new float[drawn.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = drawn.get(i) == 0 ? 0.5f : drawn.get(i);
    }
    float[] kept = Combination.largest(values, density);
    int count = 0;
    float smallestKept = Float.MAX_VALUE;
    float largestDropped = 0;
    for (int i = 0; i < values.length; i++) {
      if (kept[i] != 0) {
        assertThat(kept[i]).isEqualTo(values[i]);
        smallestKept = Math.min(smallestKept, Math.abs(kept[i]));
        count++;
      } else {
        largestDropped = Math.max(largestDropped, Math.abs(values[i]));
      }
    }
    assertThat(count).isEqualTo((int) (density * values.length));
    assertThat(smallestKept).isGreaterThanOrEqualTo(largestDropped);
  }

  /** Counting bits finds what sorting does, whatever the magnitudes. */
  @Property(tries = 50)
  void theLargestAreThoseOfASortedList(
      @ForAll @LongRange(min = 0, max = 100_000) long seed,
      @ForAll @IntRange(min = 1, max = 3000) int size,
      @ForAll @DoubleRange(min = 0, max = 1) double density) {
    SplittableRandom random = new SplittableRandom(seed);
    float[] values = new float[size];
    float[] sorted = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) (random.nextGaussian() * Math.pow(10, random.nextInt(-40, 30)));
      sorted[i] = Math.abs(values[i]);
    }
    Arrays.sort(sorted);
    int keep = (int) (density * size);
    float least = keep == 0 ? Float.POSITIVE_INFINITY : sorted[size - keep];
    float[] kept = Combination.largest(values, density);
    for (int i = 0; i < size; i++) {
      if (Math.abs(values[i]) > least) {
        assertThat(kept[i]).isEqualTo(values[i]);
      } else if (Math.abs(values[i]) < least) {
        assertThat(kept[i]).isZero();
      }
    }
  }

  @Property(tries = 50)
  void wholeTiesOfAgreeingSignsIsTheAverage(
      @ForAll @LongRange(min = 0, max = 100_000) long seed,
      @ForAll @IntRange(min = 1, max = 6) int tensors) {
    SplittableRandom random = new SplittableRandom(seed);
    float[][] all = new float[tensors][30];
    double[] ones = new double[tensors];
    Arrays.fill(ones, 1);
    for (int e = 0; e < 30; e++) {
      double sign = random.nextBoolean() ? 1 : -1;
      for (float[] t : all) {
        t[e] = (float) (sign * random.nextDouble(0.1, 2));
      }
    }
    for (Majority majority : Majority.values()) {
      float[] merged = combine(Combination.tiesSvd(1).electing(majority), all, ones);
      for (int e = 0; e < 30; e++) {
        double sum = 0;
        for (float[] t : all) {
          sum += t[e];
        }
        assertThat((double) merged[e]).isCloseTo(sum / tensors, within(1e-6));
      }
    }
  }

  @Property(tries = 20)
  void dareKeepsTheExpectation(
      @ForAll @LongRange(min = 0, max = 1000) long seed,
      @ForAll @DoubleRange(min = 0.2, max = 0.9) double density) {
    float[] ones = new float[5000];
    Arrays.fill(ones, 1);
    float[][] tensors = {ones, ones};
    double[] weights = {0.25, 0.5};
    Combination dare = Combination.dareLinear(density, seed);
    float[] combined = combine(dare, tensors, weights);
    double sum = 0;
    for (float v : combined) {
      sum += v;
    }
    assertThat(sum / ones.length).isCloseTo(0.75, within(0.08));
    assertThat(combine(dare, tensors, weights)).isEqualTo(combined);
    assertThat(combine(Combination.dareLinear(density, seed + 1), tensors, weights))
        .isNotEqualTo(combined);
    // with election, all agree on plus: where one is dropped the other counts alone
    Set<Float> values = new TreeSet<>();
    for (float v : combine(Combination.dareTies(density, seed), tensors, weights)) {
      values.add(Math.round(v * density * 1e4) / 1e4f);
    }
    assertThat(values).containsExactly(0f, 0.25f, 0.375f, 0.5f);
  }
}
