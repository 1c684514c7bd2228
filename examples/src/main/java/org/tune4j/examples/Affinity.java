package org.tune4j.examples;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import com.google.common.collect.Sets;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import org.apache.commons.math3.stat.correlation.PearsonsCorrelation;
import org.apache.commons.math3.stat.correlation.SpearmansCorrelation;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Pass;
import org.tune4j.core.model.PassLosses;
import org.tune4j.core.progress.ProgressListener;
import org.tune4j.core.train.ConsoleProgress;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.eval.affinity.LinearisedFineTuning;
import org.tune4j.eval.affinity.PredictedLosses;
import org.tune4j.examples.common.Interruption;
import org.tune4j.examples.common.ModelOptions;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.Grouped;
import org.tune4j.strategies.MultiTask;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Predicts what tasks gain from being learned together, and can hold it against training. */
@Command(
    name = "affinity",
    description = {
      "Predicts what every task gains from being learned together with others, from gradients at one common adapter,"
          + " and the groups that follow from it (docs/affinity.md)."
    })
public final class Affinity implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private ModelOptions model;
  @Mixin private TaskOptions tasks;
  @Mixin private AdapterOptions adapter;
  @Mixin private TrainingOptions training;

  @Option(
      names = "--share",
      paramLabel = "X",
      defaultValue = "0.1",
      description = "Part of training on all tasks together that the common adapter gets.")
  private double share;

  @Option(
      names = "--examples",
      paramLabel = "N",
      defaultValue = "64",
      description = "Most training examples of each task that gradients are taken of.")
  private int examples;

  @Option(
      names = "--held",
      paramLabel = "N",
      defaultValue = "48",
      description = "Most validation examples of each task that losses are predicted of.")
  private int held;

  @Option(
      names = "--most-groups",
      paramLabel = "N",
      defaultValue = "0",
      description = "Most groups; 0: as many as there are tasks.")
  private int mostGroups;

  @Option(
      names = "--verify",
      paramLabel = "N",
      defaultValue = "0",
      description = "Train every subset of up to so many tasks, and compare; 0: none.")
  private int verify;

  @Override
  public Integer call() throws IOException {
    ImmutableList<Task> read = tasks.read(model, spec.commandLine().getErr());
    PrintWriter out = spec.commandLine().getOut();
    Interruption interruption = Interruption.install();
    Hyperparameters h = training.hyperparameters();
    try (LanguageModel m = model.load()) {
      long start = System.nanoTime();
      PredictedLosses predicted =
          LinearisedFineTuning.of(m)
              .tasks(read)
              .lora(adapter.config())
              .hyperparameters(h)
              .warmUp(share)
              .trainExamples(examples)
              .validationExamples(held)
              .seed(h.seed())
              .progress(ConsoleProgress.toStandardError())
              .cancelled(interruption::requested)
              .measure();
      double measured = seconds(start);
      start = System.nanoTime();
      out.println(
          "Predicted: loss at the common adapter and alone, and the share of the latter that each other task takes away");
      out.print(predicted);
      Grouped grouped =
          Grouped.byScore(predicted.tasks(), predicted, mostGroups == 0 ? read.size() : mostGroups);
      out.printf(
          Locale.ROOT,
          "Groups: %s%nMeasured in %.1f s, predicted in %.1f s%n",
          grouped.groups(),
          measured,
          seconds(start));
      out.flush();
      if (verify > 0) {
        verify(m, read, h, predicted, interruption);
      }
    } finally {
      interruption.close();
    }
    return 0;
  }

  private static double seconds(long start) {
    return (System.nanoTime() - start) / 1e9;
  }

  /** Predicted and true values of one kind. */
  private static final class Points {
    final List<Double> predicted = new ArrayList<>();
    final List<Double> trained = new ArrayList<>();

    void add(double p, double t) {
      predicted.add(p);
      trained.add(t);
    }

    double pearson() {
      return new PearsonsCorrelation().correlation(array(predicted), array(trained));
    }

    double spearman() {
      return new SpearmansCorrelation().correlation(array(predicted), array(trained));
    }

    /** Returns the mean of |predicted - trained| / trained. */
    double relativeError() {
      double sum = 0;
      for (int i = 0; i < trained.size(); i++) {
        sum += Math.abs(predicted.get(i) - trained.get(i)) / trained.get(i);
      }
      return sum / trained.size();
    }

    private static double[] array(List<Double> values) {
      return values.stream().mapToDouble(Double::doubleValue).toArray();
    }
  }

  private void verify(
      LanguageModel m,
      ImmutableList<Task> all,
      Hyperparameters h,
      PredictedLosses predicted,
      Interruption interruption)
      throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    Points losses = new Points();
    Points gains = new Points();
    double[] alone = new double[all.size()];
    long start = System.nanoTime();
    for (int size = 1; size <= Math.min(verify, all.size()); size++) {
      for (Set<Task> subset : Sets.combinations(new LinkedHashSet<>(all), size)) {
        ImmutableSet<String> names =
            subset.stream().map(Task::name).collect(ImmutableSet.toImmutableSet());
        double[] trained = trained(m, List.copyOf(subset), h, interruption);
        int at = 0;
        for (Task t : subset) {
          double loss = trained[at++];
          int i = all.indexOf(t);
          losses.add(predicted.loss(t.name(), names), loss);
          if (size == 1) {
            alone[i] = loss;
          } else {
            gains.add(predicted.of(t.name(), names), 1 - loss / alone[i]);
          }
          out.printf(
              Locale.ROOT,
              "%s in %s: loss predicted %.3f, trained %.3f; gain predicted %+.3f, trained %+.3f%n",
              t.name(),
              names,
              predicted.loss(t.name(), names),
              loss,
              predicted.of(t.name(), names),
              1 - loss / alone[i]);
          out.flush();
        }
      }
    }
    out.printf(
        Locale.ROOT,
        "%d losses: mean relative error %.3f, correlation %.3f%n",
        losses.trained.size(),
        losses.relativeError(),
        losses.pearson());
    if (verify > 1) {
      out.printf(
          Locale.ROOT,
          "%d gains: correlation %.3f, of ranks %.3f%n",
          gains.trained.size(),
          gains.pearson(),
          gains.spearman());
    }
    out.printf(Locale.ROOT, "Trained in %.1f s%n", seconds(start));
    out.flush();
  }

  /** Trains tasks together; returns their validation losses in nats per learned token. */
  private double[] trained(
      LanguageModel m, List<Task> subset, Hyperparameters h, Interruption interruption)
      throws IOException {
    Path directory = Files.createTempDirectory("tune4j-affinity");
    try (FineTuningResult result =
        FineTuner.of(m)
            .tasks(subset)
            .lora(adapter.config())
            .hyperparameters(h)
            .strategy(MultiTask.proportional())
            .output(directory)
            .overwrite()
            .cancelled(interruption::requested)
            .run()) {
      if (interruption.requested()) {
        throw new CancellationException("the comparison with training was cancelled");
      }
      double[] losses = new double[subset.size()];
      for (int i = 0; i < losses.length; i++) {
        Task t = subset.get(i);
        List<EncodedExample> validation =
            m.encoder(h.maxLength(), h.lengthPolicy(), h.learnedTurns())
                .encode(t, Task.Split.VALIDATION, ProgressListener.none(), () -> false)
                .examples();
        List<Adapter> served = result.adaptersFor(t.name());
        losses[i] = PassLosses.mean(Pass.divide(validation, served, h.tokensPerPass()), m::losses);
      }
      return losses;
    } finally {
      AtomicFiles.deleteRecursively(directory);
    }
  }
}
