package org.tune4j.eval.report;

import com.google.common.base.CharMatcher;
import com.google.common.base.Splitter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** A table of {@code report.html}: headings and rows of cells. */
final class Table {
  private static final Splitter WORDS = Splitter.on(CharMatcher.anyOf(" -"));
  private static final int LONG_WORD = 20;

  private final List<Object> head = new ArrayList<>();
  private final List<Object> rows = new ArrayList<>();
  private final String kind;

  private Table(List<String> headings, String kind) {
    headings.forEach(h -> head.add(heading(h)));
    this.kind = kind;
  }

  /** Creates a table mainly of numbers. */
  static Table of(List<String> headings) {
    return new Table(headings, "");
  }

  /** Creates a table of longer texts. */
  static Table ofTexts(List<String> headings) {
    return new Table(headings, "texts");
  }

  /** Headings are often names; those with a long unbreakable word may break anywhere. */
  private static Map<String, Object> heading(String name) {
    boolean isLong = WORDS.splitToStream(name).anyMatch(w -> w.length() > LONG_WORD);
    return Map.of("text", name, "long", isLong);
  }

  /** A row, to which cells are added from left to right. */
  static final class Row {
    private final Map<String, Object> view = new HashMap<>();
    private final List<Object> cells = new ArrayList<>();

    private Row() {
      view.put("best", false);
      view.put("heading", null);
      view.put("cells", cells);
    }

    /** Marks the row as the best, or not. */
    Row best(boolean value) {
      view.put("best", value);
      return this;
    }

    private Row add(String text, String kind, int span, List<String> code) {
      cells.add(Map.of("text", text, "kind", kind, "span", (long) span, "code", code));
      return this;
    }

    Row cell(String format, Object... values) {
      return add(String.format(Locale.ROOT, format, values), "", 1, List.of());
    }

    /** Adds a number, or a dash if it is not finite. */
    Row number(String format, double value) {
      return cell(Double.isFinite(value) ? format : "–", value);
    }

    /** Adds a text with classes of the style sheet. */
    Row text(String text, String kind) {
      return add(text, kind, 1, List.of());
    }

    Row code(List<String> lines) {
      return add("", "text", 1, lines);
    }

    Row blank(int columns) {
      return add("", "", columns, List.of());
    }
  }

  /** Adds a row without a heading. */
  Row row() {
    Row row = new Row();
    rows.add(row.view);
    return row;
  }

  Row row(String heading) {
    Row row = row();
    row.view.put("heading", heading(heading));
    return row;
  }

  /** Adds a row of scores or the like. */
  Table row(String heading, List<Double> values) {
    Row row = row(heading);
    values.forEach(v -> row.number("%.3f", v));
    return this;
  }

  Map<String, Object> view() {
    return Map.of("kind", kind, "head", head, "rows", rows);
  }
}
