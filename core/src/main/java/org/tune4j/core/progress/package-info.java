/** How long work tells how far it is. */
package org.tune4j.core.progress;
