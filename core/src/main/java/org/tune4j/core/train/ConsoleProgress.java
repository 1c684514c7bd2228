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
import org.tune4j.core.data.EncodingReport;

/**
 * Shows training on a console: a bar for each stage with tokens/s, the loss of each task (mean of
 * its last ten steps), its validation loss and the time that the run will still take. Where there
 * is no terminal, a line every ten seconds and at each stage's end. Examples that were shortened or
 * left out are counted at the start.
 */
public final class ConsoleProgress implements TrainingListener {
  private static final long LINE_NANOS = 10_000_000_000L;

  /** Encoding that takes less is not shown. */
  private static final long ENCODING_NANOS = 2_000_000_000L;

  private final PrintStream out;
  private final boolean terminal;
  private ProgressBar bar;
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
  public void onEncoding(String task, int done, int total) {
    long now = System.nanoTime();
    if (!task.equals(encoding)) {
      encoding = task;
      encodingSince = now;
      lastLine = now + ENCODING_NANOS - LINE_NANOS;
    }
    if (now - encodingSince < ENCODING_NANOS) {
      return;
    }
    if (terminal && bar == null) {
      bar = bar("encoding " + task, total);
    }
    if (bar != null) {
      bar.stepTo(done);
      if (done == total) {
        closeBar();
      }
    } else if (now - lastLine > LINE_NANOS || done == total) {
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
    if (terminal) {
      bar = bar(stage.name(), steps);
    }
  }

  private ProgressBar bar(String name, int max) {
    return new ProgressBarBuilder()
        .setTaskName(name)
        .setInitialMax(max)
        .setStyle(ProgressBarStyle.ASCII)
        .setUpdateIntervalMillis(200)
        .setConsumer(
            out == System.err
                ? new ConsoleProgressBarConsumer(out)
                : new DelegatingProgressBarConsumer(out::println))
        .build();
  }

  @Override
  public void onStep(StepRecord step) {
    step.lossByTask()
        .forEach((t, l) -> losses.computeIfAbsent(t, k -> EvictingQueue.create(10)).add(l));
    examples += step.examples();
    tokens += step.tokens();
    seconds += step.seconds();
    StringBuilder text =
        new StringBuilder(String.format(Locale.ROOT, "%,.0f tokens/s", tokens / seconds));
    for (Map.Entry<String, EvictingQueue<Double>> e : losses.entrySet()) {
      double mean = e.getValue().stream().mapToDouble(Double::doubleValue).average().orElse(0);
      text.append(String.format(Locale.ROOT, ", %s %.3f", e.getKey(), mean));
      if (validation.containsKey(e.getKey())) {
        text.append(String.format(Locale.ROOT, " (validation %.3f)", validation.get(e.getKey())));
      }
    }
    text.append(", ").append(format(secondsLeft(step))).append(" left");
    if (bar != null) {
      bar.stepTo(step.step());
      bar.setExtraMessage(text.toString());
    } else if (System.nanoTime() - lastLine > LINE_NANOS || step.step() == step.steps()) {
      lastLine = System.nanoTime();
      out.printf(
          Locale.ROOT, "%s: step %d of %d, %s%n", step.stage(), step.step(), step.steps(), text);
      out.flush();
    }
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
    }
  }
}
