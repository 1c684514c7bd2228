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
 * What continues texts and answers conversations: a {@link LanguageModel}. Generation ends with
 * what there is when it is {@linkplain #cancelled cancelled} or the thread is interrupted.
 */
public interface TextGenerator {
  /** Returns the tokenizer of its texts. */
  Tokenizer tokenizer();

  /** Returns how conversations become tokens, if it has a chat template. */
  Optional<ChatEncoder> chatEncoder();

  /**
   * Continues a text; {@link #tokenizer()} encodes it with the special tokens that it puts around
   * texts.
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

  /** Continues a text greedily with the base model, by 128 tokens at most. */
  default Generation generate(String prompt) {
    return generate(prompt, GenerationConfig.builder().build(), List.of());
  }

  /** Continues a text greedily with adapters, by 128 tokens at most. */
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
   * variables of its own; a generation prompt is always added.
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
   * Returns how to generate a turn of a conversation: until the chat template's turn ends, too,
   * unless the end tokens are given. {@link #chat} does so by itself.
   */
  default GenerationConfig untilTurnEnds(GenerationConfig generation) {
    if (generation.endTokens().isPresent() || chatEncoder().isEmpty()) {
      return generation;
    }
    ChatEncoder.TurnEnd end = chatEncoder().get().turnEnd();
    return generation.endingWith(end.tokens(), end.texts());
  }

  /** Continues many texts side by side. */
  default List<Generation> generateAll(
      List<String> prompts, GenerationConfig generation, List<? extends Adapter> adapters) {
    return generateFromTokens(
        prompts.stream().map(p -> tokenizer().encodePrompt(p)).toList(), generation, adapters);
  }

  /**
   * Returns a generator of the same texts that ends early, with what there is, when asked to.
   *
   * @param cancelled asked before each token whether to end
   */
  default TextGenerator cancelled(BooleanSupplier cancelled) {
    return new CancellableGenerator(this, cancelled);
  }

  /** Continues many sequences of token ids side by side; stop sequences need a tokenizer. */
  default List<Generation> generateFromTokens(
      List<int[]> prompts, GenerationConfig generation, List<? extends Adapter> adapters) {
    return generateFromTokens(prompts, generation, adapters, text -> {}, () -> false);
  }

  /**
   * Continues many sequences of token ids side by side.
   *
   * @param stream receives the text of a single one as it grows
   * @param cancelled asked before each token whether to end with what there is
   * @throws IllegalArgumentException if there are stop sequences and no tokenizer
   */
  List<Generation> generateFromTokens(
      List<int[]> prompts,
      GenerationConfig generation,
      List<? extends Adapter> adapters,
      Consumer<String> stream,
      BooleanSupplier cancelled);
}
