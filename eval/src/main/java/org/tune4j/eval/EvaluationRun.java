package org.tune4j.eval;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.TaskEncoder;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.progress.ProgressListener;
import org.tune4j.core.text.Tokenizer;

/** The evaluation of one task with some adapters, and its progress and cancellation. */
record EvaluationRun(
    AdaptableModel model,
    Task task,
    List<? extends Adapter> adapters,
    TaskEncoder encoder,
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

  /** Returns the model as one that is asked in tokens. */
  LanguageModel language() {
    return LanguageModel.of(model);
  }

  /** Returns what makes tokens of texts. */
  ExampleEncoder texts() {
    if (encoder instanceof ExampleEncoder e) {
      return e;
    }
    throw new IllegalArgumentException(model.name() + " has no tokens to say texts by");
  }

  /** Returns what a model answers by itself; a label is right or wrong. */
  List<Prediction> answered(
      AdaptableModel.Answers answers, List<Example> examples, Metric otherwise) {
    List<Prediction> predictions = new ArrayList<>();
    int atOnce = Math.max(1, tokensPerPass / 2);
    for (int from = 0; from < examples.size(); from += atOnce) {
      requireNotCancelled();
      List<Example> chunk = examples.subList(from, Math.min(from + atOnce, examples.size()));
      List<String> said = answers.of(task, chunk, adapters);
      for (int i = 0; i < chunk.size(); i++) {
        String expected = chunk.get(i).completion();
        double score =
            task.type() == Task.Type.CLASSIFICATION
                ? (said.get(i).equals(expected) ? 1 : 0)
                : otherwise.score(List.of(said.get(i)), List.of(expected));
        predictions.add(new Prediction(chunk.get(i).prompt(), expected, said.get(i), score));
      }
      reportProgress(predictions.size(), examples.size());
    }
    return predictions;
  }

  /** Replaces an empty prompt by the token that begins a text. */
  int[] orStart(int[] ids) {
    Tokenizer tokenizer = language().tokenizer();
    return ids.length > 0
        ? ids
        : new int[] {tokenizer.bos().orElseGet(() -> tokenizer.eos().iterator().next())};
  }
}
