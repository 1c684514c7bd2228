package org.tune4j.examples;

import java.io.PrintWriter;
import java.util.Locale;
import org.tune4j.eval.advice.AdviceListener;

/** Shows how far a recommendation is: now and then a line, so that a plain log stays short. */
final class AdviceProgress implements AdviceListener {
  private static final long LINE_NANOS = 3_000_000_000L;

  private final PrintWriter out;
  private long lastLine = System.nanoTime();

  AdviceProgress(PrintWriter out) {
    this.out = out;
  }

  @Override
  public void onProgress(String activity, double done) {
    if (System.nanoTime() - lastLine > LINE_NANOS) {
      lastLine = System.nanoTime();
      out.printf(Locale.ROOT, "%.0f %%: %s%n", 100 * done, activity);
      out.flush();
    }
  }
}
