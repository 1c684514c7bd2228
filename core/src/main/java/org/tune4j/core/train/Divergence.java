package org.tune4j.core.train;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.tune4j.core.engine.Precision;

/**
 * Explains a loss or gradient that is not finite from the steps before it: whether training
 * diverged, which a lower learning rate cures, or something else is wrong, which it does not.
 *
 * @param steps the stage's steps so far
 * @param sizeAtStart root mean square of the adapter's parameters at the start of the stage
 * @param size the same now
 */
record Divergence(List<StepRecord> steps, double sizeAtStart, double size, Precision precision) {
  private static final int WINDOW = 3; // steps whose losses are averaged
  private static final double LOSS_GROWTH = 1.5;
  private static final double GROWTH = 10; // of gradient norms and parameters

  /** Returns a sentence to append to the one that names the number. */
  String explain(String task, String adapter) {
    if (steps.isEmpty()) {
      return "No step came before, so that the learning rate is not to blame: the base model, or"
          + " what the adapter starts from, gives no number here"
          + otherPrecision();
    }
    List<String> signs = new ArrayList<>();
    double[] losses = values(task, true);
    double lowest = Double.POSITIVE_INFINITY;
    double mean = Double.NaN; // of the last window
    for (int end = Math.min(WINDOW, losses.length); end <= losses.length && end > 0; end++) {
      mean = Arrays.stream(losses, Math.max(0, end - WINDOW), end).average().orElseThrow();
      lowest = Math.min(lowest, mean);
    }
    if (mean > LOSS_GROWTH * lowest) {
      signs.add("the loss had risen from %s to %s".formatted(text(lowest), text(mean)));
    }
    double[] norms = values(adapter, false);
    double[] sorted = norms.clone();
    Arrays.sort(sorted);
    if (norms.length > 0 && norms[norms.length - 1] > GROWTH * sorted[norms.length / 2]) {
      signs.add(
          "the gradient norm had risen from %s to %s"
              .formatted(text(sorted[norms.length / 2]), text(norms[norms.length - 1])));
    }
    if (!(size <= GROWTH * sizeAtStart)) { // also where it is not a number
      signs.add(
          "the adapter's parameters had grown from %s to %s (root mean square)"
              .formatted(text(sizeAtStart), text(size)));
    }
    if (!signs.isEmpty()) {
      return "Training diverged: " + String.join(", ", signs) + "; a lower learning rate may help";
    }
    return "Training had not diverged (step %s: loss %s, gradient norm %s), so that a lower learning rate is unlikely to help"
            .formatted(
                steps.get(steps.size() - 1).step(),
                losses.length == 0 ? "unknown" : text(losses[losses.length - 1]),
                norms.length == 0 ? "unknown" : text(norms[norms.length - 1]))
        + otherPrecision();
  }

  private double[] values(String name, boolean ofTask) {
    return steps.stream()
        .map(s -> (ofTask ? s.lossByTask() : s.gradientNorm()).get(name))
        .filter(v -> v != null)
        .mapToDouble(v -> v)
        .toArray();
  }

  private String otherPrecision() {
    return precision == Precision.F32 ? "" : "; F32 tells whether " + precision + " is the cause";
  }

  private static String text(double value) {
    return String.format(Locale.ROOT, "%.3g", value);
  }
}
