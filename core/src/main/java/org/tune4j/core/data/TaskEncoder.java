package org.tune4j.core.data;

import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.progress.ProgressListener;

/** Encodes the examples of tasks for training. */
public interface TaskEncoder {
  /**
   * An encoded split.
   *
   * @param examples immutable; if they are many, each access reads from a file
   */
  record Result(List<EncodedExample> examples, EncodingReport report) {}

  /** Returns the most tokens that an example may have. */
  int maxLength();

  /**
   * Encodes a split of a task.
   *
   * @param progress notified every few hundred examples or few seconds
   * @param cancelled polled in between whether to stop
   * @throws IllegalArgumentException if an example cannot be encoded; the message says which
   * @throws java.io.UncheckedIOException if they do not fit in the heap and cannot be written to
   *     disk
   * @throws java.util.concurrent.CancellationException if it is cancelled or the thread interrupted
   */
  default Result encode(
      Task task, Task.Split split, ProgressListener progress, BooleanSupplier cancelled) {
    try (EncodedList examples = new EncodedList()) {
      EncodingReport report = encode(task, split, examples::add, progress, cancelled);
      return new Result(examples.finish(), report);
    }
  }

  /**
   * Encodes a split of a task example by example.
   *
   * @param to receives the examples that fit, in order, on this thread
   */
  EncodingReport encode(
      Task task,
      Task.Split split,
      Consumer<EncodedExample> to,
      ProgressListener progress,
      BooleanSupplier cancelled);
}
