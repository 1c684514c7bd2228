package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableMap;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import org.tune4j.examples.benchmark.Verdicts.Rule;

/** Draws the regret of each rule as bars with 95 % intervals, in SVG. */
final class RegretFigure {
  private static final int WIDTH = 860;
  private static final int LABELS = 350;
  private static final int ROW = 30;
  private static final int TOP = 54;
  private static final int BOTTOM = 40;

  /** Labels of rules for readers who do not know the strategies' names. */
  private static final ImmutableMap<String, String> DESCRIPTIONS =
      ImmutableMap.<String, String>builder()
          .put("advice, experiment", "Tune4J's advice, after trying")
          .put("advice, rules", "Tune4J's advice, without training")
          .put("always multi-task", "always one adapter on all tasks")
          .put("always specialised", "always that with small ones on top, 1.5 x tokens")
          .put("always independent", "always an adapter each")
          .put("always replay", "always task after task, with replay")
          .put("always stacked", "always task after task, stacked")
          .put("always sequential", "always task after task")
          .put("always multi-task, in proportion", "always one adapter, large tasks drowning small")
          .put("at random", "a strategy at random")
          .put("similarity alone, the threshold known", "similarity alone, with hindsight")
          .buildOrThrow();

  private RegretFigure() {}

  /**
   * Returns the figure.
   *
   * @param all rules, drawn in order of regret; those whose names start with "advice" are
   *     highlighted
   */
  static String svg(List<Rule> all, int scenarios) {
    List<Rule> rules = all.stream().sorted(Comparator.comparingDouble(Rule::mean)).toList();
    double most = 1;
    for (Rule r : rules) {
      most = Math.max(most, r.interval()[1]);
    }
    most = Math.ceil(most);
    double scale = (WIDTH - LABELS - 70) / most;
    int height = TOP + ROW * rules.size() + BOTTOM;
    StringBuilder out = new StringBuilder();
    line(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"system-ui, sans-serif\" font-size=\"14\">",
        WIDTH,
        height,
        WIDTH,
        height);
    line(out, "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>", WIDTH, height);
    line(
        out,
        "<text x=\"16\" y=\"24\" font-size=\"17\" font-weight=\"600\" fill=\"#1a1a1a\">Points of 100 lost against the best strategy</text>");
    line(
        out,
        "<text x=\"16\" y=\"43\" fill=\"#595959\">mean of %d scenarios that nothing was fitted to, with the 95 %% interval; less is better</text>",
        scenarios);
    for (int tick = 0; tick <= most; tick += most > 8 ? 2 : 1) {
      double x = LABELS + scale * tick;
      line(
          out,
          "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#e0e0e0\"/>",
          x,
          x,
          TOP,
          height - BOTTOM + 4);
      line(
          out,
          "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"#595959\">%d</text>",
          x,
          height - BOTTOM + 22,
          tick);
    }
    for (int i = 0; i < rules.size(); i++) {
      bar(out, rules.get(i), TOP + ROW * i, scale);
    }
    return out.append("</svg>\n").toString();
  }

  private static void bar(StringBuilder out, Rule rule, int top, double scale) {
    boolean advice = rule.name().startsWith("advice");
    double middle = top + ROW / 2.0;
    line(
        out,
        "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"#1a1a1a\"%s>%s</text>",
        LABELS - 10,
        middle + 5,
        advice ? " font-weight=\"600\"" : "",
        DESCRIPTIONS.getOrDefault(rule.name(), rule.name()));
    double end = LABELS + scale * Math.max(0, rule.mean());
    line(
        out,
        "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>",
        LABELS,
        top + 5,
        Math.max(1, end - LABELS),
        ROW - 10,
        advice ? "#1f6fb2" : "#b9c4cf");
    double low = LABELS + scale * Math.max(0, rule.interval()[0]);
    double high = LABELS + scale * Math.max(0, rule.interval()[1]);
    line(
        out,
        "<path d=\"M%.1f %.1fH%.1fM%.1f %.1fv8M%.1f %.1fv8\" stroke=\"#333333\" fill=\"none\"/>",
        low,
        middle,
        high,
        low,
        middle - 4,
        high,
        middle - 4);
    line(
        out,
        "<text x=\"%.1f\" y=\"%.1f\" fill=\"#1a1a1a\">%.2f</text>",
        Math.max(end, high) + 8,
        middle + 5,
        rule.mean());
  }

  private static void line(StringBuilder out, String format, Object... values) {
    out.append(String.format(Locale.ROOT, format, values)).append('\n');
  }
}
