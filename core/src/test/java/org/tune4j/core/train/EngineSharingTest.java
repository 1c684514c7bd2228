package org.tune4j.core.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.lang.reflect.Proxy;
import java.util.concurrent.locks.ReentrantLock;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.tune4j.core.engine.Engine;

/** How time is divided, by a clock of the test's. */
class EngineSharingTest {
  private static final long MILLISECOND = 1_000_000;

  private final ReentrantLock lock = new ReentrantLock(true);
  private Thread waiting;
  private long now;
  private long turnTakes;
  private long given;
  private int turns;

  private final Engine engine =
      (Engine)
          Proxy.newProxyInstance(
              Engine.class.getClassLoader(),
              new Class<?>[] {Engine.class},
              (proxy, method, args) ->
                  switch (method.getName()) {
                    case "lock" -> lock;
                    case "giveWay" -> give();
                    default -> throw new AssertionError(method);
                  });

  private Object give() {
    turns++;
    given += turnTakes;
    now += turnTakes;
    return null;
  }

  private EngineSharing turns(double share) {
    return new EngineSharing(engine, share, () -> {}, () -> now);
  }

  @BeforeEach
  void hold() {
    lock.lock();
  }

  @AfterEach
  void release() throws InterruptedException {
    while (lock.isHeldByCurrentThread()) {
      lock.unlock();
    }
    if (waiting != null) {
      waiting.join();
      waiting = null;
    }
  }

  /** Somebody waits for the lock from now on. */
  private void somebodyWaits() {
    waiting =
        new Thread(
            () -> {
              lock.lock();
              try {
                assertThat(lock.isHeldByCurrentThread()).isTrue();
              } finally {
                lock.unlock();
              }
            });
    waiting.start();
    while (!lock.hasQueuedThreads()) {
      Thread.onSpinWait();
    }
  }

  /** Runs operations of a time each, with a pause after each; returns the time in operations. */
  private long run(EngineSharing turns, int operations, long takes) {
    for (int i = 0; i < operations; i++) {
      now += takes;
      turns.pause();
    }
    return operations * takes;
  }

  @Test
  void nobodyWaitingCostsNothing() {
    run(turns(0.5), 1000, MILLISECOND);
    assertThat(turns).isZero();
  }

  @Test
  void noShareIsNoTurn() {
    somebodyWaits();
    run(turns(0), 1000, MILLISECOND);
    assertThat(turns).isZero();
  }

  @Test
  void othersHaveTheirShareOfTheTimeWhileTheyWait() {
    somebodyWaits();
    for (double share : new double[] {0.1, 0.25, 0.5, 0.8}) {
      for (long takes : new long[] {MILLISECOND / 10, MILLISECOND, 7 * MILLISECOND}) {
        turnTakes = takes;
        given = 0;
        long own = run(turns(share), 20_000, MILLISECOND / 2);
        assertThat((double) given / (given + own))
            .as("%s in turns of %s ns", share, takes)
            .isCloseTo(share, within(0.02));
      }
    }
  }

  @Test
  void whoComesAfterLongHasABurstAndNoMore() {
    EngineSharing half = turns(0.5);
    run(half, 100_000, MILLISECOND); // nobody asks for any of it
    somebodyWaits();
    turnTakes = 10 * MILLISECOND;
    run(half, 10, MILLISECOND / 1000);
    assertThat(turns).as("20 ms and what has begun").isBetween(2, 3);
  }

  @Test
  void aLongTurnIsWorkedOffForAWhileOnly() {
    somebodyWaits();
    EngineSharing half = turns(0.5);
    turnTakes = 60_000 * MILLISECOND; // an evaluation
    run(half, 1, MILLISECOND);
    assertThat(turns).isEqualTo(1);
    turnTakes = MILLISECOND;
    run(half, 200, MILLISECOND);
    assertThat(turns).isEqualTo(1);
    run(half, 200, MILLISECOND);
    assertThat(turns).isGreaterThan(50);
  }

  @Test
  void timeBetweenStepsCountsToo() {
    EngineSharing half = turns(0.5);
    now += 5 * MILLISECOND;
    half.begin(); // takes no time here
    lock.unlock();
    somebodyWaits();
    turnTakes = 2 * MILLISECOND;
    run(half, 1, 0);
    assertThat(turns).as("what it owed before").isEqualTo(3);
  }

  @Property(tries = 30)
  void sharesOutsideOfTheRangeAreRefused(@ForAll @DoubleRange(min = 0, max = 0.99) double share) {
    assertThat(EngineSharing.check(share)).isEqualTo(share);
    for (double wrong : new double[] {1 + share, -0.01 - share, Double.NaN}) {
      assertThatThrownBy(() -> turns(wrong))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("[0, 1)");
    }
  }
}
