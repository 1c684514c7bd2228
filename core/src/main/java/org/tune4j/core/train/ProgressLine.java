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
 * The console line of a training stage: as detailed as the width allows, with the losses of each
 * task or their mean.
 *
 * @param stage name
 * @param step completed steps
 * @param steps all steps
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
  private static final int MIN_BAR = 10;
  private static final int MAX_BAR = 30;
  private static final int MAX_NAME = 24;

  /** Returns the full text, for a log. */
  String full() {
    return "%s: step %d of %d, %s, %s, %s".formatted(stage, step, steps, speed, byTask(true), left);
  }

  /** Returns whether {@link #bar} shows the losses of each task. */
  boolean fits(int width) {
    return bar(width).contains(byTask(true));
  }

  /** Returns a line with a bar, exactly {@code width} wide. */
  String bar(int width) {
    String name = stage.length() <= MAX_NAME ? stage : stage.substring(0, MAX_NAME - 1) + "~";
    String known = "%d/%d, %s, %s".formatted(step, steps, speed, left);
    List<String> candidates =
        Stream.of(byTask(true), byTask(false), mean(true), mean(false), loss(losses), "")
            .map(more -> more.isEmpty() ? known : known + ", " + more)
            .toList();
    return drawn(name, step, steps, candidates, width)
        .orElseGet(() -> pad(name + " " + known, width));
  }

  /** Returns a line with a bar for an operation other than training. */
  static String bar(Progress p, int width) {
    return drawn(p.work(), p.done(), p.total(), List.of(p.amount()), width)
        .orElseGet(() -> pad(p.amount() + ": " + p.work(), width));
  }

  /** Returns a line with a bar and the first of the texts that leaves enough room for the bar. */
  private static Optional<String> drawn(
      String name, long done, long total, List<String> texts, int width) {
    for (String text : texts) {
      int room = width - name.length() - text.length() - " [] ".length();
      if (room >= MIN_BAR) {
        int bar = Math.min(room, MAX_BAR);
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

  /** Returns each task's loss, with its last validation loss if {@code validated}. */
  String byTask(boolean validated) {
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
