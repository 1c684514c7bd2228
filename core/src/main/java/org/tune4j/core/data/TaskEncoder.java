package org.tune4j.core.data;

import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.progress.ProgressListener;

/** Turns the examples of tasks into what a model is trained on. */
public interface TaskEncoder {
  /**
   * The outcome for a list of examples.
   *
   * @param examples immutable; many of them are read from a file, each when it is asked for
   */
  record Result(List<EncodedExample> examples, EncodingReport report) {}

  /** Returns the most tokens that an example may have. */
  int maxLength();

  /**
   * Encodes a split of a task.
   *
   * @param progress is told every few hundred examples or seconds how many of the split are done
   * @param cancelled asked in between whether to stop
   * @throws IllegalArgumentException if an example cannot be encoded; the message says which
   * @throws java.io.UncheckedIOException if there are many and no room on the disk for them
   * @throws java.util.concurrent.CancellationException if it was cancelled or the thread
   *     interrupted
   */
  default Result encode(
      Task task, Task.Split split, ProgressListener progress, BooleanSupplier cancelled) {
    try (EncodedList examples = new EncodedList()) {
      EncodingReport report = encode(task, split, examples::add, progress, cancelled);
      return new Result(examples.finish(), report);
    }
  }

  /**
   * Encodes a split of a task, an example after the other.
   *
   * @param to is given what fits, in order, on this thread
   */
  EncodingReport encode(
      Task task,
      Task.Split split,
      Consumer<EncodedExample> to,
      ProgressListener progress,
      BooleanSupplier cancelled);
}
