package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;

/**
 * Qwen 2 and 2.5: Llama with biases on query, key and value, and a sliding window in its later
 * layers if {@code use_sliding_window} is set.
 */
public final class Qwen2 extends LlamaLike {
  /** For {@link java.util.ServiceLoader}. */
  public Qwen2() {
    super("qwen2", "Qwen2ForCausalLM", new Defaults(151936, 22016, 32, 32768, ImmutableList.of()));
  }

  @Override
  boolean qkvBias(JsonFields f) {
    return true;
  }

  @Override
  int window(JsonFields f) throws MalformedFileException {
    return f.flag("use_sliding_window", false) ? slidingWindow(f) : 0;
  }
}
