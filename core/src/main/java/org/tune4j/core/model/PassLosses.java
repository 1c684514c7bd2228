package org.tune4j.core.model;

/**
 * Losses of a {@link Pass}, one for each target.
 *
 * @param items of each target, the index of its example in the pass, ascending
 * @param losses in nats (or what else the model minimises), unweighted
 */
public record PassLosses(int[] items, float[] losses) {}
