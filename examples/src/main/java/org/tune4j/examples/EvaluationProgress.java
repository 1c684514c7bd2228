package org.tune4j.examples;

import java.io.PrintWriter;
import org.tune4j.eval.Evaluator;

/** Shows how far an evaluation is: now and then a line, so that a plain log stays short. */
final class EvaluationProgress implements Evaluator.Progress {
  private static final long LINE_NANOS = 5_000_000_000L;

  private final PrintWriter out;
  private long lastLine = System.nanoTime();

  EvaluationProgress(PrintWriter out) {
    this.out = out;
  }

  @Override
  public void onProgress(String task, int done, int total) {
    if (System.nanoTime() - lastLine > LINE_NANOS) {
      lastLine = System.nanoTime();
      out.printf("evaluating %s: %d of %d%n", task, done, total);
      out.flush();
    }
  }
}
