package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import java.util.function.IntPredicate;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/** Mistral (Jiang et al. 2023): Llama with a sliding attention window in all layers. */
public final class Mistral extends LlamaLike {
  /** For {@link java.util.ServiceLoader}. */
  public Mistral() {
    super(
        "mistral",
        "MistralForCausalLM",
        new Defaults(32000, 14336, 8, 131072, ImmutableList.of(2)));
  }

  @Override
  int window(JsonFields f) throws MalformedFileException {
    return slidingWindow(f);
  }

  @Override
  IntPredicate windowed(JsonFields f, int layers) {
    return layer -> true;
  }
}
