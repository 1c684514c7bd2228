package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.commons.math3.stat.descriptive.DescriptiveStatistics;
import org.apache.commons.math3.stat.descriptive.rank.Percentile;
import org.tune4j.eval.advice.StrategyRecommender.Level;
import org.tune4j.examples.benchmark.Kept.Measured;

/**
 * The regret of following the advice, and of fixed rules: the points lost against the best
 * strategy.
 *
 * <p>The best strategy of a scenario is chosen on all seeds but one, and everything is scored on
 * the remaining seed, in turn for every seed, so that a strategy that is best by chance does not
 * count as the best. Regret can therefore be negative. With a single seed it is measured on that
 * one, and overestimated for all rules alike.
 */
final class Verdicts {
  private static final int RESAMPLES = 10_000;

  /** The levels of advice that are judged. */
  private static final ImmutableList<Level> LEVELS =
      ImmutableList.of(Level.EXPERIMENT, Level.RULES);

  /** The strategies that a rule chooses with a seed; among several, one is chosen at random. */
  private interface Choice {
    List<String> of(Measured scenario, long seed);
  }

  /**
   * The regret of a rule.
   *
   * @param regrets by scenario, in points of 100
   * @param right how often it chose the strategy that is best over all seeds
   */
  record Rule(String name, double[] regrets, double right) {
    double mean() {
      double sum = 0;
      for (double r : regrets) {
        sum += r / regrets.length;
      }
      return sum;
    }

    /** Returns the 95 % interval of the mean, by the bootstrap over scenarios. */
    double[] interval() {
      return Verdicts.interval(regrets);
    }
  }

  private final List<Measured> scenarios;
  private final Map<String, Advised> advised = new HashMap<>();

  /** Judges the advice in the scenarios that have advice of every level. */
  Verdicts(List<Measured> scenarios, List<Advised> advised) {
    for (Advised a : advised) {
      this.advised.put(key(a.scenario(), a.level(), a.seed()), a);
    }
    this.scenarios = scenarios.stream().filter(m -> !judged(m).isEmpty()).toList();
  }

  /** Returns the seeds by which a scenario is judged: those with advice of every level. */
  private List<Long> judged(Measured m) {
    return m.seeds().stream()
        .filter(seed -> LEVELS.stream().allMatch(level -> advice(m, level, seed) != null))
        .toList();
  }

  private static String key(String scenario, Level level, long seed) {
    return scenario + ' ' + level + ' ' + (level == Level.RULES ? 0 : seed);
  }

  private Advised advice(Measured m, Level level, long seed) {
    return advised.get(key(m.scenario().id(), level, seed));
  }

  private static String advised(Level level) {
    return "advice, " + level.name().toLowerCase(Locale.ROOT);
  }

  /** Returns the number of judged scenarios. */
  int count() {
    return scenarios.size();
  }

  /** Returns all rules, the advice first. */
  List<Rule> rules() {
    List<Rule> rules = new ArrayList<>();
    for (Level level : LEVELS) {
      rules.add(rule(advised(level), (m, seed) -> List.of(advice(m, level, seed).recommended())));
    }
    for (String s : Contender.names()) {
      rules.add(rule("always " + s, (m, seed) -> List.of(s)));
    }
    rules.add(rule("always multi-task, in proportion", (m, seed) -> List.of(proportional(m))));
    rules.add(rule("at random", (m, seed) -> Contender.names()));
    rules.add(bySimilarity());
    return rules;
  }

  /** Returns the recorded name of multi-task training without a temperature. */
  private static String proportional(Measured m) {
    return m.runs().containsKey(Contender.PROPORTIONAL) ? Contender.PROPORTIONAL : Contender.BASE;
  }

