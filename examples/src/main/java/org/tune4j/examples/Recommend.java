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

/** Says how to train a model on tasks, and why. */
@Command(
    name = "recommend",
    description = {
      "Profiles tasks, measures their similarity from the base model itself, prices every strategy on this machine, and"
          + " says which one to use and why."
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
      description = "Most tokens to train on. Without a budget only the machine's memory counts.")
  private Long tokens;

  @Option(
      names = "--budget-seconds",
      paramLabel = "X",
      description = "Most seconds of training on this machine.")
  private Double seconds;

  @Option(
      names = "--budget-mib",
      paramLabel = "N",
      description = "Most memory outside the heap, in MiB, the model's weights included.")
  private Long mib;

  @Option(
      names = "--arriving-over-time",
      description =
          "The tasks come one after another, in the order given, and each is to be served before the next one comes.")
  private boolean arriving;

  @Option(
      names = "--level",
      paramLabel = "LEVEL",
      description =
          "What is done to find out: ${COMPLETION-CANDIDATES}. RULES trains nothing, AFFINITY does short trainings,"
              + " EXPERIMENT trains the likeliest strategies to the end. Without it, an experiment where that takes"
              + " less than a minute, else rules.")
  private StrategyRecommender.Level level;

  @Option(
      names = "--output",
      paramLabel = "DIR",
      description = "Where an experiment writes its runs. Default: tune4j-runs/<time>-advice.")
  private Path output;

  @Option(
      names = "--json",
      paramLabel = "FILE",
      description = "Where to write the whole recommendation as JSON.")
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
