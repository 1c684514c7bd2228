package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.function.IntPredicate;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/**
 * SmolLM3: Llama without rotary embedding in some layers, every fourth unless {@code
 * no_rope_layers} lists them (NoPE, Yang et al. 2025, "RoPE to NoPE and Back Again").
 */
public final class SmolLm3 extends LlamaLike {
  /** For {@link java.util.ServiceLoader}. */
  public SmolLm3() {
    super(
        "smollm3",
        "SmolLM3ForCausalLM",
        new Defaults(2048, 36, 16, 128256, 11008, 4, 32768, ImmutableList.of(128001)));
  }

  @Override
  boolean readsBiases() {
    return true;
  }

  @Override
  boolean tied() {
    return true;
  }

  @Override
  RopeFields.Dialect rope() {
    return new RopeFields.Dialect(2_000_000, 0, false);
  }

  @Override
  ImmutableSet<Integer> unrotated(JsonFields f, int layers) throws MalformedFileException {
    ImmutableSet.Builder<Integer> without = ImmutableSet.builder();
    if (!f.has("no_rope_layers")) {
      int interval = f.integer("no_rope_layer_interval", 4, 1, Integer.MAX_VALUE);
      for (int l = interval - 1; l < layers; l += interval) {
        without.add(l);
      }
      return without.build();
    }
    ImmutableList<Integer> rotated = f.integers("no_rope_layers", "ones and zeros");
    if (rotated.size() < layers) {
      throw f.bad("no_rope_layers", rotated.size() + " entries", layers + ", one for each layer");
    }
    for (int l = 0; l < layers; l++) {
      if (rotated.get(l) == 0) {
        without.add(l);
      }
    }
    return without.build();
  }

  @Override
  int window(JsonFields f) throws MalformedFileException {
    boolean used = f.flag("use_sliding_window", false) && f.has("sliding_window");
    return used ? slidingWindow(f) : 0;
  }

  @Override
  IntPredicate windowed(JsonFields f, int layers) throws MalformedFileException {
    return unrotated(f, layers)::contains;
  }
}
