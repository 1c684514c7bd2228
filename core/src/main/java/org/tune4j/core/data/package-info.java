/** Tasks and their examples, from the formats that people have, and their encoding as tokens. */
package org.tune4j.core.data;
