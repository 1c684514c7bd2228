/** The HTML report of an experiment. */
package org.tune4j.eval.report;
