/** Training: plans of stages, and the one trainer that executes them. */
package org.tune4j.core.train;
