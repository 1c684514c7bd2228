package org.tune4j.core.model;

import com.google.common.base.Suppliers;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Supplier;
import org.tune4j.core.text.ChatEncoder;
import org.tune4j.core.text.ChatTemplate;
import org.tune4j.core.text.Tokenizer;

/**
 * The files of a model directory besides weights.
 *
 * @param directory null for a random model
 * @param tokenizer null if there is none
 * @param template read on first use
 * @param chat created on first use
 * @param endTokens tokens that end a text
 */
record ModelFiles(
    Path directory,
    Tokenizer tokenizer,
    Supplier<Optional<ChatTemplate>> template,
    Supplier<Optional<ChatEncoder>> chat,
    ImmutableSet<Integer> endTokens)
    implements AutoCloseable {
  /** Returns the (absent) files of a random model. */
  static ModelFiles none(ModelConfig config) {
    return new ModelFiles(
        null, null, Optional::empty, Optional::empty, ImmutableSet.copyOf(config.endTokens()));
  }

  static ModelFiles read(Path directory, ModelConfig config) throws IOException {
    ImmutableList<Integer> generationEnds =
        ModelConfig.endTokens(directory.resolve("generation_config.json"), config.endTokens());
    Optional<Tokenizer> tokenizer =
        Files.exists(directory.resolve("tokenizer.json"))
            ? Optional.of(Tokenizer.load(directory))
            : Optional.empty();
    Supplier<Optional<ChatTemplate>> template =
        Suppliers.memoize(
            () -> {
              try {
                return ChatTemplate.load(directory);
              } catch (IOException e) {
                throw new UncheckedIOException(e);
              }
            });
    Supplier<Optional<ChatEncoder>> chat =
        Suppliers.memoize(
            () -> tokenizer.flatMap(t -> template.get().map(c -> new ChatEncoder(c, t))));
    ImmutableSet<Integer> endTokens =
        tokenizer.map(Tokenizer::eos).orElseGet(() -> ImmutableSet.copyOf(generationEnds));
    return new ModelFiles(directory, tokenizer.orElse(null), template, chat, endTokens);
  }

  Tokenizer requireTokenizer() {
    if (tokenizer == null) {
      throw new IllegalStateException(
          directory == null
              ? "a random model has no tokenizer: use token ids"
              : "the model has no tokenizer: %s is missing"
                  .formatted(directory.resolve("tokenizer.json")));
    }
    return tokenizer;
  }

  @Override
  public void close() {
    if (tokenizer != null) {
      tokenizer.close();
    }
  }
}
