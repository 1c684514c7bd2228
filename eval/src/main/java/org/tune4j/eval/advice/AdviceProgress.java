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
  private final double total;
  private double done;

  AdviceProgress(ProgressListener listener, BooleanSupplier cancelled, double total) {
    this.listener = listener;
    this.cancelled = cancelled;
    this.total = total;
  }

  static AdviceProgress none() {
    return new AdviceProgress(ProgressListener.none(), () -> false, 1);
  }

  /** Reports that an activity begins and is {@code weight} of the total once it is done. */
  void begin(String activity, double weight) {
    check();
    tell(activity, Math.min(NEARLY, done / total));
    done += weight;
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
