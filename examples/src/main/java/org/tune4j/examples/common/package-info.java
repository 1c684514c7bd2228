/** What commands share: the bundled model and tasks, and options that most of them have. */
package org.tune4j.examples.common;
