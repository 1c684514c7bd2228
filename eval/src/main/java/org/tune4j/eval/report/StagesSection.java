package org.tune4j.eval.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;
import org.tune4j.eval.StageMatrix;

/** Every task's score after every stage, by strategy. */
final class StagesSection {
  private StagesSection() {}

  static Map<String, Object> view(ExperimentResult experiment, ObjectNode data) {
    ArrayNode stages = data.putArray("stages");
    double max = 0;
    List<Object> charts = new ArrayList<>();
    List<Object> tables = new ArrayList<>();
    for (Outcome o : experiment.outcomes()) {
      StageMatrix m = o.matrix();
      ObjectNode heat = stages.addObject();
      ArrayNode columns = heat.putArray("columns");
      m.tasks().forEach(columns::add);
      ArrayNode rows = heat.putArray("rows").add(Chart.UNTUNED);
      ArrayNode values = heat.putArray("values");
      ArrayNode first = values.addArray();
      m.untuned().forEach(v -> Chart.add(first, v));
      List<String> headings = new ArrayList<>(List.of(o.strategy() + ", after"));
      headings.addAll(m.tasks());
      Table table = Table.of(headings).row(Chart.UNTUNED, m.untuned());
      for (int i = 0; i < m.stages().size(); i++) {
        rows.add(m.stages().get(i));
        ArrayNode row = values.addArray();
        m.scores().get(i).forEach(v -> Chart.add(row, v));
        table.row(m.stages().get(i), m.scores().get(i));
        max = Math.max(max, m.scores().get(i).stream().mapToDouble(v -> v).max().orElse(0));
      }
      tables.add(table.view());
      charts.add(
          Chart.of(o.strategy(), "heat", charts.size(), transfer(m), false, ImmutableMap.of()));
    }
    data.put("mostScore", max > 0 ? max : 1);
    return Map.of("charts", charts, "tables", tables);
  }

  private static String transfer(StageMatrix m) {
    return m.stages().size() == 1
        ? "One stage, so there is no transfer between stages."
        : String.format(
            Locale.ROOT,
            "Backward transfer %+.3f, forward transfer %+.3f, forgetting %.3f.",
            m.backwardTransfer(),
            m.forwardTransfer(),
            m.forgetting());
  }
}
