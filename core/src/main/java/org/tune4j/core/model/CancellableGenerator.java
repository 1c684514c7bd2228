package org.tune4j.core.model;

import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.text.ChatEncoder;
import org.tune4j.core.text.Tokenizer;

/** A generator whose generations end when asked to, each of them. */
record CancellableGenerator(TextGenerator generator, BooleanSupplier ended)
    implements TextGenerator {
  @Override
  public Tokenizer tokenizer() {
    return generator.tokenizer();
  }

  @Override
  public Optional<ChatEncoder> chatEncoder() {
    return generator.chatEncoder();
  }

  @Override
  public List<Generation> generateFromTokens(
      List<int[]> prompts,
      GenerationConfig generation,
      List<? extends Adapter> adapters,
      Consumer<String> stream,
      BooleanSupplier cancelled) {
    return generator.generateFromTokens(
        prompts,
        generation,
        adapters,
        stream,
        () -> ended.getAsBoolean() || cancelled.getAsBoolean());
  }
}
