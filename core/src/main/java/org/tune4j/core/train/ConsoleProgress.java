package org.tune4j.core.train;

import com.google.common.collect.EvictingQueue;
import java.io.PrintStream;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.IntFunction;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.io.Terminals;
import org.tune4j.core.progress.Progress;

/**
 * Shows progress on a console. Loading, encoding, evaluation and advice have a bar once they take
 * longer than two seconds; training has a bar for each stage with tokens/s, the remaining time of
 * the run, and the loss of each task (mean of its last ten steps) with its validation loss, or
 * their mean if the terminal is too narrow. Without a terminal, it prints a line every ten seconds,
 * less often in long runs, and at the end. At the start it prints how many examples were shortened
 * or left out.
 *
 * <p>Use one instance for everything that a program does in sequence; two would overwrite each
 * other.
 */
public final class ConsoleProgress implements TrainingListener {
  private static final long MIN_PAUSE_NANOS = 10_000_000_000L;
  private static final long MAX_PAUSE_NANOS = 300_000_000_000L;
  private static final int LINES = 50;

  /** Operations other than training that take less are not shown. */
  private static final long WORK_NANOS = 2_000_000_000L;

  private final PrintStream out;
  private final boolean terminal;
  private ProgressBar bar;
  private volatile ProgressLine line; // read by the bar's thread
  private final TreeMap<String, EvictingQueue<Double>> losses = new TreeMap<>();
  private Map<String, Double> validation = Map.of();
  private TrainingPlan plan;
  private long startNanos;
  private long examples;
  private long tokens;
  private double seconds;
  private long lastLine;
  private volatile Progress
      work; // the last report; null if there was none, or a training stage since
  private long workSince;

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
  public void onProgress(Progress now) {
    long time = System.nanoTime();
    if (!continues(now)) {
      closeBar();
      workSince = time;
      lastLine = time + WORK_NANOS - MIN_PAUSE_NANOS;
    }
    work = now;
    if (time - workSince < WORK_NANOS) {
      return;
    }
    if (terminal) {
      if (bar == null) {
        bar = bar(now.total(), width -> ProgressLine.bar(work, width));
      }
      bar.stepTo(now.done());
    } else if (time - lastLine > pause(workSince) || now.done() == now.total()) {
      lastLine = time;
      out.println(now);
      out.flush();
    }
    if (now.done() == now.total()) {
      closeBar();
    }
  }

  /** Returns whether a report continues the operation of the previous one. */
  private boolean continues(Progress now) {
    Progress last = work;
    return last != null
        && last.unit() == now.unit()
        && last.total() == now.total()
        && last.done() <= now.done()
        && last.done() < last.total()
        && (now.unit() == Progress.Unit.PERCENT || last.work().equals(now.work()));
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
    closeBar();
    openStage(steps);
  }

  private void openStage(int steps) {
    work = null;
    if (terminal) {
      bar = bar(steps, width -> line == null ? "" : line.bar(width));
    }
  }

  private ProgressBar bar(long max, IntFunction<String> drawn) {
    return new ProgressBarBuilder()
        .setInitialMax(max)
        .setRenderer((state, width) -> drawn.apply(width))
        .setUpdateIntervalMillis(200)
        .setConsumer(new ConsoleProgressBarConsumer(out))
        .build();
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
    if (terminal) {
      if (bar == null) {
        openStage(step.steps()); // another operation, such as an evaluation, has closed it
      }
      bar.stepTo(step.step());
    } else if (System.nanoTime() - lastLine > pause(startNanos) || step.step() == step.steps()) {
      lastLine = System.nanoTime();
      out.println(line.full());
      out.flush();
    }
  }

  /** Prints longer runs less often: about {@link #LINES} lines in all. */
  private static long pause(long since) {
    return Math.min(
        MAX_PAUSE_NANOS, Math.max(MIN_PAUSE_NANOS, (System.nanoTime() - since) / LINES));
  }

  @Override
  public void onValidation(Stage stage, int step, Map<String, Double> lossByTask) {
    validation = Map.copyOf(lossByTask);
  }

  /**
   * Estimates the remaining time of the whole plan from the speed so far, including validation and
   * saving.
   */
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
        out.println(line.stage() + ": " + line.byTask(true));
      }
      line = null;
    }
  }
}
