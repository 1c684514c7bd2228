package org.tune4j.core.model;

import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.text.ChatEncoder;
import org.tune4j.core.text.ChatOptions;
import org.tune4j.core.text.Message;
import org.tune4j.core.text.Tokenizer;

/**
 * Continues texts and answers conversations; implemented by {@link LanguageModel}. If generation is
 * {@linkplain #cancelled cancelled} or the thread is interrupted, it ends early and returns the
 * text so far.
 */
public interface TextGenerator {
  /** Returns the tokenizer of prompts and generated texts. */
  Tokenizer tokenizer();

  /** Returns the encoder of conversations, if there is a chat template. */
  Optional<ChatEncoder> chatEncoder();

  /**
   * Continues a text, encoded with the tokenizer's special tokens.
   *
   * @param adapters applied in order; none for the base model
   * @param stream receives the text as it grows, in whole characters
   * @throws IllegalArgumentException if the prompt leaves no room in the context
   */
  default Generation generate(
      String prompt,
      GenerationConfig generation,
      List<? extends Adapter> adapters,
      Consumer<String> stream) {
    return generateFromTokens(
            List.of(tokenizer().encodePrompt(prompt)), generation, adapters, stream, () -> false)
        .get(0);
  }

  /** Continues a text greedily with the base model, by at most 128 tokens. */
  default Generation generate(String prompt) {
    return generate(prompt, GenerationConfig.builder().build(), List.of());
  }

  /** Continues a text greedily with adapters, by at most 128 tokens. */
  default Generation generate(String prompt, List<? extends Adapter> adapters) {
    return generate(prompt, GenerationConfig.builder().build(), adapters);
  }

  /** Like {@link #generate(String, GenerationConfig, List, Consumer)} without streaming. */
  default Generation generate(
      String prompt, GenerationConfig generation, List<? extends Adapter> adapters) {
    return generate(prompt, generation, adapters, text -> {});
  }

  /**
   * Answers a conversation, rendered by the model's chat template.
   *
   * @throws IllegalStateException if the model has no chat template
   */
  default Generation chat(
      List<Message> messages,
      GenerationConfig generation,
      List<? extends Adapter> adapters,
      Consumer<String> stream) {
    return chat(messages, ChatOptions.defaults(), generation, adapters, stream);
  }

  /**
   * Answers a conversation, rendered by the model's chat template with tools, documents and
   * variables; a generation prompt is always added.
   *
   * @throws IllegalStateException if the model has no chat template
   * @throws IllegalArgumentException if the template refuses the conversation
   */
  default Generation chat(
      List<Message> messages,
      ChatOptions options,
      GenerationConfig generation,
      List<? extends Adapter> adapters,
      Consumer<String> stream) {
    ChatEncoder chat =
        chatEncoder()
            .orElseThrow(
                () -> new IllegalStateException("the model has no chat template; use generate"));
    int[] prompt = tokenizer().encode(chat.prompt(messages, options), false);
    return generateFromTokens(
            List.of(prompt), untilTurnEnds(generation), adapters, stream, () -> false)
        .get(0);
  }

  /**
   * Returns a configuration for generating a turn of a conversation: it also ends where the chat
   * template ends a turn, unless end tokens are given. {@link #chat} applies it itself.
   */
  default GenerationConfig untilTurnEnds(GenerationConfig generation) {
    if (generation.endTokens().isPresent() || chatEncoder().isEmpty()) {
      return generation;
    }
    ChatEncoder.TurnEnd end = chatEncoder().get().turnEnd();
    return generation.endingWith(end.tokens(), end.texts());
  }

  /** Continues several texts in parallel. */
  default List<Generation> generateAll(
      List<String> prompts, GenerationConfig generation, List<? extends Adapter> adapters) {
    return generateFromTokens(
        prompts.stream().map(p -> tokenizer().encodePrompt(p)).toList(), generation, adapters);
  }

  /**
   * Returns a generator that can be cancelled.
   *
   * @param cancelled polled before each token; true ends generation early
   */
  default TextGenerator cancelled(BooleanSupplier cancelled) {
    return new CancellableGenerator(this, cancelled);
  }

  /** Continues several sequences of token ids in parallel; stop sequences need a tokenizer. */
  default List<Generation> generateFromTokens(
      List<int[]> prompts, GenerationConfig generation, List<? extends Adapter> adapters) {
    return generateFromTokens(prompts, generation, adapters, text -> {}, () -> false);
  }

  /**
   * Continues several sequences of token ids in parallel.
   *
   * @param stream receives the text as it grows, useful for a single sequence
   * @param cancelled polled before each token; true ends generation early
   * @throws IllegalArgumentException if there are stop sequences and no tokenizer
   */
  List<Generation> generateFromTokens(
      List<int[]> prompts,
      GenerationConfig generation,
      List<? extends Adapter> adapters,
      Consumer<String> stream,
      BooleanSupplier cancelled);
}
