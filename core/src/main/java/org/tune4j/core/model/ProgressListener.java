package org.tune4j.core.model;

import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;

/** Told how far the loading of a model is. Called on the loading thread, once per weight matrix. */
@FunctionalInterface
public interface ProgressListener {
  /** Takes note: {@code done} of {@code total} bytes of weights, as stored, are converted. */
  void onProgress(long done, long total);

  /** Returns a listener that draws a bar in MiB on the console's error stream. */
  static ProgressListener console(String task) {
    ProgressBar[] bar = new ProgressBar[1];
    return (done, total) -> {
      if (bar[0] == null) {
        bar[0] =
            new ProgressBarBuilder()
                .setTaskName(task)
                .setInitialMax(total)
                .setUnit(" MiB", 1 << 20)
                .build();
      }
      bar[0].stepTo(done);
      if (done == total) {
        bar[0].close();
      }
    };
  }
}
