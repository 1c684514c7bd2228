/** Mains that a newcomer runs. */
package org.tune4j.examples;
