package org.tune4j.examples;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.DatedDirectory;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.ConsoleProgress;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.LearningRateSchedule;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.Evaluator;
import org.tune4j.eval.Experiment;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;
import org.tune4j.eval.Prediction;
import org.tune4j.eval.advice.Recommendation;
import org.tune4j.eval.advice.StrategyRecommender;
import org.tune4j.eval.report.Report;
import org.tune4j.examples.common.Bundled;
import org.tune4j.examples.common.Interruption;
import org.tune4j.examples.common.ModelOptions;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.Sequential;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * Fine-tunes the bundled model on the bundled tasks with each strategy and compares the results.
 *
 * <p>All decisions are made on validation splits. The test splits are scored once, at the end.
 */
@Command(
    name = "quickstart",
    description = {
      "Fine-tunes a real model of 8 million parameters on four tasks with each strategy on the same token budget, and compares scores, forgetting and cost. Writes adapters in PEFT's format and report.html.",
      "Ctrl-C stops it; run it again with the same --output and --resume to continue."
    })
public final class Quickstart implements Callable<Integer> {
  /** Examples of each task with {@code --full}. */
  private static final int FULL_TRAIN = 1500;

  private static final int FULL_TEST = 400;

  @Spec private CommandSpec spec;
  @Mixin private ModelOptions model;

  @Option(
      names = "--train",
      paramLabel = "N",
      defaultValue = "600",
      description = "Training examples of each task.")
  private int train;

  @Option(
      names = "--validation",
      paramLabel = "N",
      defaultValue = "100",
      description = "Validation examples of each task, by which strategies are compared.")
  private int validation;

  @Option(
      names = "--test",
      paramLabel = "N",
      defaultValue = "200",
      description = "Test examples of each task, scored once at the end.")
  private int test;

