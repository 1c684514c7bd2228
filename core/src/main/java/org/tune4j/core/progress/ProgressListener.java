package org.tune4j.core.progress;

/**
 * Receives the progress of long operations: loading, encoding, training, evaluation and advice all
 * report this way. Called on the working thread, which waits until it returns.
 *
 * <p>It only observes. To cancel an operation, use its {@code cancelled} supplier or interrupt its
 * thread.
 */
@FunctionalInterface
public interface ProgressListener {
  /** Called every so often, and at the end. */
  void onProgress(Progress progress);

  /** Returns a listener that does nothing. */
  static ProgressListener none() {
    return progress -> {};
  }
}
