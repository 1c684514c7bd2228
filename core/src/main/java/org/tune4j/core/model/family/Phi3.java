package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import java.util.function.IntPredicate;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/**
 * Phi 3 (Abdin et al. 2024) and its relatives that rotate whole heads, such as Phi 3 mini, small
 * 3.5 and Phi 4: Llama with the projections of the same input fused into one matrix, so that one
 * LoRA pair adapts queries, keys and values together.
 */
public final class Phi3 extends LlamaLike {
  /** For {@link java.util.ServiceLoader}. */
  public Phi3() {
    super(
        "phi3",
        "Phi3ForCausalLM",
        new Defaults(3072, 32, 32, 32064, 8192, 0, 4096, ImmutableList.of(32000)));
  }

  @Override
  boolean fused() {
    return true;
  }

  @Override
  double normEps() {
    return 1e-5;
  }

  @Override
  RopeFields.Dialect rope() {
    return new RopeFields.Dialect(10_000, 4096, true);
  }

  @Override
  int window(JsonFields f) throws MalformedFileException {
    return f.has("sliding_window") ? slidingWindow(f) : 0;
  }

  @Override
  IntPredicate windowed(JsonFields f, int layers) {
    return layer -> true;
  }
}
