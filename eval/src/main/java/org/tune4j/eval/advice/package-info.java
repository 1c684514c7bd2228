/**
 * Which way of training several tasks pays: what the tasks are like, how much they have in common,
 * what each plan costs on this machine, and a recommendation with its reasons.
 *
 * <p>{@link org.tune4j.eval.advice.StrategyRecommender} is where to begin.
 */
package org.tune4j.eval.advice;
