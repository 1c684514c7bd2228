package org.tune4j.eval.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.google.common.collect.ImmutableMap;
import java.util.List;
import java.util.Map;
import org.tune4j.eval.ConfidenceInterval;

/** The place of a chart in {@code report.html}, which {@code report.js} draws from the data. */
final class Chart {
  /** What the untuned model is called, which is drawn in grey. */
  static final String UNTUNED = "untuned";

  /** Colours that the style sheet has. */
  private static final int COLOURS = 8;

  private Chart() {}

  /**
   * Returns the place of a chart.
   *
   * @param kind what {@code report.js} draws
   * @param index which of its kind
   * @param caption a sentence below; empty for none
   * @param legend colours by name; it is text, so that it wraps as text does
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

  /** Gives names their colours, as the script does; the untuned model's is grey. */
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

  /** Adds a number to a chart's data. JSON has no NaN; the script leaves out what is null. */
  static void add(ArrayNode values, double v) {
    if (Double.isFinite(v)) {
      values.add(v);
    } else {
      values.addNull();
    }
  }
}
