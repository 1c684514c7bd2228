package org.tune4j.eval;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder;

/** Predicts the likeliest label of each example of a classification. */
final class LabelPredictions {
  private final EvaluationRun run;
  private final List<Example> examples;
  private final boolean lengthNormalization;
  private final List<String> labels;
  private final List<Prediction> predictions = new ArrayList<>();
  private final List<ExampleEncoder.Choices> chunk = new ArrayList<>();

  private LabelPredictions(EvaluationRun run, List<Example> examples, boolean lengthNormalization) {
    this.run = run;
    this.examples = examples;
    this.lengthNormalization = lengthNormalization;
    this.labels = run.task().labels().asList();
  }

  static List<Prediction> of(
      EvaluationRun run, List<Example> examples, boolean lengthNormalization) {
    return new LabelPredictions(run, examples, lengthNormalization).predict();
  }

  private List<Prediction> predict() {
    int rows = 0;
    for (Example e : examples) {
      ExampleEncoder.Choices choices = run.texts().choices(e.prompt(), labels);
      int needed = choices.trunk().length;
      for (int[] c : choices.continuations()) {
        needed += c.length - 1;
      }
      if (rows > 0 && rows + needed > run.tokensPerPass()) {
        flush();
        rows = 0;
      }
      chunk.add(choices);
      rows += needed;
    }
    flush();
    return predictions;
  }

  /** Scores the current chunk of prompts and clears it. */
  private void flush() {
    run.requireNotCancelled();
    List<float[]> scores =
        run.language()
            .scoreContinuations(
                chunk.stream().map(c -> run.orStart(c.trunk())).toList(),
                chunk.stream().map(ExampleEncoder.Choices::continuations).toList(),
                chunk.stream().map(ExampleEncoder.Choices::unlearned).toList(),
                run.adapters(),
                run.tokensPerPass());
    for (int i = 0; i < chunk.size(); i++) {
      Example e = examples.get(predictions.size());
      String predicted = labels.get(best(chunk.get(i), scores.get(i)));
      predictions.add(
          new Prediction(
              e.prompt(), e.completion(), predicted, predicted.equals(e.completion()) ? 1 : 0));
    }
    chunk.clear();
    run.reportProgress(predictions.size(), examples.size());
  }

  private int best(ExampleEncoder.Choices choices, float[] ofLabels) {
    int best = -1;
    double highest = Double.NEGATIVE_INFINITY;
    for (int c = 0; c < ofLabels.length; c++) {
      double score = lengthNormalization ? ofLabels[c] / choices.learned(c) : ofLabels[c];
      if (score > highest) {
        highest = score;
        best = c;
      }
    }
    if (best < 0) {
      throw run.notANumber(
          predictions.size(), "the labels' log-likelihoods are " + Arrays.toString(ofLabels));
    }
    return best;
  }
}
