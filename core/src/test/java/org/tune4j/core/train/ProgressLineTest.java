package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.AlphaChars;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.StringLength;

class ProgressLineTest {
  private static ProgressLine line(String stage, int step, int tasks, boolean validated) {
    TreeMap<String, Double> losses = new TreeMap<>();
    Map<String, Double> validation = new HashMap<>();
    for (int i = 1; i <= tasks; i++) {
      losses.put("task-number-" + i, 1.0 + i);
      if (validated) {
        validation.put("task-number-" + i, 2.0 + i);
      }
    }
    return new ProgressLine(stage, step, 150, "1,234 tokens/s", "12 min left", losses, validation);
  }

  @Example
  void eightTasksOn80Columns() {
    assertThat(line("all-tasks", 75, 8, true).bar(79))
        .isEqualTo(
            "all-tasks [=========>         ] 75/150, 1,234 tokens/s, 12 min left, loss 5.500");
    assertThat(line("all-tasks", 75, 8, true).bar(86)).endsWith("left, loss 5.500, mean of 8");
    assertThat(line("all-tasks", 75, 8, false).full())
        .startsWith("all-tasks: step 75 of 150, 1,234 tokens/s, task-number-1 2.000, ")
        .endsWith("task-number-8 9.000, 12 min left");
  }

  @Example
  void wideTerminalsShowEachTask() {
    ProgressLine line = line("all-tasks", 75, 2, true);
    assertThat(line.bar(160).strip())
        .endsWith(
            "left, task-number-1 2.000 (validation 3.000), task-number-2 3.000 (validation 4.000)");
    assertThat(line.fits(160)).isTrue();
    assertThat(line.fits(79)).isFalse();
    assertThat(line.bar(110).strip()).endsWith("left, task-number-1 2.000, task-number-2 3.000");
    assertThat(line("all-tasks", 75, 3, true).bar(110))
        .contains("loss 3.000 (validation 4.000), mean of 3");
  }

  @Property(tries = 300)
  void linesAreAsWideAsAskedFor(
      @ForAll @AlphaChars @StringLength(min = 1, max = 300) String stage,
      @ForAll @IntRange(max = 150) int step,
      @ForAll @IntRange(min = 1, max = 20) int tasks,
      @ForAll boolean validated,
      @ForAll @IntRange(min = 1, max = 300) int width) {
    String bar = line(stage, step, tasks, validated).bar(width);
    assertThat(bar).hasSize(width).doesNotContain("\n", "\r");
  }
}
