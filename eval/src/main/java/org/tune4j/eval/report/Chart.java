package org.tune4j.eval.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.google.common.collect.ImmutableMap;
import java.util.List;
import java.util.Map;
import org.tune4j.eval.ConfidenceInterval;

/** A placeholder in {@code report.html} for a chart that {@code report.js} draws from the data. */
final class Chart {
  /** Name of the untuned model, which is drawn in grey. */
  static final String UNTUNED = "untuned";

  /** Number of colours in the style sheet. */
  private static final int COLOURS = 8;

  private Chart() {}

  /**
   * Returns the placeholder of a chart.
   *
   * @param kind one of those in {@code report.js}
   * @param index among the charts of its kind
   * @param caption sentence below the chart; empty for none
   * @param legend colours by name; part of the HTML, so that it wraps like text
   */
  static Map<String, Object> of(
      String title,
      String kind,
      int index,
      String caption,
      boolean tall,
      Map<String, String> legend) {
    return Map.of(
        "title",
        title,
        "kind",
        kind,
        "index",
        (long) index,
        "caption",
        caption,
        "tall",
        tall,
        "legend",
        legend.entrySet().stream()
            .map(e -> Map.of("name", e.getKey(), "colour", e.getValue()))
            .toList());
  }

  /** Assigns colours to names as the script does; the untuned model is grey. */
  static ImmutableMap<String, String> legend(List<String> names) {
    ImmutableMap.Builder<String, String> colours = ImmutableMap.builder();
    int next = 0;
    for (String name : names) {
      colours.put(name, name.equals(UNTUNED) ? "grey" : "c" + next++ % COLOURS);
    }
    return colours.buildOrThrow();
  }

  /** Adds a mean with its interval to a chart's data. */
  static void add(ArrayNode values, ConfidenceInterval v) {
    ArrayNode interval = values.addArray();
    add(interval, v.mean());
    add(interval, v.low());
    add(interval, v.high());
  }

  /**
   * Adds a number to a chart's data. As JSON has no NaN, it is written as null, which the script
   * skips.
   */
  static void add(ArrayNode values, double v) {
    if (Double.isFinite(v)) {
      values.add(v);
    } else {
      values.addNull();
    }
  }
}
