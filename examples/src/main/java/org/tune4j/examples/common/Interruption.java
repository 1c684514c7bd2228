package org.tune4j.examples.common;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Lets Ctrl-C (or SIGTERM) end training in order: it asks for the end, and holds the exit of the
 * virtual machine up until the work has stopped.
 */
public final class Interruption implements AutoCloseable {
  private static final long MOST_SECONDS = 60;

  private final CountDownLatch stopped = new CountDownLatch(1);
  private final Thread hook = new Thread(this::request, "end-in-order");
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
      stopped.await(MOST_SECONDS, TimeUnit.SECONDS);
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
      // the machine is going down already: the hook is running, and now ends
      requested = true;
    }
  }
}
