package org.tune4j.strategies;

import com.google.common.collect.ImmutableSet;

/**
 * A prediction of how well a task does when an adapter learns some tasks together: measured
 * affinities ({@link Affinity}), or losses that a regression predicts (GradEx, arXiv 2409.19458;
 * EnsembleLoRA, arXiv 2505.21930). {@link Grouped#byScore} divides tasks by it.
 *
 * <p>The same arguments give the same value.
 */
@FunctionalInterface
public interface SubsetScore {
  /**
   * Returns the score of a task, the higher the better. Scores of different tasks are added up:
   * they are on one scale.
   *
   * @param task one of {@code together}
   * @param together the tasks that one adapter learns
   */
  double of(String task, ImmutableSet<String> together);
}
