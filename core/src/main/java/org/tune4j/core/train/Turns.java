package org.tune4j.core.train;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.tune4j.core.engine.Engine;

/**
 * How a training shares an engine with others, who generate or score on it meanwhile.
 *
 * <p>Between its operations the training looks whether others wait. For each second that it runs it
 * owes them {@code share / (1 - share)} seconds, and lets those that wait have a turn each (a
 * token, a pass of scores) while it owes anything. What nobody asked for is not saved up beyond a
 * moment, and what a long turn took is worked off for a while only, so that what others did long
 * ago does not matter. Between steps everybody who waits has a turn in any case, as the lock is
 * fair.
 */
final class Turns {
  /** Seconds that are saved up for those who come: a burst of a few tokens. */
  private static final double MOST_OWED = 0.02;

  /** Seconds that the training catches up with after a long turn. */
  private static final double MOST_ADVANCED = 0.25;

  private final Engine engine;
  private final double owedPerSecond;
  private final Runnable afterwards;
  private final LongSupplier clock;
  private long since;
  private double owed;

  /**
   * Makes them.
   *
   * @param share of the time that others may have while they wait for it, in [0, 1)
   * @param afterwards run when others had a turn, under the lock: throws what ends the step
   */
  Turns(Engine engine, double share, Runnable afterwards) {
    this(engine, share, afterwards, System::nanoTime);
  }

  Turns(Engine engine, double share, Runnable afterwards, LongSupplier clock) {
    this.engine = engine;
    this.owedPerSecond = share / (1 - check(share));
    this.afterwards = afterwards;
    this.clock = clock;
    since = clock.getAsLong();
  }

  /** Returns a share that is one. */
  static double check(double share) {
    checkArgument(
        share >= 0 && share < 1, "the share of others is %s; it must be in [0, 1)", share);
    return share;
  }

  /** Takes the engine's lock for a step. */
  void begin() {
    run();
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

  /** Lets others have turns, while some wait and it is time. */
  void pause() {
    run();
    while (owed > 0 && engine.lock().hasQueuedThreads()) {
      engine.giveWay();
      othersRan();
      afterwards.run();
    }
  }

  private void run() {
    owed = Math.min(MOST_OWED, owed + owedPerSecond * elapsed());
  }

  private void othersRan() {
    owed = Math.max(-MOST_ADVANCED, owed - elapsed());
  }

  private double elapsed() {
    long now = clock.getAsLong();
    double seconds = (now - since) / 1e9;
    since = now;
    return seconds;
  }
}
