/** Recorded runs of transformers and PEFT, and how far another computation is from them. */
package org.tune4j.core.golden;
