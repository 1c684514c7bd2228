package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/** Llama 1 to 3 (Touvron et al. 2023) and models of its shape, such as SmolLM. */
public final class Llama extends LlamaLike {
  /** For {@link java.util.ServiceLoader}. */
  public Llama() {
    super("llama", "LlamaForCausalLM", new Defaults(32000, 11008, 0, 2048, ImmutableList.of(2)));
  }

  @Override
  boolean outputBias(JsonFields f) throws MalformedFileException {
    return f.flag("attention_bias", false);
  }

  @Override
  boolean mlpBias(JsonFields f) throws MalformedFileException {
    return f.flag("mlp_bias", false);
  }

  @Override
  String unwindowed() {
    return "full_attention";
  }
}
