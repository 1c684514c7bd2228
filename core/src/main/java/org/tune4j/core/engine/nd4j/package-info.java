/** The portable engine on any ND4J backend, and the storage that engines on ND4J buffers share. */
package org.tune4j.core.engine.nd4j;
