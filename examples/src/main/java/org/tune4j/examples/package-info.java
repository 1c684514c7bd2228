/** Command-line examples: {@code mvn -q compile exec:java -Dexec.args="NAME ..."}. */
package org.tune4j.examples;
