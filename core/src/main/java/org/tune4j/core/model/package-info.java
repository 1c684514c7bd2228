/** Language models, their projections, generation, and the interface of adapters. */
package org.tune4j.core.model;
