package org.tune4j.eval.advice;

import java.util.Locale;

/**
 * What a plan costs.
 *
 * @param examples trained on
 * @param tokens trained on, filler not counted
 * @param steps optimizer steps
 * @param seconds of training on this machine, from a measured rate; validation and saving are not
 *     in it
 * @param memoryBytes outside the heap at most, the model's weights included
 * @param adapterBytes of all adapters that the plan leaves behind, as saved
 */
public record PlanPrice(
    long examples, long tokens, long steps, double seconds, long memoryBytes, long adapterBytes) {
  static String bytes(long bytes) {
    double mib = bytes / (1024.0 * 1024);
    return mib < 1024
        ? String.format(Locale.ROOT, "%.1f MiB", mib)
        : String.format(Locale.ROOT, "%.2f GiB", mib / 1024);
  }

  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "%,d tokens in %,d steps, %.1f s, %s of memory, %s of adapters",
        tokens,
        steps,
        seconds,
        bytes(memoryBytes),
        bytes(adapterBytes));
  }
}
