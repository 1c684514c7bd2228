package org.tune4j.core.data;

import static java.util.stream.Collectors.joining;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.nio.file.Path;

/**
 * What reading a task's file met beside its examples.
 *
 * @param file that was read
 * @param rows in it, good and bad
 * @param badRows that were left out, as {@link TaskReader#skippingBadRows} asks
 * @param firstBad what is wrong with the first {@value #LISTED} of them, each with file, line and
 *     field
 * @param unusedFields how many rows have each field that was not used: one that no format knows, or
 *     another format's; a field of turns as {@code messages[].field}, counted by turns
 */
public record FileReport(
    Path file,
    int rows,
    int badRows,
    ImmutableList<String> firstBad,
    ImmutableMap<String, Integer> unusedFields) {
  /** How many bad rows are listed. */
  public static final int LISTED = 10;

  /** Returns what a user should know, a line each; nothing if all of the file was used. */
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
