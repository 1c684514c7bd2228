package org.tune4j.eval.advice;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.io.Resources;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What strategies are thought to score, from the {@link Features} of tasks: linear in them, with
 * constants that were fitted by ridge regression (Hoerl and Kennard 1970) to strategies that were
 * trained to the end in scenarios of many kinds. {@code docs/advice-benchmark.md} tells how, and
 * how good it is on scenarios that nothing was fitted to; {@code forecast.json} beside this class
 * has the constants, and {@code advice-benchmark fit} makes it again.
 *
 * <p>Scores are means over tasks of accuracy or exact match, and those of other strategies are
 * differences from {@link org.tune4j.strategies.MultiTask#proportional()}. Features beyond the
 * range that was fitted to are taken to be at its end.
 */
public final class Forecast {
  /** The strategy that others are compared with. */
  static final String BASE = "multi-task";

  /**
   * A linear model.
   *
   * @param intercept value where all features are at their mean
   * @param weights by feature, for a standard deviation of it
   * @param deviation of what was left, on scenarios that were left out of the fit one by one
   */
  record Line(double intercept, ImmutableMap<String, Double> weights, double deviation) {}

  /**
   * The scale of a feature.
   *
   * @param least value fitted to
   * @param most value fitted to
   */
  record Scale(double mean, double deviation, double least, double most) {}

  private static final Forecast STANDARD = read();

  private final int scenarios;
  private final ImmutableMap<String, Scale> scales;
  private final Line base;
  private final ImmutableMap<String, Line> gains;

  /** What was left of each scenario's gains, in the order of {@link #strategies}. */
  private final ImmutableList<double[]> residuals;

  private final double doubling;

  private Forecast(JsonNode json) {
    scenarios = json.required("scenarios").intValue();
    doubling = json.required("doubling").doubleValue();
    ImmutableMap.Builder<String, Scale> ranges = ImmutableMap.builder();
    json.required("features")
        .properties()
        .forEach(
            f ->
                ranges.put(
                    f.getKey(),
                    new Scale(
                        f.getValue().required("mean").doubleValue(),
                        f.getValue().required("deviation").doubleValue(),
                        f.getValue().required("least").doubleValue(),
                        f.getValue().required("most").doubleValue())));
    scales = ranges.buildOrThrow();
    base = line(json.required("base"));
    ImmutableMap.Builder<String, Line> lines = ImmutableMap.builder();
    json.required("gains").properties().forEach(g -> lines.put(g.getKey(), line(g.getValue())));
    gains = lines.buildOrThrow();
    ImmutableList.Builder<double[]> rows = ImmutableList.builder();
    for (JsonNode row : json.required("residuals")) {
      double[] values = new double[row.size()];
      for (int i = 0; i < values.length; i++) {
        values[i] = row.get(i).doubleValue();
      }
      rows.add(values);
    }
    residuals = rows.build();
  }

  private static Line line(JsonNode json) {
    Map<String, Double> weights = new LinkedHashMap<>();
    json.required("weights")
        .properties()
        .forEach(w -> weights.put(w.getKey(), w.getValue().doubleValue()));
    return new Line(
        json.required("intercept").doubleValue(),
        ImmutableMap.copyOf(weights),
        json.required("deviation").doubleValue());
  }

  private static Forecast read() {
    try {
      return new Forecast(
          new ObjectMapper().readTree(Resources.getResource(Forecast.class, "forecast.json")));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns the one that comes with the library. */
  public static Forecast standard() {
    return STANDARD;
  }

  /** Returns how many scenarios it was fitted to. */
  public int scenarios() {
    return scenarios;
  }

  /** Returns the names of the strategies that it knows, {@link #BASE} not among them. */
  public List<String> strategies() {
    return gains.keySet().asList();
  }

  /** Returns the mean score that multi-task training is thought to reach. */
  public Estimate base(Features f) {
    double mean = base.intercept;
    for (String name : base.weights.keySet()) {
      mean += base.weights.get(name) * scaled(name, f);
    }
    return Estimate.of(Math.max(0, Math.min(1, mean)), base.deviation);
  }

  /**
   * Returns by how much a strategy's mean score is thought to differ from that of multi-task
   * training.
   *
   * @param strategy one of {@link #strategies}, or {@link #BASE}
   */
  public Estimate gain(String strategy, Features f) {
    if (strategy.equals(BASE)) {
      return Estimate.of(0, 0);
    }
    double mean = average(strategy);
    for (double part : parts(strategy, f).values()) {
      mean += part;
    }
    return Estimate.of(mean, line(strategy).deviation);
  }

  /** Returns the mean difference of a strategy's score over all scenarios. */
  double average(String strategy) {
    return line(strategy).intercept;
  }

  /** Returns what of the difference is due to each feature's distance from its mean. */
  ImmutableMap<String, Double> parts(String strategy, Features f) {
    ImmutableMap.Builder<String, Double> parts = ImmutableMap.builder();
    line(strategy).weights.forEach((name, w) -> parts.put(name, w * scaled(name, f)));
    return parts.buildOrThrow();
  }

  /**
   * Returns how the errors of two strategies' gains go together, as they did in the scenarios; 0 if
   * it does not know both.
   */
  double correlation(String strategy, String other) {
    int i = strategies().indexOf(strategy);
    int j = strategies().indexOf(other);
    if (i < 0 || j < 0) {
      return 0;
    }
    double product = 0;
    double first = 0;
    double second = 0;
    for (double[] r : residuals) {
      product += r[i] * r[j];
      first += r[i] * r[i];
      second += r[j] * r[j];
    }
    return product == 0 ? 0 : product / Math.sqrt(first * second);
  }

  /**
   * Returns what is left of a gain where the budget pays a share of the plan only: it loses what
   * multi-task training was seen to gain by twice the steps, for every halving.
   */
  Estimate cut(Estimate gain, double share) {
    return share < 1 ? gain.minus(doubling * Math.log(1 / share) / Math.log(2)) : gain;
  }

  private Line line(String strategy) {
    Line line = gains.get(strategy);
    if (line == null) {
      throw new IllegalArgumentException(
          "nothing was fitted for '%s'; there are %s".formatted(strategy, gains.keySet()));
    }
    return line;
  }

  private double scaled(String name, Features f) {
    Scale s = scales.get(name);
    double within = Math.max(s.least, Math.min(s.most, f.get(name)));
    return (within - s.mean) / s.deviation;
  }
}
