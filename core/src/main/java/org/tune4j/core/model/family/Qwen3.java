package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/**
 * Qwen 3: Llama with RMSNorm on each query and key head, heads of 128 columns regardless of the
 * hidden size, and a sliding window in its later layers if {@code use_sliding_window} is set.
 */
public final class Qwen3 extends LlamaLike {
  /** For {@link java.util.ServiceLoader}. */
  public Qwen3() {
    super("qwen3", "Qwen3ForCausalLM", new Defaults(151936, 22016, 32, 32768, ImmutableList.of()));
  }

  @Override
  int headDim() {
    return 128;
  }

  @Override
  boolean outputBias(JsonFields f) throws MalformedFileException {
    return f.flag("attention_bias", false);
  }

  @Override
  boolean qkNorm() {
    return true;
  }

  @Override
  int window(JsonFields f) throws MalformedFileException {
    return f.flag("use_sliding_window", false) ? slidingWindow(f) : 0;
  }
}
