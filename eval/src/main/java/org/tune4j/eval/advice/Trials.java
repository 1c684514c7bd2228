package org.tune4j.eval.advice;

import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.CancellationException;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.io.FileNames;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.eval.Evaluator;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;

/** Trains candidates to the end, and scores them on the validation splits. */
final class Trials {
  private final Request request;
  private final Path root;
  private final AdviceProgress progress;

  /**
   * Trials of a request.
   *
   * @param root directory in which each candidate has a folder of its name; a run that is there
   *     already is continued
   */
  Trials(Request request, Path root, AdviceProgress progress) {
    this.request = request;
    this.root = root;
    this.progress = progress;
  }

  /**
   * Trains a candidate.
   *
   * @throws org.tune4j.core.train.TrainingException if training diverges
   * @throws CancellationException if cancelled
   */
  Trial run(Assessment candidate) throws IOException {
    long start = System.nanoTime();
    Path output = root.resolve(FileNames.of(candidate.name()));
    String activity = "training by " + candidate.name();
    progress.begin(activity, 1);
    try (FineTuningResult result =
        tuner(candidate, output)
            .listener(new Steps(activity, candidate.price().steps()))
            .cancelled(progress::cancelled)
            .run()) {
      if (!result.completed()) {
        progress.check();
        throw new CancellationException("the recommendation was cancelled");
      }
      Evaluator evaluator =
          Evaluator.of(result.model())
              .maxLength(candidate.hyperparameters().maxLength())
              .learnedTurns(candidate.hyperparameters().learnedTurns())
              .cancelled(progress::cancelled);
      return new Trial(
          candidate.name(),
          evaluator.evaluateAll(request.tasks(), Split.VALIDATION, result::adaptersFor),
          result.training().tokens(),
          (System.nanoTime() - start) / 1e9,
          output);
    }
  }

  /** Returns a fine-tuner that does a candidate's run, or takes it over if it is done. */
  private FineTuner tuner(Assessment candidate, Path output) {
    return request.tuner(candidate).output(output).resume();
  }

  /** Tells steps as progress. */
  private final class Steps implements TrainingListener {
    private final String activity;
    private final double total;
    private long done;

    Steps(String activity, long total) {
      this.activity = activity;
      this.total = Math.max(1, total);
    }

    @Override
    public void onStep(StepRecord step) {
      done++;
      progress.within(activity, Math.min(1, done / total));
    }
  }
}
