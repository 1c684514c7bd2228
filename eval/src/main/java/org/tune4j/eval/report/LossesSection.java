package org.tune4j.eval.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;

/** The training loss of each task, by strategy. */
final class LossesSection {
  private LossesSection() {}

  static Map<String, Object> view(ExperimentResult experiment, ObjectNode data) {
    ArrayNode all = data.putArray("losses");
    ArrayNode names = data.putArray("tasks");
    experiment.untuned().keySet().forEach(names::add);
    ImmutableMap<String, String> colours = Chart.legend(experiment.untuned().keySet().asList());
    List<Object> charts = new ArrayList<>();
    List<Object> tables = new ArrayList<>();
    double max = 0;
    for (Outcome o : experiment.outcomes()) {
      LossCurves losses = LossCurves.of(o.steps());
      max = Math.max(max, losses.maxLoss());
      ObjectNode run = all.addObject().put("tokens", losses.tokens());
      ArrayNode ends = run.putArray("stageEnds");
      losses.stageEnds().forEach(ends::add);
      ArrayNode series = run.putArray("series");
      Table table =
          Table.of(List.of(o.strategy() + ", task", "first loss", "last loss", "lowest loss"));
      ImmutableMap.Builder<String, String> drawn = ImmutableMap.builder();
      losses
          .byTask()
          .forEach(
              (task, points) -> {
                ArrayNode xy = series.addObject().put("task", task).putArray("points");
                points.forEach(p -> xy.addArray().add(p[0]).add(p[1]));
                table
                    .row(task)
                    .cell("%.3f", points.get(0)[1])
                    .cell("%.3f", points.get(points.size() - 1)[1])
                    .cell("%.3f", points.stream().mapToDouble(p -> p[1]).min().orElseThrow());
                drawn.put(task, colours.get(task));
              });
      tables.add(table.view());
      charts.add(Chart.of(o.strategy(), "losses", charts.size(), "", false, drawn.buildOrThrow()));
    }
    data.put("mostLoss", Math.ceil(max));
    return Map.of("charts", charts, "tables", tables);
  }
}
