package org.tune4j.examples;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.ConsoleProgress;
import org.tune4j.core.train.StageResult;
import org.tune4j.examples.common.Interruption;
import org.tune4j.examples.common.ModelOptions;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.TrainingStrategy;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Fine-tunes a model on the user's tasks with one strategy. */
@Command(
    name = "train",
    description = {
      "Fine-tunes a base model on tasks with one strategy and writes the adapters in PEFT's format.",
      "Ctrl-C stops it after the current step and writes a checkpoint; the same command with --resume continues it. The result is bit for bit the same as without the interruption."
    })
public final class Train implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private ModelOptions model;
  @Mixin private TaskOptions tasks;
  @Mixin private StrategyOptions strategy;
  @Mixin private AdapterOptions adapter;
  @Mixin private TrainingOptions training;

  @Option(
      names = "--output",
      paramLabel = "DIR",
      description =
          "Output directory for adapters and checkpoints. Default: tune4j-runs/TIME-STRATEGY.")
  private Path output;

  @Mixin private ExistingRun existing;

  @Option(names = "--plan", description = "Print the plan and its memory use without training.")
  private boolean planOnly;

  @Override
  public Integer call() throws IOException {
    existing.check(output);
    TrainingStrategy chosen = strategy.strategy();
    ImmutableList<Task> read = tasks.read(model, spec.commandLine().getErr());
    PrintWriter out = spec.commandLine().getOut();
    read.forEach(out::println);
    out.flush();
    Interruption interruption = Interruption.install();
    try (LanguageModel m = model.load()) {
      FineTuner tuner =
          FineTuner.of(m)
              .tasks(read)
              .lora(adapter.config())
              .strategy(chosen)
              .hyperparameters(training.hyperparameters())
              .output(output)
              .cancelled(interruption::requested)
              .listener(ConsoleProgress.toStandardError());
      out.println(m.describe());
      out.print(tuner.plan().describe());
      out.flush();
      if (planOnly) {
        return 0;
      }
      if (existing.resume()) {
        tuner.resume();
      }
      if (existing.overwrite()) {
        tuner.overwrite();
      }
      try (FineTuningResult result = tuner.run()) {
        report(result, out);
        return result.completed() ? 0 : 1;
      }
    } finally {
      interruption.close();
    }
  }

  private static void report(FineTuningResult result, PrintWriter out) {
    if (!result.completed()) {
      out.printf("interrupted; continue with --resume --output %s%n", result.output());
    } else {
      out.printf(
          Locale.ROOT,
          "%,d tokens in %.1f s (%,.0f tokens/s), peak off-heap memory %.0f MiB%n",
          result.training().tokens(),
          result.training().seconds(),
          result.training().tokens() / result.training().seconds(),
          result.training().peakBytes() / 1048576.0);
    }
    result.conflicts().forEach(c -> out.printf("gradients of %s%n", c));
    result
        .taskWeights()
        .forEach((task, w) -> out.printf(Locale.ROOT, "weight of %s: %.3f%n", task, w));
    for (StageResult s : result.training().stages()) {
      s.saved()
          .forEach(
              (name, at) -> out.printf("stage %s, adapter %s: %s%n", s.stage().name(), name, at));
      s.gains()
          .forEach(
              (name, gain) ->
                  out.printf(
                      Locale.ROOT,
                      "adapter %s reduces the loss of a validation example by %.4f nats (standard error %.4f, %d examples): %s%n",
                      name,
                      gain.mean(),
                      gain.standardError(),
                      gain.examples(),
                      gain.kept() ? "kept" : "not kept"));
    }
    out.flush();
  }
}
