package org.tune4j.core.model;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.tune4j.core.engine.SplitMix64;

/** Chooses tokens from logits. */
final class Sampler {
  private final GenerationConfig config;
  private final SplittableRandom random;

  Sampler(GenerationConfig config, int sequence) {
    this.config = config;
    this.random = new SplittableRandom(config.seed() + SplitMix64.GAMMA * sequence);
  }

  /**
   * Returns the next token.
   *
   * @param logits of several sequences
   * @param from first logit of this one
   * @param vocabulary number of its logits
   * @throws ArithmeticException if a logit is NaN or none is finite
   */
  int next(float[] logits, int from, int vocabulary) {
    int best = 0;
    for (int i = 0; i < vocabulary; i++) {
      float l = logits[from + i];
      if (Float.isNaN(l) || l == Float.POSITIVE_INFINITY) {
        throw new ArithmeticException(
            "the logit of token %d is %s: the weights or an adapter are corrupt".formatted(i, l));
      }
      if (l > logits[from + best]) { // the first of equals, like torch.argmax
        best = i;
      }
    }
    if (config.temperature() == 0) {
      return best;
    }
    int candidatesLeft = config.topK() > 0 ? Math.min(config.topK(), vocabulary) : vocabulary;
    int[] candidates =
        candidatesLeft < vocabulary || config.topP() < 1 ? sorted(logits, from, vocabulary) : null;
    double[] weights = new double[candidatesLeft];
    double sum = 0;
    for (int i = 0; i < candidatesLeft; i++) {
      int token = candidates == null ? i : candidates[i];
      weights[i] = Math.exp((logits[from + token] - logits[from + best]) / config.temperature());
      sum += weights[i];
    }
    if (config.topP() < 1) {
      double needed = config.topP() * sum;
      sum = 0;
      int n = 0;
      while (n < candidatesLeft && (n == 0 || sum < needed)) {
        sum += weights[n++];
      }
      candidatesLeft = n;
    }
    double draw = random.nextDouble() * sum;
    int i = 0;
    while (i < candidatesLeft - 1 && draw >= weights[i]) {
      draw -= weights[i++];
    }
    return candidates == null ? i : candidates[i];
  }

  /** Returns all tokens, likeliest first, ties by id. */
  private static int[] sorted(float[] logits, int from, int vocabulary) {
    long[] keys = new long[vocabulary];
    for (int i = 0; i < vocabulary; i++) {
      int bits = Float.floatToIntBits(-logits[from + i]);
      int ordered = bits < 0 ? bits ^ Integer.MAX_VALUE : bits; // sorts like the float
      keys[i] = ((long) ordered << 32) | i;
    }
    Arrays.sort(keys);
    int[] tokens = new int[vocabulary];
    for (int i = 0; i < vocabulary; i++) {
      tokens[i] = (int) keys[i];
    }
    return tokens;
  }
}