  /**
   * Returns the best that similarity alone can do: multi-task training from a threshold on and
   * independent training below, with the threshold that is best in these very scenarios.
   */
  private Rule bySimilarity() {
    Rule best = null;
    List<Double> thresholds = new ArrayList<>(List.of(Double.POSITIVE_INFINITY));
    scenarios.forEach(m -> thresholds.add(advice(m, Level.RULES, 0).similarity()));
    for (double threshold : thresholds) {
      Rule rule =
          rule(
              "similarity alone, the threshold known",
              (m, seed) ->
                  List.of(
                      advice(m, Level.RULES, 0).similarity() >= threshold
                          ? Contender.BASE
                          : "independent"));
      best = best == null || rule.mean() < best.mean() ? rule : best;
    }
    return best;
  }

  private Rule rule(String name, Choice choice) {
    double[] regrets = new double[scenarios.size()];
    double right = 0;
    for (int i = 0; i < regrets.length; i++) {
      Measured m = scenarios.get(i);
      List<Long> seeds = m.seeds();
      List<Long> judged = judged(m);
      String winner = best(m, seeds);
      for (long held : judged) {
        List<String> chosen = choice.of(m, held);
        List<Long> others = new ArrayList<>(seeds);
        if (others.size() > 1) {
          others.remove(held);
        }
        double best = m.score(best(m, others), List.of(held));
        for (String c : chosen) {
          regrets[i] += 100 * (best - m.score(c, List.of(held))) / (judged.size() * chosen.size());
        }
        right += chosen.contains(winner) ? 1.0 / chosen.size() / judged.size() : 0;
      }
    }
    return new Rule(name, regrets, right / regrets.length);
  }

  private static String best(Measured m, List<Long> seeds) {
    String best = Contender.BASE;
    for (String s : Contender.names()) {
      if (m.score(s, seeds) > m.score(best, seeds)) {
        best = s;
      }
    }
    return best;
  }

  /** Returns the table of regrets. */
  String regrets() {
    List<Rule> rules = rules();
    StringBuilder out = new StringBuilder("| rule | regret, points |");
    for (int k = 0; k < LEVELS.size(); k++) {
      out.append(" above ").append(rules.get(k).name()).append(", 95 % interval |");
    }
    out.append(" best chosen |\n|---|---|").append("---|".repeat(LEVELS.size())).append("---|\n");
    for (Rule r : rules) {
      out.append(String.format(Locale.ROOT, "| %s | %.2f |", r.name(), r.mean()));
      for (int k = 0; k < LEVELS.size(); k++) {
        double[] ends = interval(rules.get(k), r);
        out.append(
            r.name().equals(rules.get(k).name())
                ? " |"
                : String.format(
                    Locale.ROOT,
                    " %+.2f, %+.2f to %+.2f |",
                    r.mean() - rules.get(k).mean(),
                    ends[0],
                    ends[1]));
      }
      out.append(String.format(Locale.ROOT, " %.0f %% |%n", 100 * r.right()));
    }
    return out.toString();
  }

  /** Returns the interval of the mean difference in regret, paired by scenario. */
  private static double[] interval(Rule advice, Rule other) {
    double[] differences = new double[other.regrets().length];
    for (int i = 0; i < differences.length; i++) {
      differences[i] = other.regrets()[i] - advice.regrets()[i];
    }
    return interval(differences);
  }

  /** A bootstrap over scenarios (Efron and Tibshirani 1993, section 13.3). */
  private static double[] interval(double[] values) {
    Random random = new Random(0);
    double[] means = new double[RESAMPLES];
    for (int k = 0; k < RESAMPLES; k++) {
      for (int i = 0; i < values.length; i++) {
        means[k] += values[random.nextInt(values.length)] / values.length;
      }
    }
    Percentile ends = new Percentile();
    ends.setData(means);
    return new double[] {ends.evaluate(2.5), ends.evaluate(97.5)};
  }

  /** The confidence of a recommendation and whether it was right. */
  private record Judged(double confidence, boolean right) {}

