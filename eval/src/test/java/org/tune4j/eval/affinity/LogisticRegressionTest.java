package org.tune4j.eval.affinity;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.SplittableRandom;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class LogisticRegressionTest {
  /** A problem with its features, which the regression itself never sees. */
  private record Problem(double[][] g, double[] margins, double[] weights) {
    static Problem of(int n, int dimensions, long seed) {
      SplittableRandom random = new SplittableRandom(seed);
      Problem p = new Problem(new double[n][dimensions], new double[n], new double[n]);
      for (int i = 0; i < n; i++) {
        p.margins[i] = 3 * random.nextGaussian();
        p.weights[i] = 0.1 + random.nextInt(30);
        for (int k = 0; k < dimensions; k++) {
          p.g[i][k] = random.nextGaussian();
        }
      }
      return p;
    }

    double[] fit(double strength) {
      int n = margins.length;
      double[][] inner = new double[n][n];
      for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
          inner[i][j] = LogisticRegression.dot(g[i], g[j]);
        }
      }
      double[] a = LogisticRegression.fit(inner, margins, weights, strength);
      double[] w = new double[g[0].length];
      for (int i = 0; i < n; i++) {
        for (int k = 0; k < w.length; k++) {
          w[k] += a[i] * g[i][k];
        }
      }
      return w;
    }

    double objective(double[] w, double strength) {
      double sum = strength / 2 * LogisticRegression.dot(w, w);
      for (int i = 0; i < margins.length; i++) {
        double m = margins[i] + LogisticRegression.dot(g[i], w);
        sum += weights[i] * Math.log1p(Math.exp(-m));
      }
      return sum;
    }
  }

  @Property(tries = 100)
  void noStepInAnyDirectionIsLower(
      @ForAll @IntRange(min = 1, max = 40) int n,
      @ForAll @IntRange(min = 1, max = 60) int dimensions,
      @ForAll @DoubleRange(min = -2, max = 3) double logarithm,
      @ForAll long seed) {
    Problem p = Problem.of(n, dimensions, seed);
    double strength = Math.pow(10, logarithm);
    double[] w = p.fit(strength);
    double reached = p.objective(w, strength);
    double start = p.objective(new double[dimensions], strength);
    assertThat(reached).isLessThanOrEqualTo(start);
    SplittableRandom random = new SplittableRandom(seed + 1);
    for (int trial = 0; trial < 20; trial++) {
      double[] other = w.clone();
      for (int k = 0; k < dimensions; k++) {
        other[k] += 0.1 * random.nextGaussian();
      }
      assertThat(p.objective(other, strength)).isGreaterThan(reached - 1e-5 * start);
    }
  }

  @Property(tries = 30)
  void theStrongerTheLessMoves(@ForAll @IntRange(min = 1, max = 20) int n, @ForAll long seed) {
    Problem p = Problem.of(n, 30, seed);
    double last = Double.POSITIVE_INFINITY;
    for (double strength : new double[] {0.1, 1, 10, 100, 1e9}) {
      double[] w = p.fit(strength);
      double norm = Math.sqrt(LogisticRegression.dot(w, w));
      assertThat(norm).isLessThanOrEqualTo(last * 1.01);
      last = norm;
    }
    assertThat(last).isLessThan(1e-5);
  }

  /** One example of gradient 1: {@code w = c s(-(m + w)) / strength}. */
  @Test
  void knownValue() {
    double[] a =
        LogisticRegression.fit(new double[][] {{1}}, new double[] {0.5}, new double[] {2}, 1);
    assertThat(a[0]).isCloseTo(2 / (1 + Math.exp(0.5 + a[0])), within(1e-4));
    assertThat(LogisticRegression.loss(0.5)).isCloseTo(0.474077, within(1e-6));
    assertThat(LogisticRegression.loss(-800)).isEqualTo(800);
    assertThat(LogisticRegression.loss(800)).isZero();
  }
}
