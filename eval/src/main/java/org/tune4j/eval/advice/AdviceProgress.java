package org.tune4j.eval.advice;

import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.progress.ProgressListener;

/** Progress and cancellation of one measurement: activities of known weights, done in turn. */
final class AdviceProgress {
  /** What is reported before the end, should there be more to do than was thought. */
  private static final double NEARLY = 0.99;

  private final ProgressListener listener;
  private final BooleanSupplier cancelled;
  private double total;
  private double done;
  private double last;
  private double from;
  private double to;

  /**
   * Begins.
   *
   * @param total weight of all activities of the first part
   * @param part share of the whole that the first part is thought to be
   */
  AdviceProgress(ProgressListener listener, BooleanSupplier cancelled, double total, double part) {
    this.listener = listener;
    this.cancelled = cancelled;
    this.total = total;
    this.to = part;
  }

  /** Begins the last part, the rest of the whole, whose activities are of this weight in all. */
  void part(double weight) {
    from = to;
    to = 1;
    total = weight;
    done = 0;
  }

  static AdviceProgress none() {
    return new AdviceProgress(ProgressListener.none(), () -> false, 1, 1);
  }

  /** Reports that an activity begins and is {@code weight} of the total once it is done. */
  void begin(String activity, double weight) {
    check();
    tell(activity, share(done));
    done += weight;
    last = weight;
  }

  /**
   * Reports how far the activity is that began last.
   *
   * @param share of it that is done, from 0 to 1
   */
  void within(String activity, double share) {
    tell(activity, share(done - (1 - share) * last));
  }

  private double share(double weight) {
    return Math.min(NEARLY, from + (to - from) * Math.min(1, weight / total));
  }

  void end() {
    tell("done", 1);
  }

  private void tell(String activity, double share) {
    listener.onProgress(new Progress(activity, (long) (100 * share), 100, Progress.Unit.PERCENT));
  }

  /** Returns whether to stop. */
  boolean cancelled() {
    return cancelled.getAsBoolean() || Thread.currentThread().isInterrupted();
  }

  void check() {
    if (cancelled()) {
      throw new CancellationException("the recommendation was cancelled");
    }
  }
}
