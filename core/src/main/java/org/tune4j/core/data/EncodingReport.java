package org.tune4j.core.data;

/**
 * What encoding did to a split.
 *
 * @param examples examples encoded
 * @param truncated of these, with a shortened prompt or text
 * @param skipped left out as too long
 * @param tokens tokens of those encoded
 * @param lossTokens of these, with loss
 * @param longest tokens of the longest example
 */
public record EncodingReport(
    int examples, int truncated, int skipped, long tokens, long lossTokens, int longest) {}