  /** Returns the table of how often recommendations of each confidence were right. */
  String calibration() {
    StringBuilder out =
        new StringBuilder(
            "| advice | confidence | recommendations | mean confidence | right |\n|---|---|---|---|---|\n");
    for (Level level : LEVELS) {
      Map<Integer, List<Judged>> bins = new TreeMap<>();
      for (Measured m : scenarios) {
        String winner = best(m, m.seeds());
        for (long seed : level == Level.RULES ? judged(m).subList(0, 1) : judged(m)) {
          Advised a = advice(m, level, seed);
          bins.computeIfAbsent((int) Math.min(4, 5 * a.confidence()), b -> new ArrayList<>())
              .add(new Judged(a.confidence(), a.recommended().equals(winner)));
        }
      }
      bins.forEach(
          (b, in) ->
              out.append(
                  String.format(
                      Locale.ROOT,
                      "| %s | %.1f to %.1f | %d | %.2f | %.2f |%n",
                      level.name().toLowerCase(Locale.ROOT),
                      b / 5.0,
                      (b + 1) / 5.0,
                      in.size(),
                      in.stream().mapToDouble(Judged::confidence).average().orElseThrow(),
                      in.stream().filter(Judged::right).count() / (double) in.size())));
    }
    return out.toString();
  }

  /** Returns a paragraph on the cost of the advice. */
  String cost() {
    DescriptiveStatistics rules = new DescriptiveStatistics();
    DescriptiveStatistics beside = new DescriptiveStatistics();
    DescriptiveStatistics spent = new DescriptiveStatistics();
    double seconds = 0;
    double trained = 0;
    for (Measured m : scenarios) {
      Advised rule = advice(m, Level.RULES, 0);
      rules.addValue(100 * rule.share());
      for (long seed : judged(m)) {
        Advised a = advice(m, Level.EXPERIMENT, seed);
        beside.addValue(100.0 * a.beside() / a.all());
        spent.addValue(100.0 * a.spent() / a.all());
      }
      seconds += rule.seconds();
      trained += rule.seconds() / rule.share();
    }
    return String.format(
        Locale.ROOT,
        "Rules took %.1f %% of the seconds of training what they recommend, over all scenarios (median %.1f %%, at most %.0f %%). Experiments trained on %.0f %% of the tokens of training by all strategies, the winner's training, which is handed over, included, and on %.0f %% without it (at most %.0f %%).%n",
        100 * seconds / trained,
        rules.getPercentile(50),
        rules.getMax(),
        spent.getMean(),
        beside.getMean(),
        beside.getMax());
  }

  /** Returns the table of all scenarios: mean scores over seeds, and what was advised. */
  String scenarios() {
    StringBuilder out = new StringBuilder("| scenario | tasks | passes | seeds |");
    Contender.names().forEach(s -> out.append(' ').append(s).append(" |"));
    out.append(" rules | experiments |\n|---|---|---|---|");
    Contender.names().forEach(s -> out.append("---|"));
    out.append("---|---|\n");
    for (Measured m : scenarios) {
      out.append(
          String.format(
              Locale.ROOT,
              "| %s | %d | %.0f | %d |",
              m.scenario().id(),
              m.scenario().parts().size(),
              m.scenario().passes(),
              m.seeds().size()));
      String best = best(m, m.seeds());
      for (String s : Contender.names()) {
        String score = String.format(Locale.ROOT, "%.3f", m.score(s, m.seeds()));
        out.append(s.equals(best) ? " **" + score + "** |" : " " + score + " |");
      }
      Advised a = advice(m, Level.RULES, 0);
      out.append(
          String.format(
              Locale.ROOT,
              " %s, %.2f | %s |%n",
              a.recommended(),
              a.confidence(),
              String.join(
                  ", ",
                  judged(m).stream()
                      .map(seed -> advice(m, Level.EXPERIMENT, seed).recommended())
                      .toList())));
    }
    return out.toString();
  }
}
