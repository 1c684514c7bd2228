/**
 * What tasks learn together, predicted for every subset of them without training on each: {@link
 * org.tune4j.eval.affinity.LinearisedFineTuning} is where to begin.
 */
package org.tune4j.eval.affinity;
