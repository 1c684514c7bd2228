package org.tune4j.eval;

/**
 * The prediction for one example.
 *
 * @param prompt the model's input; empty for text
 * @param expected the reference; for text, the text itself
 * @param predicted the model's answer; empty for text
 * @param score in [0, 1], higher is better: by default 1 if correct and 0 if not; for text, the
 *     geometric mean of its tokens' probabilities
 */
public record Prediction(String prompt, String expected, String predicted, double score) {}
