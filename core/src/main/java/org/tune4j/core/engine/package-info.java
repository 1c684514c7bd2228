/**
 * Engines, and the tape that differentiates their operations. Implementers write an {@link
 * org.tune4j.core.engine.Engine}, model code calls the {@link org.tune4j.core.engine.Tape}.
 */
package org.tune4j.core.engine;
