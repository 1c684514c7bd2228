package org.tune4j.examples.benchmark;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.eval.advice.Features;
import org.tune4j.examples.common.Interruption;
import org.tune4j.examples.common.ModelOptions;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Compares the advice with the results of fully trained strategies. */
@Command(
    name = "advice-benchmark",
    subcommands = {
      AdviceBenchmark.ScenariosCommand.class,
      AdviceBenchmark.FeaturesCommand.class,
      AdviceBenchmark.TruthCommand.class,
      AdviceBenchmark.FitCommand.class,
      AdviceBenchmark.AdviceCommand.class,
      AdviceBenchmark.ReportCommand.class
    },
    description = {
      "Measures the quality of the advice: trains every strategy to the end in scenarios of many kinds, and compares the recommended one with the best. See docs/advice-benchmark.md."
    })
public final class AdviceBenchmark {
  @Command(name = "scenarios", description = "Lists the scenarios.")
  static final class ScenariosCommand implements Callable<Integer> {
    @Spec private CommandSpec spec;

    @Override
    public Integer call() throws IOException {
      PrintWriter out = spec.commandLine().getOut();
      for (Scenario s : Scenarios.all()) {
        out.printf(Locale.ROOT, "%s: %s epochs, %.0f passes%n", s.id(), s.epochs(), s.passes());
        for (Part p : s.parts()) {
          out.printf("  %s%n", p);
        }
      }
      out.flush();
      return 0;
    }
  }

  @Command(
      name = "features",
      description = "Writes the features of each scenario, which are known before training.")
  static final class FeaturesCommand implements Callable<Integer> {
    @Option(
        names = "--kept",
        paramLabel = "FILE",
        defaultValue = "benchmarks/advice/features.jsonl",
        description = "JSON lines file to write. Default: ${DEFAULT-VALUE}.")
    private Path kept;

    @Override
    public Integer call() throws IOException {
      Files.deleteIfExists(kept);
      for (Scenario s : Scenarios.all()) {
        Lines.append(
            kept,
            new Known(
                s.id(),
                TruthRuns.settings(s),
                Features.of(s.tasks(), s.hyperparameters(0)).values()));
      }
      return 0;
    }
  }

  @Command(
      name = "truth",
      description = {
        "Trains every strategy in every scenario with several seeds and appends the test scores to a file."
            + " Takes hours. Skips the runs that the file contains; Ctrl-C stops it cleanly."
      })
  static final class TruthCommand implements Callable<Integer> {
    @Spec private CommandSpec spec;
    @Mixin private ModelOptions model;
    @Mixin private Portion portion;

    @Option(
        names = "--kept",
        paramLabel = "FILE",
        defaultValue = "benchmarks/advice/truth.jsonl",
        description = "JSON lines file to read and append to. Default: ${DEFAULT-VALUE}.")
    private Path kept;

    @Option(
        names = "--seeds",
        paramLabel = "N",
        defaultValue = "3",
        description = "Seeds of each run. Default: ${DEFAULT-VALUE}.")
    private int seeds;

    @Option(
        names = "--strategy",
        paramLabel = "NAME",
        description = "Only these strategies; may be given several times.")
    private List<String> strategies = new ArrayList<>();

    @Override
    public Integer call() throws IOException {
      PrintWriter out = spec.commandLine().getOut();
      List<String> names = new ArrayList<>(strategies);
      if (names.isEmpty()) {
        Contender.names().forEach(names::add);
      }
      List<TruthRuns.Run> runs = portion.of(TruthRuns.all(portion.scenarios(), names, seeds));
      Interruption interruption = Interruption.install();
      try (LanguageModel m = model.load()) {
        boolean finished =
            new TruthRuns(m, kept, interruption::requested)
                .run(
                    runs,
                    t -> {
                      out.printf(
                          Locale.ROOT,
                          "%s %s seed %d: %.3f, %.1f s%n",
                          t.scenario(),
                          t.strategy(),
                          t.seed(),
                          t.score(),
                          t.seconds());
                      out.flush();
                    });
        return finished ? 0 : 1;
      } finally {
        interruption.close();
      }
    }
  }

  @Command(
      name = "fit",
      description = "Fits the constants of the advice to the scenarios reserved for fitting.")
  static final class FitCommand implements Callable<Integer> {
    @Option(
        names = "--kept",
        paramLabel = "DIR",
        defaultValue = "benchmarks/advice",
        description = "Directory of truth.jsonl and features.jsonl. Default: ${DEFAULT-VALUE}.")
    private Path kept;

    @Option(
        names = "--output",
        paramLabel = "FILE",
        defaultValue = "eval/src/main/resources/org/tune4j/eval/advice/forecast.json",
        description = "File for the constants. Default: ${DEFAULT-VALUE}.")
    private Path output;

