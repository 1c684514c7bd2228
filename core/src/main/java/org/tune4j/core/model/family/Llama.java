package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;

/** Llama 1 to 3 (Touvron et al. 2023) and models of its shape, such as SmolLM. */
public final class Llama extends LlamaLike {
  /** For {@link java.util.ServiceLoader}. */
  public Llama() {
    super("llama", "LlamaForCausalLM", new Defaults(32000, 11008, 0, 2048, ImmutableList.of(2)));
  }

  @Override
  boolean readsBiases() {
    return true;
  }

  @Override
  String unwindowed() {
    return "full_attention";
  }
}