  @Option(
      names = "--full",
      description = {
        "Train on "
            + FULL_TRAIN
            + " examples of each task, validate and test on "
            + FULL_TEST
            + ":",
        "the settings of the README's comparison with PEFT. Takes minutes longer."
      })
  private boolean full;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "0",
      description = "Seed of the initial values and the order of the data.")
  private long seed;

  @Option(
      names = "--seeds",
      paramLabel = "N",
      defaultValue = "1",
      description = "Repeat with this many seeds, starting at --seed, and average.")
  private int seeds;

  @Option(
      names = "--output",
      paramLabel = "DIR",
      description = "Output directory. Default: tune4j-runs/TIME-quickstart.")
  private Path output;

  @Mixin private ExistingRun existing;

  @Override
  public Integer call() throws IOException {
    existing.check(output);
    if (train < 1 || validation < 1 || test < 1 || seeds < 1) {
      throw Main.usage(spec, "--train, --validation, --test and --seeds must be at least 1");
    }
    if (full) {
      train = FULL_TRAIN;
      test = FULL_TEST;
    }
    return output == null ? DatedDirectory.use("quickstart", this::runIn) : runIn(output);
  }

  private int runIn(Path directory) throws IOException {
    ImmutableList<Task> tasks =
        Bundled.tasks().stream()
            .map(t -> t.limit(train, validation, test))
            .collect(ImmutableList.toImmutableList());
    long start = System.nanoTime();
    Interruption interruption = Interruption.install();
    try (LanguageModel m = model.load()) {
      Run run = new Run(m, tasks, directory, interruption, spec.commandLine().getOut());
      boolean completed = run.all();
      run.say("%nTotal: %.0f s%n", (System.nanoTime() - start) / 1e9);
      return completed ? 0 : 1;
    } finally {
      interruption.close();
    }
  }

  /** Test scores of all tasks with one seed, by strategy and of the untuned model. */
  private record Scores(
      long seed,
      ExperimentResult result,
      ImmutableMap<String, Evaluation> untuned,
      ImmutableMap<String, ImmutableMap<String, Evaluation>> byStrategy) {}

  private final class Run {
    private final LanguageModel m;
    private final ImmutableList<Task> tasks;
    private final Path directory;
    private final Interruption interruption;
    private final PrintWriter out;
    private final ConsoleProgress progress = ConsoleProgress.toStandardError();
    private final List<Scores> scores = new ArrayList<>();
    private Recommendation recommendation;

    Run(
        LanguageModel m,
        ImmutableList<Task> tasks,
        Path directory,
        Interruption interruption,
        PrintWriter out) {
      this.m = m;
      this.tasks = tasks;
      this.directory = directory;
      this.interruption = interruption;
      this.out = out;
    }

    boolean all() throws IOException {
      say("Base model: %s%n%n", m.describe());
      tasks.forEach(t -> say("  %s%n", t));
      for (int k = 0; k < seeds; k++) {
        experiment(seed + k).requireFree(); // fail now rather than after the recommendation
      }
      if (!recommend()) {
        return false;
      }
      for (int k = 0; k < seeds; k++) {
        if (!trainAndTest(seed + k)) {
          return interrupted();
        }
      }
      scores.forEach(this::table);
      if (seeds > 1) {
        averages();
      }
      predictions(scores.get(0));
      report(scores.get(0));
      return true;
    }

    private boolean recommend() throws IOException {
      say("%nMeasuring the similarity of the tasks and estimating the cost of each strategy%n");
      try {
        recommendation =
            StrategyRecommender.of(m)
                .tasks(tasks)
                .lora(lora())
                .hyperparameters(hyperparameters(seed))
                .level(StrategyRecommender.Level.RULES) // all strategies are trained anyway
                .equalTokens()
                .seed(seed)
                .progress(progress)
                .cancelled(interruption::requested)
                .recommend();
      } catch (CancellationException e) {
        return interrupted();
      }
      recommendation.writeJson(directory.resolve("recommendation.json"));
      say("%n%s%n", recommendation);
      return true;
    }

    private boolean interrupted() {
      say("%nInterrupted. Continue with --resume --output %s%n", directory);
      return false;
    }

    private Experiment experiment(long withSeed) {
      Experiment experiment =
          Experiment.of(m)
              .tasks(tasks)
              .lora(lora())
              .hyperparameters(hyperparameters(withSeed))
              .strategies(MultiTask.proportional(), Sequential.inOrder(), Independent.perTask())
              .listener(progress)
              .cancelled(interruption::requested)
              .output(seeds == 1 ? directory : directory.resolve("seed-" + withSeed));
      if (existing.resume()) {
        experiment.resume();
      }
      if (existing.overwrite()) {
        experiment.overwrite();
      }
      return experiment;
    }

    private boolean trainAndTest(long withSeed) throws IOException {
      say(
          "%nTraining with each strategy on the same %,d examples, seed %d%n",
          tasks.stream().mapToInt(t -> t.train().size()).sum(), withSeed);
      Evaluator evaluator = Evaluator.of(m).progress(progress).cancelled(interruption::requested);
      Experiment experiment = experiment(withSeed).evaluator(evaluator);
      ExperimentResult result = experiment.run();
      if (!result.completed()) {
        return false;
      }
      say("%nScores on the validation splits, which decide the choice%n%s", result);
      say("%nScoring the test splits, once%n");
      ImmutableMap<String, Evaluation> untuned =
          evaluator.evaluateAll(tasks, Task.Split.TEST, t -> ImmutableList.of());
      ImmutableMap.Builder<String, ImmutableMap<String, Evaluation>> byStrategy =
          ImmutableMap.builder();
      for (Outcome o : result.outcomes()) {
        byStrategy.put(o.strategy(), experiment.test(o));
      }
      scores.add(new Scores(withSeed, result, untuned, byStrategy.buildOrThrow()));
      return true;
    }

    private void table(Scores s) {
      say("%nTest scores%s%n", seeds > 1 ? ", seed " + s.seed : "");
      heading("   BWT  seconds  tokens/s");
      row("(untuned)", s.untuned);
      say("%n");
      for (Outcome o : s.result.outcomes()) {
        row(o.strategy(), s.byStrategy.get(o.strategy()));
        say(
            "  %+.3f  %7.1f  %,8.0f%n",
            o.matrix().backwardTransfer(), o.cost().seconds(), o.cost().tokensPerSecond());
      }
    }

    private void averages() {
      say("%nTest scores, mean of %d seeds%n", seeds);
      heading("");
      for (String strategy : scores.get(0).byStrategy.keySet()) {
        say("%-12s", strategy);
        double sum = 0;
        for (Task t : tasks) {
          double mean =
              scores.stream()
                  .mapToDouble(s -> s.byStrategy.get(strategy).get(t.name()).score())
                  .average()
                  .orElseThrow();
          sum += mean;
          say("  %" + t.name().length() + ".3f", mean);
        }
        say("  %7.3f%n", sum / tasks.size());
      }
    }

    private void heading(String more) {
      say("%-12s", "");
      tasks.forEach(t -> say("  %s", t.name()));
      say("  average%s%n", more);
    }

    private void row(String name, ImmutableMap<String, Evaluation> byTask) {
      say("%-12s", name);
      byTask.forEach((task, e) -> say("  %" + task.length() + ".3f", e.score()));
      say("  %7.3f", average(byTask));
    }

    private double average(ImmutableMap<String, Evaluation> byTask) {
      return byTask.values().stream().mapToDouble(Evaluation::score).average().orElseThrow();
    }

    private void predictions(Scores s) {
      say("%nPredictions%n");
      for (Task t : tasks) {
        List<Prediction> before = s.untuned.get(t.name()).predictions();
        int shown = 0;
        for (int i = 0; i < before.size() && shown < 2; i++) {
          int at = i;
          boolean helped =
              s.byStrategy.values().stream()
                  .anyMatch(
                      byTask ->
                          byTask.get(t.name()).predictions().get(at).score()
                              > before.get(at).score());
          if (helped) {
            shown++;
            say("  %s%n", before.get(i).prompt().replace("\n", "\n  "));
            say("    expected%s; untuned%s", before.get(i).expected(), predicted(before.get(i)));
            s.byStrategy.forEach(
                (name, byTask) ->
                    say("; %s%s", name, predicted(byTask.get(t.name()).predictions().get(at))));
            say("%n");
          }
        }
      }
    }

    private String predicted(Prediction p) {
      return p.predicted().isBlank() ? " (nothing)" : " " + p.predicted().strip();
    }

    private void report(Scores s) throws IOException {
      Outcome best = s.result.best();
      Report report =
          Report.titled("One model, four tasks, three strategies")
              .summary(
                  "LoRA adapters of rank %d, trained on %,d examples of each task with each strategy on the same token budget."
                      .formatted(lora().rank(), train))
              .fact(
                  "base model",
                  "%s, %.1f million parameters"
                      .formatted(m.config().family().className(), m.config().parameters() / 1e6))
              .fact("engine", m.engine().describe())
              .fact("processors", String.valueOf(Runtime.getRuntime().availableProcessors()))
              .fact("seed", String.valueOf(s.seed))
              .recommendation(recommendation)
              .experiment(s.result)
              .untunedTest(s.untuned);
      s.byStrategy.forEach(report::test);
      Path file = directory.resolve("report.html");
      report.write(file);
      say(
          "%nRecommended before training: %s, confidence %.2f%n",
          recommendation.strategy(), recommendation.confidence());
      say("Best on validation: %s, at %s%n", best.strategy(), best.average());
      say("Adapters, in PEFT's format:%n");
      for (Outcome o : s.result.outcomes()) {
        say("  %s%n", o.output().resolve("adapters"));
      }
      say("Report: %s%n", file.toAbsolutePath());
    }

    void say(String format, Object... values) {
      out.printf(Locale.ROOT, format, values);
      out.flush();
    }
  }

  private static LoraConfig lora() {
    return LoraConfig.builder().rank(8).alpha(16).build();
  }

  private static Hyperparameters hyperparameters(long seed) {
    return Hyperparameters.builder()
        .learningRate(2e-3)
        .schedule("cosine 0.05", LearningRateSchedule.cosine(0.05))
        .examplesPerStep(16)
        .epochs(1)
        .seed(seed)
        .build();
  }
}
