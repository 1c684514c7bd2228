package org.tune4j.examples.benchmark;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.ArrayRealVector;
import org.apache.commons.math3.linear.CholeskyDecomposition;
import org.apache.commons.math3.linear.MatrixUtils;
import org.apache.commons.math3.linear.RealMatrix;
import org.apache.commons.math3.linear.RealVector;
import org.apache.commons.math3.stat.descriptive.DescriptiveStatistics;
import org.tune4j.examples.benchmark.Kept.Measured;

/**
 * Fits a forecast: for every strategy, the difference between its score and that of multi-task
 * training as a linear function of the features, by ridge regression. The ridge penalty is chosen
 * by leave-one-out cross-validation over all strategies.
 */
final class Fit {
  /** Rare features that are decisive where they occur, and therefore penalised less. */
  private static final ImmutableSet<String> RARE = ImmutableSet.of("opposition", "kinship");

  private static final double[] RIDGES = {1, 3, 10, 30, 100, 300, 1000};

  private final List<Measured> scenarios;
  private final List<String> features;
  private final double[][] scaled;
  private final ObjectNode json = new ObjectMapper().createObjectNode();

  private Fit(List<Measured> scenarios) {
    this.scenarios = scenarios;
    this.features = scenarios.get(0).features().keySet().asList();
    this.scaled = new double[scenarios.size()][features.size()];
  }

  /** Returns the constants of a forecast in the advice's format. */
  static ObjectNode of(List<Measured> scenarios) {
    if (scenarios.size() < 8) {
      throw new IllegalArgumentException(
          "%d scenarios were trained with all strategies; at least 8 are needed"
              .formatted(scenarios.size()));
    }
    return new Fit(scenarios).all();
  }

  private ObjectNode all() {
    json.put("scenarios", scenarios.size());
    scales();
    List<String> others = new ArrayList<>(Contender.names());
    others.remove(Contender.BASE);
    double[][] gains = new double[others.size()][];
    for (int k = 0; k < gains.length; k++) {
      String strategy = others.get(k);
      gains[k] = targets(m -> m.score(strategy, m.seeds()) - m.score(Contender.BASE, m.seeds()));
    }
    double ridge = bestRidge(gains);
    json.put("ridge", ridge);
    double[] base = targets(m -> m.score(Contender.BASE, m.seeds()));
    double baseRidge = bestRidge(new double[][] {base});
    put(json.putObject("base"), base, baseRidge);
    ObjectNode lines = json.putObject("gains");
    double[][] residuals = new double[others.size()][];
    for (int k = 0; k < gains.length; k++) {
      residuals[k] = leaveOneOut(gains[k], ridge);
      put(lines.putObject(Contender.inLibrary(others.get(k))), gains[k], ridge);
    }
    ArrayNode rows = json.putArray("residuals");
    for (int i = 0; i < scenarios.size(); i++) {
      ArrayNode row = rows.addArray();
      for (double[] r : residuals) {
        row.add(round(r[i]));
      }
    }
    // the gain of multi-task training from doubling the steps, by the model of its score
    int steps = features.indexOf("steps");
    double perDeviation = solve(base, baseRidge, -1)[1 + steps];
    double deviation = json.at("/features/steps/deviation").doubleValue();
    json.put("doubling", round(Math.max(0.005, perDeviation / deviation)));
    return json;
  }

  private void scales() {
    ObjectNode ranges = json.putObject("features");
    for (int j = 0; j < features.size(); j++) {
      DescriptiveStatistics all = new DescriptiveStatistics();
      for (Measured m : scenarios) {
        all.addValue(m.features().get(features.get(j)));
      }
      double deviation = Math.max(1e-9, all.getStandardDeviation());
      ranges
          .putObject(features.get(j))
          .put("mean", round(all.getMean()))
          .put("deviation", Math.max(1e-4, round(deviation)))
          .put("least", round(all.getMin()))
          .put("most", round(all.getMax()));
      for (int i = 0; i < scaled.length; i++) {
        scaled[i][j] =
            (scenarios.get(i).features().get(features.get(j)) - all.getMean()) / deviation;
      }
    }
  }

  private double[] targets(ToDoubleFunction<Measured> of) {
    return scenarios.stream().mapToDouble(of).toArray();
  }

  /** Returns the penalty with the least leave-one-out error over all targets. */
  private double bestRidge(double[][] targets) {
    double best = RIDGES[0];
    double least = Double.POSITIVE_INFINITY;
    for (double ridge : RIDGES) {
      double sum = 0;
      for (double[] t : targets) {
        for (double r : leaveOneOut(t, ridge)) {
          sum += r * r;
        }
      }
      if (sum < least) {
        least = sum;
        best = ridge;
      }
    }
    return best;
  }

  /** Returns the residual of each scenario, forecast from all others. */
  private double[] leaveOneOut(double[] targets, double ridge) {
    double[] residuals = new double[targets.length];
    for (int i = 0; i < residuals.length; i++) {
      double[] coefficients = solve(targets, ridge, i);
      double forecast = coefficients[0];
      for (int j = 0; j < features.size(); j++) {
        forecast += coefficients[1 + j] * scaled[i][j];
      }
      residuals[i] = targets[i] - forecast;
    }
    return residuals;
  }

  /**
   * Returns intercept and weights.
   *
   * @param without the scenario that is left out; -1 for none
   */
  private double[] solve(double[] targets, double ridge, int without) {
    int n = targets.length - (without < 0 ? 0 : 1);
    RealMatrix x = new Array2DRowRealMatrix(n, 1 + features.size());
    RealVector y = new ArrayRealVector(n);
    for (int i = 0, row = 0; i < targets.length; i++) {
      if (i != without) {
        x.setEntry(row, 0, 1);
        for (int j = 0; j < features.size(); j++) {
          x.setEntry(row, 1 + j, scaled[i][j]);
        }
        y.setEntry(row++, targets[i]);
      }
    }
    RealMatrix penalty = MatrixUtils.createRealIdentityMatrix(1 + features.size());
    penalty.setEntry(0, 0, 1e-9 / ridge); // the intercept is not penalised
    for (int j = 0; j < features.size(); j++) {
      if (RARE.contains(features.get(j))) {
        penalty.setEntry(1 + j, 1 + j, 0.1);
      }
    }
    return new CholeskyDecomposition(x.transpose().multiply(x).add(penalty.scalarMultiply(ridge)))
        .getSolver()
        .solve(x.transpose().operate(y))
        .toArray();
  }

  private void put(ObjectNode into, double[] targets, double ridge) {
    double[] coefficients = solve(targets, ridge, -1);
    into.put("intercept", round(coefficients[0]));
    ObjectNode weights = into.putObject("weights");
    for (int j = 0; j < features.size(); j++) {
      weights.put(features.get(j), round(coefficients[1 + j]));
    }
    double sum = 0;
    for (double r : leaveOneOut(targets, ridge)) {
      sum += r * r;
    }
    into.put("deviation", round(Math.sqrt(sum / targets.length)));
  }

  private static double round(double value) {
    return Math.round(1e5 * value) / 1e5;
  }
}
