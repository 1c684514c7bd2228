/**
 * The families of models that can be run, a file each: what its {@code config.json} means, its
 * layers in the order in which data flows, and the names of its tensors. Families that are a Llama
 * with changes share {@link org.tune4j.core.model.family.LlamaLike} and say what they change.
 */
package org.tune4j.core.model.family;
