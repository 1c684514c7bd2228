package org.tune4j.eval.advice;

/** Told how far a recommendation is. Called on the calling thread, between steps. */
@FunctionalInterface
public interface AdviceListener {
  /**
   * Called when an activity begins, and with {@code "done"} and 1 at the end.
   *
   * @param activity what is done now, such as {@code gradients of noun-category}
   * @param done share of the whole that is done, from 0 to 1, never falling
   */
  void onProgress(String activity, double done);
}
