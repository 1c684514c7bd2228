/** Progress reports of long operations. */
package org.tune4j.core.progress;
