package org.tune4j.eval.report;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.tune4j.eval.advice.Assessment;
import org.tune4j.eval.advice.Estimate;
import org.tune4j.eval.advice.Pilot;
import org.tune4j.eval.advice.Recommendation;
import org.tune4j.eval.advice.Scorecard;
import org.tune4j.eval.advice.TaskProfile;
import org.tune4j.eval.advice.Trial;

/** The recommendation made before training, with its reasons. */
final class AdviceSection {
  private AdviceSection() {}

  static Map<String, Object> view(Recommendation r) {
    Map<String, Object> view = new HashMap<>();
    view.put("strategy", r.strategy().toString());
    view.put("confidence", String.format(Locale.ROOT, "%.2f", r.confidence()));
    view.put("verdict", sentence(r.recommended().verdict()));
    view.put("reasons", r.reasons());
    view.put("warnings", r.warnings());
    view.put(
        "worthTrying", String.join(", ", r.worthTrying().stream().map(Object::toString).toList()));
    view.put("trials", r.trials().isEmpty() ? null : trials(r));
    view.put("plans", plans(r));
    view.put("evidence", evidence(r.scorecard()));
    view.put("profiles", profiles(r.profiles()));
    view.put("pilot", r.pilot().map(AdviceSection::pilot).orElse(null));
    return view;
  }

  private static String sentence(String text) {
    return text.isEmpty() ? text : Character.toUpperCase(text.charAt(0)) + text.substring(1);
  }

  private static Map<String, Object> plans(Recommendation r) {
    Table table =
        Table.of(
            List.of(
                "plan",
                "expected score",
                "points over multi-task",
                "probability of being best",
                "tokens",
                "seconds",
                "memory, MiB",
                "adapters, KiB",
                "verdict"));
    plan(table, r.recommended(), true);
    r.alternatives().forEach(a -> plan(table, a, false));
    return table.view();
  }

  private static Map<String, Object> trials(Recommendation r) {
    List<String> headings = new ArrayList<>(List.of("trained", "average", "90 %"));
    headings.addAll(r.trials().get(0).evaluations().keySet());
    headings.addAll(List.of("tokens", "seconds"));
    Table table = Table.of(headings);
    for (Trial t : r.trials()) {
      Estimate e = t.estimate();
      Table.Row row =
          table
              .row(t.name())
              .best(t.name().equals(r.recommended().name()))
              .cell("%.3f", t.score())
              .text(String.format(Locale.ROOT, "%.3f to %.3f", e.low(), e.high()), "");
      t.evaluations().values().forEach(v -> row.cell("%.3f", v.score()));
      row.cell("%,d", t.tokens()).cell("%.1f", t.seconds());
    }
    return table.view();
  }

  private static void plan(Table table, Assessment a, boolean recommended) {
    table
        .row(a.name())
        .best(recommended)
        .cell(a.feasible() ? "%.2f" : "not possible", a.expected().mean())
        .text(a.feasible() ? a.gain().toString() : "", "")
        .cell(a.feasible() ? "%.2f" : "", a.probability())
        .cell("%,d", a.price().tokens())
        .cell("%.1f", a.price().seconds())
        .cell("%,d", a.price().memoryBytes() >> 20)
        .cell("%,d", a.price().adapterBytes() >> 10)
        .text(a.verdict(), "text verdicts");
  }

  private static Map<String, Object> evidence(Scorecard scorecard) {
    Table table = Table.of(List.of("evidence", "value", "points", "favours", "finding"));
    for (Scorecard.Factor f : scorecard.factors()) {
      table
          .row(f.name())
          .cell("%.2f", f.value())
          .cell("%+.1f", f.points())
          .text(f.favours().name().toLowerCase(Locale.ROOT).replace('_', '-'), "")
          .text(f.sentence(), "text verdicts");
    }
    return table.view();
  }

  private static Map<String, Object> profiles(List<TaskProfile> profiles) {
    Table table =
        Table.of(
            List.of(
                "task",
                "kind",
                "examples",
                "mean tokens",
                "95th percentile",
                "learned tokens",
                "labels",
                "balance",
                "untuned loss"));
    for (TaskProfile p : profiles) {
      table
          .row(p.name())
          .text(p.type().name().toLowerCase(Locale.ROOT), "")
          .cell("%,d", p.examples())
          .cell("%.1f", p.meanTokens())
          .cell("%d", p.p95Tokens())
          .cell("%.1f", p.lossTokens())
          .cell("%d", p.labels().size())
          .cell("%.2f", p.labelBalance())
          .number("%.3f", p.untunedLoss());
    }
    return table.view();
  }

  private static Map<String, Object> pilot(Pilot p) {
    Table table =
        Table.of(
            List.of("task", "examples", Chart.UNTUNED, "alone", "all tasks together", "in turn"));
    for (String t : p.tasks()) {
      table
          .row(t)
          .cell("%,d", p.examples().get(t))
          .cell("%.3f", p.untuned().get(t))
          .cell("%.3f", p.alone().get(t))
          .cell("%.3f", p.joint().get(t))
          .cell("%.3f", p.sequential().get(t));
    }
    return table.view();
  }
}
