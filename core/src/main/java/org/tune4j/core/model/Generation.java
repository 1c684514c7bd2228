package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;

/**
 * The text generated from one prompt.
 *
 * @param prompt the prompt's tokens
 * @param tokens the generated tokens, including an end token
 * @param text the generated text without special tokens and without the stop sequence; empty if the
 *     model has no tokenizer
 * @param finish why it ended
 */
public record Generation(
    ImmutableList<Integer> prompt, ImmutableList<Integer> tokens, String text, Finish finish) {
  /** Why generation ended. */
  public enum Finish {
    /** The model produced an end token. */
    END_TOKEN,
    /** A stop sequence appeared. */
    STOP_SEQUENCE,
    /** {@link GenerationConfig#maxNewTokens} tokens were generated. */
    LENGTH,
    /** The model's context is full. */
    CONTEXT_FULL,
    /** The caller cancelled, or the thread was interrupted. */
    CANCELLED
  }
}
