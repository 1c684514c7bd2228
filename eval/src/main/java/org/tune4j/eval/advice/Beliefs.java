package org.tune4j.eval.advice;

import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.apache.commons.math3.distribution.NormalDistribution;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.ArrayRealVector;
import org.apache.commons.math3.linear.EigenDecomposition;
import org.apache.commons.math3.linear.MatrixUtils;
import org.apache.commons.math3.linear.RealMatrix;
import org.apache.commons.math3.linear.RealVector;

/**
 * What is believed of the gains of several candidates: one normal distribution for all of them,
 * first as forecast, then conditioned on measured differences. Candidates are told by their index.
 */
final class Beliefs {
  private static final int DRAWS = 20_000;
  private static final NormalDistribution NORMAL = new NormalDistribution(null, 0, 1);

  private final RealVector mean;
  private final RealMatrix covariance;

  private Beliefs(RealVector mean, RealMatrix covariance) {
    this.mean = mean;
    this.covariance = covariance;
  }

  /**
   * Returns what the candidates' own estimates say. Errors of strategies that the forecast knows go
   * together as they did where it was fitted; those of others are independent.
   */
  static Beliefs of(List<Assessment> candidates, Forecast forecast) {
    int n = candidates.size();
    RealVector mean = new ArrayRealVector(n);
    RealMatrix covariance = new Array2DRowRealMatrix(n, n);
    for (int i = 0; i < n; i++) {
      Assessment a = candidates.get(i);
      mean.setEntry(i, a.gain().mean());
      for (int j = 0; j < n; j++) {
        Assessment b = candidates.get(j);
        double correlation = i == j ? 1 : forecast.correlation(a.name(), b.name());
        covariance.setEntry(i, j, correlation * a.gain().deviation() * b.gain().deviation());
      }
    }
    return new Beliefs(mean, covariance);
  }

  /** Returns what is believed of a candidate's gain. */
  Estimate gain(int candidate) {
    return Estimate.of(
        mean.getEntry(candidate),
        Math.sqrt(Math.max(0, covariance.getEntry(candidate, candidate))));
  }

  /** Returns what is believed of the difference between two candidates. */
  Estimate difference(int candidate, int other) {
    double variance =
        covariance.getEntry(candidate, candidate)
            + covariance.getEntry(other, other)
            - 2 * covariance.getEntry(candidate, other);
    return Estimate.of(
        mean.getEntry(candidate) - mean.getEntry(other), Math.sqrt(Math.max(0, variance)));
  }

  /**
   * Returns by how much a candidate is expected to be better than another, counting the cases in
   * which it is worse as 0 (expected improvement: Jones, Schonlau and Welch 1998, section 4.1).
   */
  double improvement(int candidate, int other) {
    Estimate d = difference(candidate, other);
    if (d.deviation() < 1e-12) {
      return Math.max(0, d.mean());
    }
    double z = d.mean() / d.deviation();
    return d.deviation() * (z * NORMAL.cumulativeProbability(z) + NORMAL.density(z));
  }

  /** Returns what is believed once the difference of two candidates was measured. */
  Beliefs observed(int candidate, int other, Estimate difference) {
    RealVector contrast = new ArrayRealVector(mean.getDimension());
    contrast.setEntry(candidate, 1);
    contrast.addToEntry(other, -1);
    RealVector spread = covariance.operate(contrast);
    double variance = contrast.dotProduct(spread) + difference.deviation() * difference.deviation();
    if (variance < 1e-18) {
      return this; // known for sure before
    }
    double surprise = difference.mean() - contrast.dotProduct(mean);
    return new Beliefs(
        mean.add(spread.mapMultiply(surprise / variance)),
        covariance.subtract(spread.outerProduct(spread).scalarMultiply(1 / variance)));
  }

  /** Returns each candidate's probability of being the best: the share of draws in which it is. */
  double[] probabilities(Random random) {
    int n = mean.getDimension();
    RealMatrix symmetric = covariance.add(covariance.transpose()).scalarMultiply(0.5);
    EigenDecomposition parts = new EigenDecomposition(symmetric);
    RealMatrix root = MatrixUtils.createRealMatrix(n, n);
    for (int k = 0; k < n; k++) {
      double deviation = Math.sqrt(Math.max(0, parts.getRealEigenvalue(k)));
      root.setColumnVector(k, parts.getEigenvector(k).mapMultiply(deviation));
    }
    int[] wins = new int[n];
    double[] normal = new double[n];
    for (int draw = 0; draw < DRAWS; draw++) {
      for (int k = 0; k < n; k++) {
        normal[k] = random.nextGaussian();
      }
      wins[mean.add(root.operate(new ArrayRealVector(normal, false))).getMaxIndex()]++;
    }
    return Arrays.stream(wins).mapToDouble(w -> w / (double) DRAWS).toArray();
  }
}
