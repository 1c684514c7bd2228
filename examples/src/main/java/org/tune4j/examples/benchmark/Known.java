package org.tune4j.examples.benchmark;

import com.google.common.collect.ImmutableMap;

/**
 * The features of a scenario, which are known before training.
 *
 * @param scenario its id
 * @param settings hash, as in {@link Truth}
 * @param features by name
 */
public record Known(String scenario, String settings, ImmutableMap<String, Double> features) {}
