/** Shared by the commands: the bundled model and tasks, and common options. */
package org.tune4j.examples.common;
