package org.tune4j.eval;

import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.progress.ProgressListener;
import org.tune4j.core.text.Tokenizer;

/** The evaluation of one task with some adapters, and its progress and cancellation. */
record EvaluationRun(
    LanguageModel model,
    Task task,
    List<? extends Adapter> adapters,
    ExampleEncoder encoder,
    int tokensPerPass,
    ProgressListener progress,
    BooleanSupplier cancelled) {
  /** Reports progress. */
  void reportProgress(int scored, int total) {
    progress.onProgress(
        new Progress("evaluating " + task.name(), scored, total, Progress.Unit.EXAMPLES));
  }

  boolean isCancelled() {
    return cancelled.getAsBoolean() || Thread.currentThread().isInterrupted();
  }

  void requireNotCancelled() {
    if (isCancelled()) {
      throw new CancellationException("the evaluation of task '" + task.name() + "' was cancelled");
    }
  }

  /** Returns the error of an example whose score is NaN. */
  IllegalStateException notANumber(int example, String found) {
    return new IllegalStateException(
        "task '%s', example %d: %s; the model or an adapter has weights that are not finite"
            .formatted(task.name(), example, found));
  }

  /** Replaces an empty prompt by the token that begins a text. */
  int[] orStart(int[] ids) {
    Tokenizer tokenizer = model.tokenizer();
    return ids.length > 0
        ? ids
        : new int[] {tokenizer.bos().orElseGet(() -> tokenizer.eos().iterator().next())};
  }
}
