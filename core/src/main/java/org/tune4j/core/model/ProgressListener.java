package org.tune4j.core.model;

/** Told how far the loading of a model is. Called on the loading thread, once per weight matrix. */
@FunctionalInterface
public interface ProgressListener {
  /** Takes note: {@code done} of {@code total} bytes of weights, as stored, are converted. */
  void onProgress(long done, long total);
}
