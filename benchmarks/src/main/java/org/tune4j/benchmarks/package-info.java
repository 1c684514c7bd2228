/** JMH benchmarks of engine operations. */
package org.tune4j.benchmarks;
