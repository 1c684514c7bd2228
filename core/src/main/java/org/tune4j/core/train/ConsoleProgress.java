package org.tune4j.core.train;

import com.google.common.collect.EvictingQueue;
import java.io.PrintStream;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.io.Terminals;

/**
 * Shows training on a console: a bar for each stage with tokens/s, the time that the run will still
 * take, and the loss of each task (mean of its last ten steps) with its validation loss, or their
 * mean where the terminal is too narrow. Where there is no terminal, a line every ten seconds, less
 * often the longer the run, and at each stage's end. Examples that were shortened or left out are
 * counted at the start.
 */
public final class ConsoleProgress implements TrainingListener {
  private static final long LEAST_PAUSE_NANOS = 10_000_000_000L;
  private static final long MOST_PAUSE_NANOS = 300_000_000_000L;
  private static final int LINES = 50;

  /** Encoding that takes less is not shown. */
  private static final long ENCODING_NANOS = 2_000_000_000L;

  private final PrintStream out;
  private final boolean terminal;
  private ProgressBar bar;
  private volatile ProgressLine line; // the bar has a thread of its own
  private final TreeMap<String, EvictingQueue<Double>> losses = new TreeMap<>();
  private Map<String, Double> validation = Map.of();
  private TrainingPlan plan;
  private long startNanos;
  private long examples;
  private long tokens;
  private double seconds;
  private long lastLine;
  private long encodingSince;
  private String encoding = "";

  private ConsoleProgress(PrintStream out, boolean terminal) {
    this.out = out;
    this.terminal = terminal;
  }

  /** Returns a listener on standard error. */
  public static ConsoleProgress toStandardError() {
    return new ConsoleProgress(System.err, Terminals.onStandardError());
  }

  /** Returns a listener that prints lines to a stream. */
  public static ConsoleProgress lines(PrintStream out) {
    return new ConsoleProgress(out, false);
  }

  @Override
  public void onEncoding(String task, int done, int total) {
    long now = System.nanoTime();
    if (!task.equals(encoding)) {
      encoding = task;
      encodingSince = now;
      lastLine = now + ENCODING_NANOS - LEAST_PAUSE_NANOS;
    }
    if (now - encodingSince < ENCODING_NANOS) {
      return;
    }
    if (terminal && bar == null) {
      bar = bar("encoding " + task, total).build();
    }
    if (bar != null) {
      bar.stepTo(done);
      if (done == total) {
        closeBar();
      }
    } else if (now - lastLine > LEAST_PAUSE_NANOS || done == total) {
      lastLine = now;
      out.printf(Locale.ROOT, "encoding %s: %,d of %,d examples%n", task, done, total);
      out.flush();
    }
  }

  @Override
  public void onStart(TrainingPlan started, Map<String, EncodingReport> encoded) {
    plan = started;
    startNanos = System.nanoTime();
    examples = 0;
    encoded.forEach(
        (task, report) -> {
          if (report.truncated() > 0 || report.skipped() > 0) {
            out.printf(
                Locale.ROOT,
                "%s: too long for the context: %d examples shortened, %d left out, of %d%n",
                task,
                report.truncated(),
                report.skipped(),
                report.examples() + report.skipped());
          }
        });
  }

  @Override
  public void onStageStart(Stage stage, int index, int steps) {
    losses.clear();
    validation = Map.of();
    tokens = 0;
    seconds = 0;
    lastLine = System.nanoTime();
    line = null;
    if (terminal) {
      bar =
          bar(stage.name(), steps)
              .setRenderer((state, width) -> line == null ? "" : line.bar(width))
              .build();
    }
  }

  private ProgressBarBuilder bar(String name, int max) {
    return new ProgressBarBuilder()
        .setTaskName(name)
        .setInitialMax(max)
        .setStyle(ProgressBarStyle.ASCII)
        .setUpdateIntervalMillis(200)
        .setConsumer(new ConsoleProgressBarConsumer(out));
  }

  @Override
  public void onStep(StepRecord step) {
    step.lossByTask()
        .forEach((t, l) -> losses.computeIfAbsent(t, k -> EvictingQueue.create(10)).add(l));
    examples += step.examples();
    tokens += step.tokens();
    seconds += step.seconds();
    TreeMap<String, Double> means = new TreeMap<>();
    losses.forEach(
        (t, last) ->
            means.put(t, last.stream().mapToDouble(Double::doubleValue).average().orElseThrow()));
    line =
        new ProgressLine(
            step.stage(),
            step.step(),
            step.steps(),
            String.format(Locale.ROOT, "%,.0f tokens/s", tokens / seconds),
            format(secondsLeft(step)) + " left",
            means,
            validation);
    if (bar != null) {
      bar.stepTo(step.step());
    } else if (System.nanoTime() - lastLine > pause() || step.step() == step.steps()) {
      lastLine = System.nanoTime();
      out.println(line.whole());
      out.flush();
    }
  }

  /** Long runs say less often how they go. */
  private long pause() {
    return Math.min(
        MOST_PAUSE_NANOS, Math.max(LEAST_PAUSE_NANOS, (System.nanoTime() - startNanos) / LINES));
  }

  @Override
  public void onValidation(Stage stage, int step, Map<String, Double> lossByTask) {
    validation = Map.copyOf(lossByTask);
  }

  /** At the rate so far, validation and saving included, for what is left of the whole plan. */
  private double secondsLeft(StepRecord step) {
    double left = 0;
    for (int i = step.stageIndex(); i < plan.stages().size(); i++) {
      double planned =
          plan.stages().get(i).examples().values().stream().mapToLong(Integer::longValue).sum();
      left +=
          i == step.stageIndex() ? planned * (1 - (double) step.step() / step.steps()) : planned;
    }
    return (System.nanoTime() - startNanos) / 1e9 / examples * left;
  }

  private static String format(double seconds) {
    return seconds < 120
        ? String.format(Locale.ROOT, "%.0f s", seconds)
        : seconds < 7200
            ? String.format(Locale.ROOT, "%.0f min", seconds / 60)
            : String.format(Locale.ROOT, "%.1f h", seconds / 3600);
  }

  @Override
  public void onStageEnd(StageResult result) {
    closeBar();
  }

  @Override
  public void onEnd() {
    closeBar();
  }

  private void closeBar() {
    if (bar != null) {
      bar.close();
      bar = null;
      if (line != null && !line.fits(new ConsoleProgressBarConsumer(out).getMaxRenderedLength())) {
        out.println(line.stage() + ": " + line.each(true));
      }
      line = null;
    }
  }
}
