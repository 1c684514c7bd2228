/**
 * Engines, and the tape that differentiates through them. {@link org.tune4j.core.engine.Engine} is
 * what an implementer writes, {@link org.tune4j.core.engine.Tape} what model code calls.
 */
package org.tune4j.core.engine;