    @Override
    public Integer call() throws IOException {
      List<Kept.Measured> measured =
          Kept.read(kept.resolve("truth.jsonl"), kept.resolve("features.jsonl"), Scenario.Use.FIT);
      AtomicFiles.writeString(output, Fit.of(measured).toPrettyString() + "\n");
      return 0;
    }
  }

  @Command(
      name = "advice",
      description = {
        "Requests advice in every scenario, by rules and by experiment, and appends it to a file. Skips the requests that the file contains."
      })
  static final class AdviceCommand implements Callable<Integer> {
    @Spec private CommandSpec spec;
    @Mixin private ModelOptions model;
    @Mixin private Portion portion;

    @Option(
        names = "--kept",
        paramLabel = "FILE",
        defaultValue = "benchmarks/advice/advised.jsonl",
        description = "JSON lines file to read and append to. Default: ${DEFAULT-VALUE}.")
    private Path kept;

    @Option(
        names = "--seeds",
        paramLabel = "N",
        defaultValue = "3",
        description = "Seeds of each experiment. Default: ${DEFAULT-VALUE}.")
    private int seeds;

    @Override
    public Integer call() throws IOException {
      PrintWriter out = spec.commandLine().getOut();
      Interruption interruption = Interruption.install();
      try (LanguageModel m = model.load()) {
        new AdviceRuns(m, kept, interruption::requested)
            .run(
                portion.of(AdviceRuns.all(portion.scenarios(), seeds)),
                a -> {
                  out.printf(
                      Locale.ROOT,
                      "%s %s seed %d: %s, %.2f, %.1f s%n",
                      a.scenario(),
                      a.level(),
                      a.seed(),
                      a.recommended(),
                      a.confidence(),
                      a.seconds());
                  out.flush();
                });
        return 0;
      } catch (CancellationException e) {
        return 1;
      } finally {
        interruption.close();
      }
    }
  }

  @Command(
      name = "report",
      description = {
        "Writes the tables of docs/advice-benchmark.md from the recorded results: the regret of the advice and of fixed rules in the scenarios not used for fitting."
      })
  static final class ReportCommand implements Callable<Integer> {
    private static final String BEGIN = "<!-- written by advice-benchmark report -->\n";
    private static final String END = "<!-- end -->\n";

    @Spec private CommandSpec spec;

    @Option(
        names = "--kept",
        paramLabel = "DIR",
        defaultValue = "benchmarks/advice",
        description =
            "Directory of truth.jsonl, features.jsonl and advised.jsonl. Default: ${DEFAULT-VALUE}.")
    private Path kept;

    @Option(
        names = "--page",
        paramLabel = "FILE",
        defaultValue = "docs/advice-benchmark.md",
        description = "Page whose tables are replaced. Default: ${DEFAULT-VALUE}.")
    private Path page;

    @Option(
        names = "--figure",
        paramLabel = "FILE",
        defaultValue = "docs/advice-benchmark.svg",
        description = "Figure to replace. Default: ${DEFAULT-VALUE}.")
    private Path figure;

    @Override
    public Integer call() throws IOException {
      List<Advised> advised = Lines.read(kept.resolve("advised.jsonl"), Advised.class);
      StringBuilder tables = new StringBuilder(BEGIN);
      for (Scenario.Use use : List.of(Scenario.Use.REPORT, Scenario.Use.FIT)) {
        Verdicts verdicts =
            new Verdicts(
                Kept.read(kept.resolve("truth.jsonl"), kept.resolve("features.jsonl"), use),
                advised);
        tables.append(
            use == Scenario.Use.REPORT
                ? "## Scenarios that nothing was fitted to\n\n"
                : "## Scenarios that the constants were fitted to\n\n");
        if (verdicts.count() == 0) {
          tables.append("No advice was asked in these yet.\n\n");
          continue;
        }
        if (use == Scenario.Use.REPORT) {
          AtomicFiles.writeString(figure, RegretFigure.svg(verdicts.rules(), verdicts.count()));
        }
        tables.append(verdicts.regrets()).append('\n');
        tables.append(verdicts.calibration()).append('\n');
        tables.append(verdicts.cost()).append('\n');
        tables.append(verdicts.scenarios()).append('\n');
      }
      tables.append(END);
      String text = Files.readString(page);
      int from = text.indexOf(BEGIN);
      int to = text.indexOf(END);
      if (from < 0 || to < from) {
        throw new MalformedFileException(
            page,
            "",
            "no lines " + BEGIN.strip() + " and " + END.strip(),
            "a place for the tables");
      }
      AtomicFiles.writeString(
          page, text.substring(0, from) + tables + text.substring(to + END.length()));
      spec.commandLine().getOut().print(tables);
      spec.commandLine().getOut().flush();
      return 0;
    }
  }
}
