package org.tune4j.examples.common;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Stops training cleanly on Ctrl-C or SIGTERM: requests cancellation, and delays the exit of the
 * virtual machine until the work has stopped.
 */
public final class Interruption implements AutoCloseable {
  private static final long TIMEOUT_SECONDS = 60;

  private final CountDownLatch stopped = new CountDownLatch(1);
  private final Thread hook = new Thread(this::request, "stop-cleanly");
  private volatile boolean requested;

  private Interruption() {}

  public static Interruption install() {
    Interruption i = new Interruption();
    Runtime.getRuntime().addShutdownHook(i.hook);
    return i;
  }

  public boolean requested() {
    return requested;
  }

  private void request() {
    requested = true;
    try {
      stopped.await(TIMEOUT_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public void close() {
    stopped.countDown();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // the virtual machine is shutting down: the hook is running and ends now
      requested = true;
    }
  }
}
