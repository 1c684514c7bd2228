/** Tokenizers, conversations and chat templates. */
package org.tune4j.core.text;
