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

/** Fine-tunes a model on tasks of the user's by one strategy. */
@Command(
    name = "train",
    description = {
      "Fine-tunes a base model on tasks by one strategy and writes the adapters in PEFT's format.",
      "Ctrl-C ends it after the step in progress with a checkpoint; the same command with --resume continues it to the"
          + " very bits that it would have reached without the interruption."
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
      description = "Where adapters and checkpoints go. Default: tune4j-runs/TIME-STRATEGY.")
  private Path output;

  @Mixin private ExistingRun existing;

  @Option(names = "--plan", description = "Print the plan and its memory, and train nothing.")
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
      out.printf("interrupted; --resume --output %s continues%n", result.output());
    } else {
      out.printf(
          Locale.ROOT,
          "%,d tokens in %.1f s (%,.0f tokens/s), peak memory outside the heap %.0f MiB%n",
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
                      "adapter %s saves %.4f nats of a validation example (standard error %.4f, %d examples): %s%n",
                      name,
                      gain.mean(),
                      gain.standardError(),
                      gain.examples(),
                      gain.kept() ? "kept" : "not kept"));
    }
    out.flush();
  }
}
