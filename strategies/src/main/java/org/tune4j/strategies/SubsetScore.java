package org.tune4j.strategies;

import com.google.common.collect.ImmutableSet;

/**
 * Predicts how well a task is learned if an adapter learns a set of tasks together: by measured
 * affinities ({@link Affinity}), or losses predicted by a regression (GradEx, arXiv 2409.19458;
 * EnsembleLoRA, arXiv 2505.21930). Used by {@link Grouped#byScore}.
 *
 * <p>Must be deterministic.
 */
@FunctionalInterface
public interface SubsetScore {
  /**
   * Returns the score of a task; higher is better. As scores of different tasks are added, they
   * must be on the same scale.
   *
   * @param task one of {@code together}
   * @param together the tasks that one adapter learns
   */
  double of(String task, ImmutableSet<String> together);
}
