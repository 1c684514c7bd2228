package org.tune4j.eval;

/**
 * What a model said to one example.
 *
 * @param prompt what it was given; empty for a free text
 * @param expected what it was to say; of a free text, the text
 * @param predicted what it said; empty for a free text
 * @param score in [0, 1], higher is better: 1 if right and 0 if not; of a free text, the geometric
 *     mean of its tokens' probabilities
 */
public record Prediction(String prompt, String expected, String predicted, double score) {}
