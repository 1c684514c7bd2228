/** Evaluation: metrics, and experiments that compare strategies. */
package org.tune4j.eval;
