package org.tune4j.core.train;

import com.google.common.collect.EvictingQueue;
import java.io.PrintStream;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.DelegatingProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * Shows training on a console: a bar for each stage with the time left, the loss of each task (mean
 * of its last ten steps) and tokens/s. Where there is no terminal, a line every few seconds.
 */
public final class ConsoleProgress implements TrainingListener {
  private static final long LINE_NANOS = 10_000_000_000L;

  private final PrintStream out;
  private final boolean terminal;
  private ProgressBar bar;
  private final TreeMap<String, EvictingQueue<Double>> losses = new TreeMap<>();
  private long tokens;
  private double seconds;
  private long lastLine;

  private ConsoleProgress(PrintStream out, boolean terminal) {
    this.out = out;
    this.terminal = terminal;
  }

  /** Returns a listener on standard error. */
  public static ConsoleProgress toStandardError() {
    return new ConsoleProgress(System.err, onTerminal());
  }

  /** Since JDK 22 there is a console even without a terminal, which only its newer method tells. */
  @SuppressWarnings("SystemConsoleNull")
  private static boolean onTerminal() {
    java.io.Console console = System.console();
    if (console == null || System.getenv("CI") != null) {
      return false;
    }
    try {
      return (boolean) java.io.Console.class.getMethod("isTerminal").invoke(console);
    } catch (ReflectiveOperationException e) {
      return true;
    }
  }

  /** Returns a listener that prints lines to a stream. */
  public static ConsoleProgress lines(PrintStream out) {
    return new ConsoleProgress(out, false);
  }

  @Override
  public void onStageStart(Stage stage, int index, int steps) {
    losses.clear();
    tokens = 0;
    seconds = 0;
    lastLine = System.nanoTime();
    if (terminal) {
      bar =
          new ProgressBarBuilder()
              .setTaskName(stage.name())
              .setInitialMax(steps)
              .setStyle(ProgressBarStyle.ASCII)
              .setUpdateIntervalMillis(200)
              .setConsumer(
                  out == System.err
                      ? new ConsoleProgressBarConsumer(out)
                      : new DelegatingProgressBarConsumer(out::println))
              .build();
    }
  }

  @Override
  public void onStep(StepRecord step) {
    step.lossByTask()
        .forEach((t, l) -> losses.computeIfAbsent(t, k -> EvictingQueue.create(10)).add(l));
    tokens += step.tokens();
    seconds += step.seconds();
    StringBuilder text =
        new StringBuilder(String.format(Locale.ROOT, "%,.0f tokens/s", tokens / seconds));
    for (Map.Entry<String, EvictingQueue<Double>> e : losses.entrySet()) {
      double mean = e.getValue().stream().mapToDouble(Double::doubleValue).average().orElse(0);
      text.append(String.format(Locale.ROOT, ", %s %.3f", e.getKey(), mean));
    }
    if (bar != null) {
      bar.stepTo(step.step());
      bar.setExtraMessage(text.toString());
    } else if (System.nanoTime() - lastLine > LINE_NANOS || step.step() == step.steps()) {
      lastLine = System.nanoTime();
      double left = seconds / step.step() * (step.steps() - step.step());
      out.printf(
          Locale.ROOT,
          "%s: step %d of %d, %s, %.0f s left%n",
          step.stage(),
          step.step(),
          step.steps(),
          text,
          left);
      out.flush();
    }
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
    }
  }
}
