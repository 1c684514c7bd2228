/** A report of what was measured, as one page to open in a browser. */
package org.tune4j.eval.report;
