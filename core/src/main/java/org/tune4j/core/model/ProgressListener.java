package org.tune4j.core.model;

import java.util.Locale;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.tune4j.core.io.Terminals;

/** Told how far the loading of a model is. Called on the loading thread, once per weight matrix. */
@FunctionalInterface
public interface ProgressListener {
  /** Takes note: {@code done} of {@code total} bytes of weights, as stored, are converted. */
  void onProgress(long done, long total);

  /**
   * Returns a listener that draws a bar in MiB on the console's error stream; where that is no
   * terminal, it prints a line every ten seconds.
   */
  static ProgressListener console(String task) {
    return Terminals.onStandardError() ? bar(task) : lines(task);
  }

  private static ProgressListener bar(String task) {
    ProgressBar[] bar = new ProgressBar[1];
    return (done, total) -> {
      if (bar[0] == null) {
        bar[0] =
            new ProgressBarBuilder()
                .setTaskName(task)
                .setInitialMax(total)
                .setStyle(ProgressBarStyle.ASCII)
                .setUnit(" MiB", 1 << 20)
                .build();
      }
      bar[0].stepTo(done);
      if (done == total) {
        bar[0].close();
      }
    };
  }

  private static ProgressListener lines(String task) {
    long[] last = {System.nanoTime()};
    return (done, total) -> {
      if (System.nanoTime() - last[0] > 10_000_000_000L) {
        last[0] = System.nanoTime();
        System.err.printf(Locale.ROOT, "%s: %d of %d MiB%n", task, done >> 20, total >> 20);
      }
    };
  }
}
