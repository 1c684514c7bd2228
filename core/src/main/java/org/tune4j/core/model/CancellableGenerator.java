package org.tune4j.core.model;

import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.tune4j.core.text.ChatEncoder;
import org.tune4j.core.text.Tokenizer;

/** A generator that also ends each generation when {@code ended} returns true. */
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
