package org.tune4j.examples.benchmark;

import java.util.List;
import java.util.Locale;
import org.tune4j.examples.benchmark.Verdicts.Rule;

/** Draws what each rule lost, as bars with 95 % intervals, in SVG. */
final class RegretFigure {
  private static final int WIDTH = 860;
  private static final int LABELS = 290;
  private static final int ROW = 30;
  private static final int TOP = 54;
  private static final int BOTTOM = 40;

  private RegretFigure() {}

  /**
   * Returns the picture.
   *
   * @param rules in the order in which they are drawn; those whose name begins with "advice" stand
   *     out
   */
  static String svg(List<Rule> rules, int scenarios) {
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
        rule.name());
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
