/** Files: safetensors, sharded weights, atomic writes. */
package org.tune4j.core.io;
