package org.tune4j.core.data;

import static java.util.stream.Collectors.joining;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.nio.file.Path;

/**
 * What was found in a task's file besides its examples.
 *
 * @param file the file
 * @param rows number of rows, good and bad
 * @param badRows rows that were left out by {@link TaskReader#skippingBadRows}
 * @param firstBad the errors of the first {@value #LISTED} of them, each with file, line and field
 * @param unusedFields the number of rows with each unused field: one that no format knows, or
 *     another format's; fields of turns as {@code messages[].field}, counted per turn
 */
public record FileReport(
    Path file,
    int rows,
    int badRows,
    ImmutableList<String> firstBad,
    ImmutableMap<String, Integer> unusedFields) {
  /** Most bad rows that are listed. */
  public static final int LISTED = 10;

  /** Returns warnings for the user, one per line; empty if the whole file was used. */
  public ImmutableList<String> warnings() {
    ImmutableList.Builder<String> lines = ImmutableList.builder();
    if (badRows > 0) {
      lines.add("%s: left out %d bad rows of %d:".formatted(file, badRows, rows));
      firstBad.forEach(bad -> lines.add("  " + bad));
      if (badRows > firstBad.size()) {
        lines.add("  and %d more".formatted(badRows - firstBad.size()));
      }
    }
    if (!unusedFields.isEmpty()) {
      lines.add(
          "%s: fields that were not used: %s"
              .formatted(
                  file,
                  unusedFields.entrySet().stream()
                      .map(e -> "'%s' (%d times)".formatted(e.getKey(), e.getValue()))
                      .collect(joining(", "))));
    }
    return lines.build();
  }
}
