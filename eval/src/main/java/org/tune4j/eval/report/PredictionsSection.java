package org.tune4j.eval.report;

import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.data.Task;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;
import org.tune4j.eval.Prediction;

/** Some predictions of every task before and after training. */
final class PredictionsSection {
  private static final int IMPROVED = 3;
  private static final int NOT_IMPROVED = 1;

  private PredictionsSection() {}

  /**
   * Returns the section's view; null if there is nothing to compare.
   *
   * @param experiment null if there was none
   */
  static Map<String, Object> view(
      ExperimentResult experiment, Map<String, ImmutableMap<String, Evaluation>> tests) {
    Map<String, ImmutableMap<String, Evaluation>> after = new LinkedHashMap<>(tests);
    ImmutableMap<String, Evaluation> before = after.remove(Chart.UNTUNED);
    if (before == null && experiment != null) {
      before = experiment.untuned();
      after.clear();
      for (Outcome o : experiment.outcomes()) {
        after.put(o.strategy(), o.evaluations());
      }
    }
    if (before == null || after.isEmpty()) {
      return null;
    }
    List<String> headings = new ArrayList<>(List.of("prompt", "expected", Chart.UNTUNED));
    headings.addAll(after.keySet());
    List<Object> tasks = new ArrayList<>();
    for (Map.Entry<String, Evaluation> e : before.entrySet()) {
      List<Evaluation> runs = new ArrayList<>();
      after.values().forEach(byTask -> runs.add(byTask.get(e.getKey())));
      List<Integer> chosen = chosen(e.getValue(), runs);
      if (chosen.isEmpty() || e.getValue().type() == Task.Type.TEXT) {
        continue;
      }
      Table table = Table.ofTexts(headings);
      for (int i : chosen) {
        Prediction untuned = e.getValue().predictions().get(i);
        Table.Row row =
            table
                .row()
                .text(untuned.prompt(), "text prompt")
                .text(untuned.expected().strip(), "text");
        predicted(row, untuned);
        runs.forEach(r -> predicted(row, r.predictions().get(i)));
      }
      tasks.add(Map.of("name", e.getKey(), "table", table.view()));
    }
    return Map.of("improved", (long) IMPROVED, "tasks", tasks);
  }

  private static void predicted(Table.Row row, Prediction p) {
    boolean right = p.score() == 1;
    String text = p.predicted().isBlank() ? "(nothing)" : p.predicted().strip();
    row.text((right ? "✓ " : "✗ ") + text, right ? "text right" : "text wrong");
  }

  /** Returns the examples of a task to show, which include failures. */
  private static List<Integer> chosen(Evaluation before, List<Evaluation> after) {
    List<Integer> improved = new ArrayList<>();
    List<Integer> failed = new ArrayList<>();
    for (int i = 0; i < before.count(); i++) {
      double was = before.predictions().get(i).score();
      int at = i;
      double now = after.stream().mapToDouble(a -> a.predictions().get(at).score()).max().orElse(0);
      if (now > was && improved.size() < IMPROVED) {
        improved.add(i);
      } else if (now < 1 && failed.size() < NOT_IMPROVED) {
        failed.add(i);
      }
    }
    improved.addAll(failed);
    return improved;
  }
}
