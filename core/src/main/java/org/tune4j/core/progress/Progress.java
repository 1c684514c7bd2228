package org.tune4j.core.progress;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Locale;

/**
 * How far a long operation has come.
 *
 * @param work what is being done, such as {@code encoding noun-category (train)}
 * @param done units finished
 * @param total all units; equal to {@code done} at the end
 * @param unit what both count
 */
public record Progress(String work, long done, long total, Unit unit) {
  /** What is counted. */
  public enum Unit {
    /** Bytes of weights, as they are stored. */
    BYTES,
    /** Examples of a task. */
    EXAMPLES,
    /** Steps of a stage of training. */
    STEPS,
    /** Percent of an operation of several parts, of which {@code work} is the current one. */
    PERCENT
  }

  /** Checks that {@code done} is from 0 to {@code total}. */
  public Progress {
    checkArgument(
        done >= 0 && done <= total,
        "%s: done is %s of %s; it must be from 0 to the total",
        work,
        done,
        total);
  }

  /** Returns the progress without its name, such as {@code 1,024 of 300,000 examples}. */
  public String amount() {
    return switch (unit) {
      case BYTES -> String.format(Locale.ROOT, "%,d of %,d MiB", done >> 20, total >> 20);
      case EXAMPLES -> String.format(Locale.ROOT, "%,d of %,d examples", done, total);
      case STEPS -> String.format(Locale.ROOT, "%,d of %,d steps", done, total);
      case PERCENT -> done + " %";
    };
  }

  /** Returns a line for a log. */
  @Override
  public String toString() {
    return unit == Unit.PERCENT ? amount() + ": " + work : work + ": " + amount();
  }
}
