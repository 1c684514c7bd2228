package org.tune4j.eval;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/**
 * The result of an {@link Experiment} on the validation splits.
 *
 * @param untuned evaluations of the untuned model, by task
 * @param outcomes of the finished strategies, in the given order
 * @param completed whether all strategies finished and the experiment was not cancelled
 * @param seed seed of the bootstrap
 */
public record ExperimentResult(
    ImmutableMap<String, Evaluation> untuned,
    ImmutableList<Outcome> outcomes,
    boolean completed,
    long seed) {
  /**
   * Returns the strategy with the highest average score; ties go to the one with the smallest
   * adapters.
   *
   * @throws IllegalStateException if none finished
   */
  public Outcome best() {
    return outcomes.stream()
        .max(
            Comparator.comparingDouble((Outcome o) -> o.average().mean())
                .thenComparing(o -> o.cost().adapterBytes(), Comparator.reverseOrder()))
        .orElseThrow(() -> new IllegalStateException("no strategy finished"));
  }

  /**
   * Returns a strategy's outcome.
   *
   * @throws IllegalArgumentException if no strategy of that name finished
   */
  public Outcome outcome(String strategy) {
    return outcomes.stream()
        .filter(o -> o.strategy().equals(strategy))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "no strategy named '%s' finished; there are %s"
                        .formatted(strategy, outcomes.stream().map(Outcome::strategy).toList())));
  }

  /**
   * Returns the probability that one strategy's average score is higher than another's, by the
   * paired bootstrap over examples. It accounts for chance in the choice of examples, not in
   * training: another seed may give another order.
   *
   * @throws IllegalArgumentException if one of them did not finish
   */
  public double winProbability(String strategy, String other) {
    return Bootstrap.seeded(seed).winProbability(scores(outcome(strategy)), scores(outcome(other)));
  }

  private List<double[]> scores(Outcome outcome) {
    return untuned.keySet().stream().map(t -> outcome.evaluations().get(t).scores()).toList();
  }

  /** Returns a table with a line for each strategy. */
  public String table() {
    TextTable table = new TextTable("strategy");
    untuned.keySet().forEach(table::right);
    for (String heading :
        List.of(
            "average",
            "95 %",
            "BWT",
            "forgetting",
            "tokens",
            "seconds",
            "tokens/s",
            "peak MiB",
            "adapters KiB")) {
      table.right(heading);
    }
    table.row("(untuned)");
    untuned.values().forEach(e -> table.cell("%.3f", e.score()));
    table.cell(
        "%.3f",
        untuned.values().stream().mapToDouble(Evaluation::score).average().orElse(Double.NaN));
    for (Outcome o : outcomes) {
      table.row(o.strategy());
      untuned.keySet().forEach(t -> table.cell("%.3f", o.intervals().get(t).mean()));
      table
          .cell("%.3f", o.average().mean())
          .cell("%.3f..%.3f", o.average().low(), o.average().high())
          .cell("%+.3f", o.matrix().backwardTransfer())
          .cell("%.3f", o.matrix().forgetting())
          .cell("%,d", o.cost().tokens())
          .cell("%.1f", o.cost().seconds())
          .cell("%,.0f", o.cost().tokensPerSecond())
          .cell("%,d", o.cost().peakBytes() >> 20)
          .cell("%,d", o.cost().adapterBytes() >> 10);
    }
    return table.toString();
  }

  /**
   * Returns the table, and the probabilities that the best strategy is better than each of the
   * others.
   */
  @Override
  public String toString() {
    StringBuilder text = new StringBuilder(table());
    if (outcomes.size() > 1) {
      String best = best().strategy();
      for (Outcome o : outcomes) {
        if (!o.strategy().equals(best)) {
          text.append(
              String.format(
                  Locale.ROOT,
                  "%s is better than %s with probability %.2f%n",
                  best,
                  o.strategy(),
                  winProbability(best, o.strategy())));
        }
      }
    }
    return text.toString();
  }
}
