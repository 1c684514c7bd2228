package org.tune4j.core.progress;

/**
 * Is told how far long work is: loading, encoding, training, evaluation and advice all tell it the
 * same way. Called on the thread that works, which waits meanwhile.
 *
 * <p>It only watches. Work is ended by what its own {@code cancelled} is asked, or by interrupting
 * its thread.
 */
@FunctionalInterface
public interface ProgressListener {
  /** Called when some of the work is done, and at its end. */
  void onProgress(Progress progress);

  /** Returns a listener that does nothing. */
  static ProgressListener none() {
    return progress -> {};
  }
}
