package org.tune4j.eval.advice;

import java.util.List;
import org.tune4j.core.data.EncodedExample;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Routing;

/** Losses on held-out examples. */
final class Losses {
  private Losses() {}

  /** Returns the mean cross-entropy in nats per learned token. */
  static double mean(
      LanguageModel model, List<EncodedExample> examples, List<Adapter> adapters, int tokens) {
    double sum = 0;
    long n = 0;
    for (List<EncodedExample> part : Sample.passes(examples, tokens)) {
      Batch batch = Sample.pack(part, model);
      for (float loss : model.loss(batch, Routing.all(batch.rows(), adapters)).losses()) {
        sum += loss;
        n++;
      }
    }
    return sum / n;
  }
}
