/** Tasks made from WordNet's dictionary files. */
package org.tune4j.examples.wordnet;
