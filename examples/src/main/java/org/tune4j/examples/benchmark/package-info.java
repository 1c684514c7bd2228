/**
 * Measures the quality of the advice: scenarios, the scores of each strategy in them, and the
 * advice.
 */
package org.tune4j.examples.benchmark;
