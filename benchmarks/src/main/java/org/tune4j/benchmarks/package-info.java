/** Micro-benchmarks. */
package org.tune4j.benchmarks;
