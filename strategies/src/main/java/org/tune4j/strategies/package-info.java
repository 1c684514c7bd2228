/** Strategies of training several tasks, and the front door, {@code FineTuner}. */
package org.tune4j.strategies;
