/** Language models, their projections, and the interface that adapters implement. */
package org.tune4j.core.model;
