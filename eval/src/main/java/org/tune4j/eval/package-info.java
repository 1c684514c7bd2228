/** Measuring, comparing, recommending and explaining. */
package org.tune4j.eval;
