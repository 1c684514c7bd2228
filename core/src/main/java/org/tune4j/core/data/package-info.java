/** Tasks and their examples, the formats they are read from, and their encoding as tokens. */
package org.tune4j.core.data;
