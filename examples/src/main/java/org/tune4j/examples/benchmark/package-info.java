/**
 * Measures the advice: scenarios, what each strategy really scores in them, and what was advised.
 */
package org.tune4j.examples.benchmark;
