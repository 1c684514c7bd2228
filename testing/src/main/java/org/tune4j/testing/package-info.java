/**
 * For those who extend the library: what every engine, kind of adapter and training strategy keeps
 * to, as abstract tests to extend, and the comparison with runs recorded with transformers and
 * PEFT.
 */
package org.tune4j.testing;
