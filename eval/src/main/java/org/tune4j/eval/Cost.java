package org.tune4j.eval;

import java.util.Locale;
import org.tune4j.core.train.TrainingResult;
import org.tune4j.strategies.FineTuningResult;

/**
 * The cost of training.
 *
 * @param tokens number of tokens trained on, without filler
 * @param examples number of examples trained on
 * @param seconds of training, without validation, evaluation and saving
 * @param peakBytes peak off-heap memory of training, including the base model's weights
 * @param adapterBytes size of all adapters' parameters in F32, as saved
 */
public record Cost(long tokens, long examples, double seconds, long peakBytes, long adapterBytes) {
  /** Returns the cost of a run. */
  public static Cost of(FineTuningResult result) {
    TrainingResult t = result.training();
    return new Cost(t.tokens(), t.examples(), t.seconds(), t.peakBytes(), result.adapterBytes());
  }

  /** Returns the tokens trained on per second of training. */
  public double tokensPerSecond() {
    return tokens / seconds;
  }

  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "%,d tokens in %.1f s (%,.0f tokens/s), peak %,d MiB, adapters %,d KiB",
        tokens,
        seconds,
        tokensPerSecond(),
        peakBytes >> 20,
        adapterBytes >> 10);
  }
}
