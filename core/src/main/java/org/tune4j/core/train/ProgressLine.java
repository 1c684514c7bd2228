package org.tune4j.core.train;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.tune4j.core.progress.Progress;

/**
 * What a console shows of a stage in progress: as much as the width allows, the losses first as a
 * mean, then one by one.
 *
 * @param stage name
 * @param step done
 * @param steps in all
 * @param speed such as {@code 380 tokens/s}
 * @param left such as {@code 40 s left}
 * @param losses by task
 * @param validation losses by task; tasks that were not validated are absent
 */
record ProgressLine(
    String stage,
    int step,
    int steps,
    String speed,
    String left,
    TreeMap<String, Double> losses,
    Map<String, Double> validation) {
  private static final int LEAST_BAR = 10;
  private static final int MOST_BAR = 30;
  private static final int MOST_NAME = 24;

  /** Returns all of it, for a log. */
  String whole() {
    return "%s: step %d of %d, %s, %s, %s".formatted(stage, step, steps, speed, each(true), left);
  }

  /** Returns whether {@link #bar} shows the losses one by one. */
  boolean fits(int width) {
    return bar(width).contains(each(true));
  }

  /** Returns a line with a bar, exactly as wide as asked for. */
  String bar(int width) {
    String name = stage.length() <= MOST_NAME ? stage : stage.substring(0, MOST_NAME - 1) + "~";
    String known = "%d/%d, %s, %s".formatted(step, steps, speed, left);
    List<String> candidates =
        Stream.of(each(true), each(false), mean(true), mean(false), loss(losses), "")
            .map(more -> more.isEmpty() ? known : known + ", " + more)
            .toList();
    return drawn(name, step, steps, candidates, width)
        .orElseGet(() -> pad(name + " " + known, width));
  }

  /** Returns a line with a bar for other work than training. */
  static String bar(Progress p, int width) {
    return drawn(p.work(), p.done(), p.total(), List.of(p.amount()), width)
        .orElseGet(() -> pad(p.amount() + ": " + p.work(), width));
  }

  /** Returns a line with a bar and the first text that leaves room for one. */
  private static Optional<String> drawn(
      String name, long done, long total, List<String> texts, int width) {
    for (String text : texts) {
      int room = width - name.length() - text.length() - " [] ".length();
      if (room >= LEAST_BAR) {
        int bar = Math.min(room, MOST_BAR);
        int filled = total == 0 ? bar : (int) (bar * done / total);
        String drawn = "=".repeat(filled) + (filled < bar ? ">" : "") + " ".repeat(bar);
        return Optional.of(pad(name + " [" + drawn.substring(0, bar) + "] " + text, width));
      }
    }
    return Optional.empty();
  }

  private static String pad(String text, int width) {
    return text.length() >= width
        ? text.substring(0, Math.max(0, width))
        : text + " ".repeat(width - text.length());
  }

  /** Returns each task's loss. */
  String each(boolean validated) {
    return losses.entrySet().stream()
        .map(
            e ->
                "%s %s%s"
                    .formatted(
                        e.getKey(),
                        number(e.getValue()),
                        validated && validation.containsKey(e.getKey())
                            ? " (validation " + number(validation.get(e.getKey())) + ")"
                            : ""))
        .collect(Collectors.joining(", "));
  }

  private String mean(boolean validated) {
    String text = loss(losses);
    if (validated && !validation.isEmpty()) {
      text += " (validation " + number(mean(validation)) + ")";
    }
    return losses.size() < 2 ? text : text + ", mean of " + losses.size();
  }

  private static String loss(Map<String, Double> byTask) {
    return "loss " + number(mean(byTask));
  }

  private static double mean(Map<String, Double> values) {
    return values.values().stream().mapToDouble(Double::doubleValue).average().orElse(0);
  }

  private static String number(double value) {
    return String.format(Locale.ROOT, "%.3f", value);
  }
}
