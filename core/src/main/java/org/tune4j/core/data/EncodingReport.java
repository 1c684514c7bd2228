package org.tune4j.core.data;

/**
 * The result of encoding a split.
 *
 * @param examples examples encoded
 * @param truncated how many of these have a shortened prompt or text
 * @param skipped examples left out because they are too long
 * @param tokens tokens of the encoded examples
 * @param lossTokens how many of these carry loss
 * @param longest tokens of the longest example
 */
public record EncodingReport(
    int examples, int truncated, int skipped, long tokens, long lossTokens, int longest) {}
