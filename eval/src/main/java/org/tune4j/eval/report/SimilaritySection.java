package org.tune4j.eval.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.primitives.Doubles;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** How similar the tasks are, by several measures. */
final class SimilaritySection {
  /**
   * One measure: what is compared, how to read it, and a row of values in [-1, 1] for each task.
   */
  record Measure(String name, String meaning, ImmutableList<String> tasks, double[][] values) {}

  private SimilaritySection() {}

  static Map<String, Object> view(List<Measure> measures, ObjectNode data) {
    ArrayNode all = data.putArray("similarity");
    List<Object> charts = new ArrayList<>();
    List<Object> tables = new ArrayList<>();
    for (Measure s : measures) {
      ObjectNode heat = all.addObject().put("diverging", true);
      ArrayNode rows = heat.putArray("rows");
      ArrayNode columns = heat.putArray("columns");
      s.tasks().forEach(rows::add);
      s.tasks().forEach(columns::add);
      ArrayNode values = heat.putArray("values");
      List<String> headings = new ArrayList<>(List.of(s.name()));
      headings.addAll(s.tasks());
      Table table = Table.of(headings);
      for (int i = 0; i < s.tasks().size(); i++) {
        ArrayNode row = values.addArray();
        List<Double> cells = Doubles.asList(s.values()[i]);
        cells.forEach(v -> Chart.add(row, v));
        table.row(s.tasks().get(i), cells);
      }
      tables.add(table.view());
      charts.add(
          Chart.of(s.name(), "similarity", charts.size(), s.meaning(), false, ImmutableMap.of()));
    }
    return Map.of("charts", charts, "tables", tables);
  }
}
