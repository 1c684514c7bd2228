package org.tune4j.examples;

import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.ConsoleProgress;
import org.tune4j.eval.advice.ComputeBudget;
import org.tune4j.eval.advice.Recommendation;
import org.tune4j.eval.advice.StrategyRecommender;
import org.tune4j.examples.common.Interruption;
import org.tune4j.examples.common.ModelOptions;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Recommends how to train a model on tasks, with reasons. */
@Command(
    name = "recommend",
    description = {
      "Profiles tasks, measures their similarity with the base model, estimates the cost of every strategy on this machine, and recommends one with reasons."
    })
public final class Recommend implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private ModelOptions model;
  @Mixin private TaskOptions tasks;
  @Mixin private AdapterOptions adapter;
  @Mixin private TrainingOptions training;

  @Option(
      names = "--budget-tokens",
      paramLabel = "N",
      description =
          "Maximum number of tokens to train on. Without a budget, only the machine's memory is a limit.")
  private Long tokens;

  @Option(
      names = "--budget-seconds",
      paramLabel = "X",
      description = "Maximum training time on this machine, in seconds.")
  private Double seconds;

  @Option(
      names = "--budget-mib",
      paramLabel = "N",
      description = "Maximum off-heap memory in MiB, including the model's weights.")
  private Long mib;

  @Option(
      names = "--arriving-over-time",
      description =
          "Tasks arrive one after another, in the given order, and each must be served before the next arrives.")
  private boolean arriving;

  @Option(
      names = "--level",
      paramLabel = "LEVEL",
      description =
          "Effort spent on the recommendation: ${COMPLETION-CANDIDATES}. RULES trains nothing, AFFINITY runs short trainings, EXPERIMENT trains the most promising strategies to the end. Default: EXPERIMENT if it takes less than a minute, otherwise RULES.")
  private StrategyRecommender.Level level;

  @Option(
      names = "--output",
      paramLabel = "DIR",
      description =
          "Output directory for the runs of an experiment. Default: tune4j-runs/TIME-advice.")
  private Path output;

  @Option(
      names = "--json",
      paramLabel = "FILE",
      description = "File for the full recommendation, as JSON.")
  private Path json;

  @Override
  public Integer call() throws IOException {
    ImmutableList<Task> read = tasks.read(model, spec.commandLine().getErr());
    PrintWriter out = spec.commandLine().getOut();
    Interruption interruption = Interruption.install();
    try (LanguageModel m = model.load()) {
      StrategyRecommender recommender =
          StrategyRecommender.of(m)
              .tasks(read)
              .lora(adapter.config())
              .hyperparameters(training.hyperparameters())
              .budget(budget())
              .progress(ConsoleProgress.toStandardError())
              .cancelled(interruption::requested);
      if (arriving) {
        recommender.arrivingOverTime();
      }
      if (level != null) {
        recommender.level(level);
      }
      if (output != null) {
        recommender.output(output);
      }
      Recommendation recommendation = recommender.recommend();
      out.println(recommendation);
      out.flush();
      if (json != null) {
        recommendation.writeJson(json);
      }
    } finally {
      interruption.close();
    }
    return 0;
  }

  ComputeBudget budget() {
    ComputeBudget b = ComputeBudget.unlimited();
    b = tokens == null ? b : b.withTokens(tokens);
    b = seconds == null ? b : b.withSeconds(seconds);
    return mib == null ? b : b.withMemory(Math.multiplyExact(mib, 1L << 20));
  }
}
