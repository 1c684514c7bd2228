/** Text to tokens and back, and chat templates. */
package org.tune4j.core.text;
