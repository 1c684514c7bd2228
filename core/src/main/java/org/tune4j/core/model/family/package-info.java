/**
 * The supported model families, one file each: how its {@code config.json} is read, its layers in
 * the order in which data flows, and the names of its tensors. Variations of Llama share {@link
 * org.tune4j.core.model.family.LlamaLike} and override what differs.
 */
package org.tune4j.core.model.family;
