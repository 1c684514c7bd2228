package org.tune4j.eval;

import com.google.common.base.Strings;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A plain-text table with the first column left-aligned and the others right-aligned. */
final class TextTable {
  private final List<List<String>> rows = new ArrayList<>();

  TextTable(String first) {
    row(first);
  }

  /** Adds the heading of a right-aligned column. */
  TextTable right(String heading) {
    rows.get(0).add(heading);
    return this;
  }

  TextTable row(String first) {
    rows.add(new ArrayList<>(List.of(first)));
    return this;
  }

  /** Adds a cell to the last row. */
  TextTable cell(String format, Object... values) {
    rows.get(rows.size() - 1).add(String.format(Locale.ROOT, format, values));
    return this;
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder();
      for (int c = 0; c < row.size(); c++) {
        int column = c;
        int width =
            rows.stream()
                .filter(r -> r.size() > column)
                .mapToInt(r -> r.get(column).length())
                .max()
                .orElse(0);
        line.append(
            c == 0
                ? Strings.padEnd(row.get(c), width, ' ')
                : "  " + Strings.padStart(row.get(c), width, ' '));
      }
      text.append(line.toString().stripTrailing()).append(System.lineSeparator());
    }
    return text.toString();
  }
}
