package org.tune4j.eval.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.tune4j.eval.Cost;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;

/** Compares the strategies on the validation splits: scores and costs. */
final class ComparisonSection {
  private ComparisonSection() {}

  static Map<String, Object> view(ExperimentResult experiment, ObjectNode data) {
    List<Outcome> outcomes = experiment.outcomes();
    Outcome best = experiment.best();
    ArrayNode costs = data.putArray("costs");
    List<String> better = new ArrayList<>();
    for (Outcome o : outcomes) {
      costs
          .addObject()
          .put("name", o.strategy())
          .put("score", o.average().mean())
          .put("low", o.average().low())
          .put("high", o.average().high())
          .put("seconds", o.cost().seconds());
      if (!isBest(o, best)) {
        better.add(
            String.format(
                Locale.ROOT,
                "%s is better than %s with probability %.2f, by the paired bootstrap over examples.",
                best.strategy(),
                o.strategy(),
                experiment.winProbability(best.strategy(), o.strategy())));
      }
    }
    int examples = best.evaluations().values().stream().mapToInt(Evaluation::count).sum();
    return Map.of(
        "examples",
        String.format(Locale.ROOT, "%,d", examples),
        "best",
        best.strategy(),
        "scores",
        scores(experiment, best),
        "costs",
        costs(outcomes, best),
        "better",
        better,
        "chart",
        Chart.of(
            "Average score against training time",
            "costs",
            0,
            "Higher and further left is better.",
            false,
            Chart.legend(outcomes.stream().map(Outcome::strategy).toList())));
  }

  private static boolean isBest(Outcome o, Outcome best) {
    return o.strategy().equals(best.strategy());
  }

  private static Map<String, Object> scores(ExperimentResult experiment, Outcome best) {
    Set<String> tasks = experiment.untuned().keySet();
    List<String> headings = new ArrayList<>(List.of("strategy"));
    headings.addAll(tasks);
    headings.addAll(List.of("average", "95 %", "BWT", "forgetting"));
    Table table = Table.of(headings);
    Table.Row untuned = table.row(Chart.UNTUNED);
    experiment.untuned().values().forEach(e -> untuned.cell("%.3f", e.score()));
    double average =
        experiment.untuned().values().stream().mapToDouble(Evaluation::score).average().orElse(0);
    untuned.cell("%.3f", average).blank(3);
    for (Outcome o : experiment.outcomes()) {
      Table.Row row = table.row(o.strategy()).best(isBest(o, best));
      tasks.forEach(t -> row.cell("%.3f", o.intervals().get(t).mean()));
      row.cell("%.3f", o.average().mean())
          .cell("%.3f to %.3f", o.average().low(), o.average().high())
          .cell("%+.3f", o.matrix().backwardTransfer())
          .cell("%.3f", o.matrix().forgetting());
    }
    return table.view();
  }

  private static Map<String, Object> costs(List<Outcome> outcomes, Outcome best) {
    Table table =
        Table.of(
            List.of(
                "strategy",
                "tokens",
                "examples",
                "seconds",
                "tokens/s",
                "peak memory, MiB",
                "adapters, KiB"));
    for (Outcome o : outcomes) {
      Cost c = o.cost();
      table
          .row(o.strategy())
          .best(isBest(o, best))
          .cell("%,d", c.tokens())
          .cell("%,d", c.examples())
          .cell("%.1f", c.seconds())
          .cell("%,.0f", c.tokensPerSecond())
          .cell("%,d", c.peakBytes() >> 20)
          .cell("%,d", c.adapterBytes() >> 10);
    }
    return table.view();
  }
}
