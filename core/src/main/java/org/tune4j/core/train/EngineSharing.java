package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.tune4j.core.engine.Engine;

/**
 * Shares an engine between training and other users, who generate or score at the same time.
 *
 * <p>For each second of training, others are owed {@code share / (1 - share)} seconds. Between
 * operations, training lets waiting threads run a step each (a token, a scoring pass) as long as it
 * owes them time. Unused time is accumulated only up to a small bound, and so is the time by which
 * others are ahead after a long step, so that old debts do not matter. Between training steps every
 * waiting thread gets a turn in any case, as the lock is fair.
 */
final class EngineSharing {
  /** Most seconds owed to others: a burst of a few tokens. */
  private static final double MAX_OWED = 0.02;

  /** Most seconds by which others are ahead after a long step. */
  private static final double MAX_ADVANCED = 0.25;

  private final Engine engine;
  private final double owedPerSecond;
  private final Runnable afterwards;
  private final LongSupplier clock;
  private long since;
  private double owed;

  /**
   * Starts measuring time.
   *
   * @param share of the time for others while they are waiting, in [0, 1)
   * @param afterwards run under the lock after others ran; throws to abort the step
   */
  EngineSharing(Engine engine, double share, Runnable afterwards) {
    this(engine, share, afterwards, System::nanoTime);
  }

  EngineSharing(Engine engine, double share, Runnable afterwards, LongSupplier clock) {
    this.engine = engine;
    this.owedPerSecond = share / (1 - check(share));
    this.afterwards = afterwards;
    this.clock = clock;
    since = clock.getAsLong();
  }

  /** Returns the share after checking its range. */
  static double check(double share) {
    checkArgument(
        share >= 0 && share < 1, "the share of others is %s; it must be in [0, 1)", share);
    return share;
  }

  /** Acquires the engine's lock for a step. */
  void begin() {
    trainingRan();
    engine.lock().lock();
    othersRan();
  }

  /** Runs a step, or a part of one, under the engine's lock; its arena is reset at the end. */
  <T> T step(Supplier<T> work) {
    begin();
    try {
      afterwards.run();
      return work.get();
    } finally {
      if (engine.lock().getHoldCount() == 1) {
        engine.resetArena();
      }
      engine.lock().unlock();
    }
  }

  /** Lets waiting threads run while they are owed time. */
  void pause() {
    trainingRan();
    while (owed > 0 && engine.lock().hasQueuedThreads()) {
      engine.giveWay();
      othersRan();
      afterwards.run();
    }
  }

  private void trainingRan() {
    owed = Math.min(MAX_OWED, owed + owedPerSecond * elapsed());
  }

  private void othersRan() {
    owed = Math.max(-MAX_ADVANCED, owed - elapsed());
  }

  private double elapsed() {
    long now = clock.getAsLong();
    double seconds = (now - since) / 1e9;
    since = now;
    return seconds;
  }
}
