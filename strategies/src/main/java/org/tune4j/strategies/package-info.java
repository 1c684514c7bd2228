/** Strategies for training several tasks, and the entry point, {@code FineTuner}. */
package org.tune4j.strategies;
