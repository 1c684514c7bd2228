package org.tune4j.core.model;

import static java.util.stream.Collectors.joining;

import java.util.Arrays;
import java.util.Optional;

/**
 * The decoder-only architectures that can be run, by the {@code model_type} of their {@code
 * config.json}.
 */
public enum Architecture {
  /** GPT-2 (Radford et al. 2019): learned positions, LayerNorm, GELU. */
  GPT2("gpt2", "GPT2LMHeadModel"),
  /** Llama 1 to 3 (Touvron et al. 2023) and models of its shape, such as SmolLM. */
  LLAMA("llama", "LlamaForCausalLM"),
  /** Qwen 2 and 2.5: Llama with biases on query, key and value. */
  QWEN2("qwen2", "Qwen2ForCausalLM"),
  /** Qwen 3: Llama with RMSNorm on each query and key head. */
  QWEN3("qwen3", "Qwen3ForCausalLM"),
  /** Mistral (Jiang et al. 2023): Llama with a sliding attention window. */
  MISTRAL("mistral", "MistralForCausalLM");

  private final String modelType;
  private final String className;

  Architecture(String modelType, String className) {
    this.modelType = modelType;
    this.className = className;
  }

  /** Returns the value of {@code model_type}. */
  public String modelType() {
    return modelType;
  }

  /** Returns the class in transformers, as {@code architectures} lists it. */
  public String className() {
    return className;
  }

  /** Returns the architecture of a {@code model_type}. */
  static Optional<Architecture> of(String modelType) {
    return Arrays.stream(values()).filter(a -> a.modelType.equals(modelType)).findFirst();
  }

  /** Returns all {@code model_type}s, for messages. */
  static String supported() {
    return Arrays.stream(values()).map(Architecture::modelType).collect(joining(", "));
  }
}
