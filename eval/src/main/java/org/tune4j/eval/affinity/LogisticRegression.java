package org.tune4j.eval.affinity;

import java.util.function.DoubleUnaryOperator;
import org.apache.commons.math3.linear.ArrayRealVector;
import org.apache.commons.math3.linear.ConjugateGradient;
import org.apache.commons.math3.linear.RealLinearOperator;
import org.apache.commons.math3.linear.RealVector;

/**
 * Regularised logistic regression through given margins: the {@code w} that minimises {@code sum_i
 * c_i log(1 + exp(-m_i)) + (strength / 2) |w|^2} with {@code m_i = m0_i + g_i w}.
 *
 * <p>The minimum lies in the span of the gradients, {@code w = sum_i a_i g_i} (the representer
 * theorem), so that inner products {@code K_ij = g_i g_j} are all it takes. A step {@code b} solves
 * {@code (D K + strength I) b = r - strength a} with {@code r_i = c_i s(-m_i)} and {@code s} the
 * logistic function, by conjugate gradients in the symmetric form. It is Newton's with {@code D_ii
 * = c_i s(m_i) s(-m_i)} (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2nd
 * edition, section 4.4.1). Far from the minimum, where curvature is small and Newton's goes astray,
 * it is that with {@code D_ii = c_i tanh(m_i / 2) / (2 m_i)}, of a parabola that touches the loss
 * at {@code m_i} and is nowhere below it, so that it always descends (Jaakkola and Jordan 2000,
 * "Bayesian parameter estimation via variational methods", section 3).
 */
final class LogisticRegression {
  private static final int MOST_STEPS = 500;
  private static final int HALVINGS = 6;

  /** Steps that gain less than this part of the first objective are the last. */
  private static final double PRECISION = 1e-7;

  /** Curvatures below this are taken as this much, so that their root can be divided by. */
  private static final double LEAST_CURVATURE = 1e-12;

  private final double[][] inner; // K: [n, n]
  private final double[] margins; // m0: [n]
  private final double[] weights; // c: [n]
  private final double strength;

  private LogisticRegression(
      double[][] inner, double[] margins, double[] weights, double strength) {
    this.inner = inner;
    this.margins = margins;
    this.weights = weights;
    this.strength = strength;
  }

  /**
   * Returns the coefficients {@code a}.
   *
   * @param inner products of gradients, {@code [n, n]}, symmetric
   * @param margins where nothing moves
   * @param weights of the examples' losses, positive
   * @param strength of regularisation, positive
   */
  static double[] fit(double[][] inner, double[] margins, double[] weights, double strength) {
    return new LogisticRegression(inner, margins, weights, strength).fit();
  }

  private double[] fit() {
    Point at = point(new ArrayRealVector(margins.length), new ArrayRealVector(margins.length), 0);
    double least = PRECISION * at.objective;
    for (int step = 0; step < MOST_STEPS; step++) {
      Point next = best(at, LogisticRegression::curvature);
      if (next.length < 1) {
        Point safe = best(at, LogisticRegression::parabola);
        next = safe.objective < next.objective ? safe : next;
      }
      if (!(next.objective < at.objective - least)) {
        break;
      }
      at = next;
    }
    return at.a.toArray();
  }

  /**
   * Coefficients and what they come to.
   *
   * @param moved {@code K a}
   * @param length of the step that led there, in parts of the whole
   */
  private record Point(RealVector a, RealVector moved, double length, double objective) {}

  private Point point(RealVector a, RealVector moved, double length) {
    double sum = strength / 2 * a.dotProduct(moved);
    for (int i = 0; i < margins.length; i++) {
      sum += weights[i] * loss(margins[i] + moved.getEntry(i));
    }
    return new Point(a, moved, length, sum);
  }

  /** Returns the lowest point on a step, of its whole, half, quarter and so on. */
  private Point best(Point at, DoubleUnaryOperator curvature) {
    int n = margins.length;
    double[] root = new double[n]; // of D
    double[] right = new double[n];
    for (int i = 0; i < n; i++) {
      double m = margins[i] + at.moved.getEntry(i);
      root[i] = Math.sqrt(Math.max(LEAST_CURVATURE, weights[i] * curvature.applyAsDouble(m)));
      right[i] = (weights[i] * logistic(-m) - strength * at.a.getEntry(i)) / root[i];
    }
    RealVector b = solve(root, right);
    RealVector along = times(b);
    Point best = point(at.a.add(b), at.moved.add(along), 1);
    for (int half = 1; half <= HALVINGS; half++) {
      double length = Math.scalb(1.0, -half);
      Point shorter = point(at.a.combine(1, length, b), at.moved.combine(1, length, along), length);
      best = shorter.objective < best.objective ? shorter : best;
    }
    return best;
  }

  private static double curvature(double margin) {
    return logistic(margin) * logistic(-margin);
  }

  private static double parabola(double margin) {
    return Math.abs(margin) < 1e-6 ? 0.25 : Math.tanh(margin / 2) / (2 * margin);
  }

  /** Solves {@code (R K R + strength I) x = right} with {@code R = diag(root)}; returns R x. */
  private RealVector solve(double[] root, double[] right) {
    int n = right.length;
    RealVector r = new ArrayRealVector(root, false);
    RealLinearOperator system =
        new RealLinearOperator() {
          @Override
          public int getRowDimension() {
            return n;
          }

          @Override
          public int getColumnDimension() {
            return n;
          }

          @Override
          public RealVector operate(RealVector x) {
            return times(x.ebeMultiply(r)).ebeMultiply(r).combine(1, strength, x);
          }
        };
    return new ConjugateGradient(10 * n + 100, 1e-4, false)
        .solve(system, new ArrayRealVector(right, false))
        .ebeMultiply(r);
  }

  private RealVector times(RealVector x) {
    double[] v = x.toArray();
    double[] y = new double[v.length];
    for (int i = 0; i < y.length; i++) {
      y[i] = dot(inner[i], v);
    }
    return new ArrayRealVector(y, false);
  }

  static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  /** Returns {@code log(1 + exp(-margin))} in nats. */
  static double loss(double margin) {
    return margin > 0 ? Math.log1p(Math.exp(-margin)) : Math.log1p(Math.exp(margin)) - margin;
  }

  private static double logistic(double x) {
    return 1 / (1 + Math.exp(-x));
  }
}
