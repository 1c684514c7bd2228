package org.tune4j.testing;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Routing;

/**
 * Allowed relative errors of an engine compared with a run recorded in F32: each is about twice the
 * largest error on the recorded cases. PyTorch's own bfloat16 logits are off by 1.2e-2 to 2.9e-2 on
 * these; rounding errors accumulate over training steps.
 *
 * @param logits of logits and hidden states
 * @param loss of losses before training
 * @param gradients of each gradient tensor
 * @param curve of losses in training
 * @param norms of gradient norms in training
 * @param trained of logits and tensors after training
 * @param greedy how far a recorded token's logit may be below the largest one, relative to the
 *     logits' root mean square
 */
record ParityTolerance(
    double logits,
    double loss,
    double gradients,
    double curve,
    double norms,
    double trained,
    double greedy) {
  static ParityTolerance of(Precision precision) {
    double tight = ParityCheck.TIGHT;
    double loose = ParityCheck.LOOSE;
    return switch (precision) {
      case F32 -> new ParityTolerance(tight, tight, tight, loose, loose, loose, 0);
      case BF16 -> new ParityTolerance(3e-2, 4e-3, 0.12, 2e-2, 0.2, 0.12, 0.1);
      case INT8 -> new ParityTolerance(8e-2, 8e-3, 0.3, 2e-2, 0.3, 0.25, 0.2);
    };
  }

  /**
   * Returns how far a token's logit is below the largest one after a prompt, relative to the
   * logits' root mean square.
   */
  static double margin(
      LanguageModel model, int[] prompt, int token, List<? extends Adapter> adapters) {
    int n = prompt.length;
    int[] positions = IntStream.range(0, n).toArray();
    int[] targets = new int[n];
    Arrays.fill(targets, -1);
    Batch one = new Batch(prompt, positions, new int[] {0, n}, targets, new int[1], null);
    float[] logits =
        model.logits(one, Routing.all(n, List.copyOf(adapters))).dup('c').data().asFloat();
    int vocabulary = logits.length / n;
    double max = Double.NEGATIVE_INFINITY;
    double squares = 0;
    for (int i = logits.length - vocabulary; i < logits.length; i++) {
      max = Math.max(max, logits[i]);
      squares += (double) logits[i] * logits[i];
    }
    double below = max - logits[logits.length - vocabulary + token];
    return below / Math.sqrt(squares / vocabulary);
  }
}
