package org.tune4j.eval;

import com.google.common.collect.ImmutableList;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.BooleanSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.progress.ProgressListener;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.strategies.PlanContext;
import org.tune4j.strategies.TrainingStrategy;

/**
 * The number of tokens that every strategy of an {@link Experiment} trains on.
 *
 * @param meanTokens mean number of tokens per training example, by task
 * @param tokens the budget; 0 for that of the epochs over all tasks
 */
record TokenBudget(
    ImmutableList<Task> tasks,
    Hyperparameters hyperparameters,
    Map<String, Double> meanTokens,
    long tokens) {
  private static final Logger LOG = LoggerFactory.getLogger(Experiment.class);
  private static final double TOLERANCE = 0.005;

  /**
   * Measures the mean length of each task's examples.
   *
   * @throws java.util.concurrent.CancellationException if it is cancelled
   */
  static TokenBudget of(
      LanguageModel model,
      ImmutableList<Task> tasks,
      Hyperparameters h,
      long tokens,
      ProgressListener progress,
      BooleanSupplier cancelled) {
    ExampleEncoder encoder = model.encoder(h.maxLength(), h.lengthPolicy(), h.learnedTurns());
    Map<String, Double> mean = new LinkedHashMap<>();
    for (Task t : tasks) {
      EncodingReport report =
          encoder.encode(t, Task.Split.TRAIN, example -> {}, progress, cancelled);
      mean.put(t.name(), (double) report.tokens() / Math.max(1, report.examples()));
    }
    return new TokenBudget(tasks, h, mean, tokens);
  }

  /**
   * Returns hyperparameters with which the strategy's plan meets the budget as closely as possible.
   */
  Hyperparameters fit(TrainingStrategy strategy) {
    long budget = tokens;
    if (budget == 0) {
      PlanContext context = PlanContext.of(tasks, hyperparameters);
      double sum = 0;
      for (Task t : tasks) {
        sum += context.examples(t) * meanTokens.get(t.name());
      }
      budget = Math.round(sum);
    }
    Hyperparameters best = hyperparameters;
    double smallestError = Double.POSITIVE_INFINITY;
    Hyperparameters tried = hyperparameters;
    for (int round = 0; round < 8 && smallestError > TOLERANCE; round++) {
      long planned = strategy.plan(PlanContext.of(tasks, tried)).tokens(meanTokens);
      double error = Math.abs((double) planned / budget - 1);
      if (error < smallestError) {
        smallestError = error;
        best = tried;
      }
      tried = tried.toBuilder().epochs(tried.epochs() * budget / planned).build();
    }
    if (smallestError > 10 * TOLERANCE) {
      LOG.warn(
          "strategy '{}' differs by {} % from the budget of {} tokens",
          strategy.name(), Math.round(100 * smallestError), budget);
    }
    return best;
  }
}
