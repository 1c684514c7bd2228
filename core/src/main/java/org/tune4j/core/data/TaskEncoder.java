package org.tune4j.core.data;

import com.google.common.collect.ImmutableList;
import java.util.function.BooleanSupplier;
import java.util.function.IntConsumer;

/** Turns the examples of tasks into what a model is trained on. */
public interface TaskEncoder {
  /** The outcome for a list of examples. */
  record Result(ImmutableList<EncodedExample> examples, EncodingReport report) {}

  /** Returns the most tokens that an example may have. */
  int maxLength();

  /**
   * Encodes a split of a task.
   *
   * @param progress is told every few hundred examples or seconds how many are done, on this thread
   * @param cancelled asked in between whether to stop
   * @throws IllegalArgumentException if an example cannot be encoded; the message says which
   * @throws java.util.concurrent.CancellationException if it was cancelled or the thread
   *     interrupted
   */
  Result encode(Task task, Task.Split split, IntConsumer progress, BooleanSupplier cancelled);
}
