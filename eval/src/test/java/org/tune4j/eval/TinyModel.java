package org.tune4j.eval;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.ModelConfig;

/** A random model of a few thousand weights whose tokens are characters, and tasks for it. */
final class TinyModel {
  private static final String CONFIG =
      """
      {"model_type": "llama", "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48,
       "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
       "max_position_embeddings": 96, "initializer_range": 0.2, "eos_token_id": 0}
      """;
  private static final String CHAT_TEMPLATE =
      "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '\\n' }}{% endfor %}"
          + "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}";

  private TinyModel() {}

  /** Writes the model into an empty directory and loads it. */
  static LanguageModel create(Path directory) throws IOException {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel random =
            LanguageModel.random(
                ModelConfig.parse(CONFIG, directory.resolve("config.json")), engine, 3)) {
      random.save(directory, ElementType.F32);
    }
    Files.writeString(directory.resolve("tokenizer.json"), tokenizer());
    Files.writeString(directory.resolve("chat_template.jinja"), CHAT_TEMPLATE);
    return LanguageModel.load(directory);
  }

  /** A byte-level tokenizer without merges, of printable ASCII, space and line feed. */
  private static String tokenizer() {
    ObjectNode root = new ObjectMapper().createObjectNode();
    root.put("version", "1.0");
    root.putArray("added_tokens")
        .addObject()
        .put("id", 0)
        .put("content", "<|endoftext|>")
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", false)
        .put("special", true);
    root.putObject("pre_tokenizer")
        .put("type", "ByteLevel")
        .put("add_prefix_space", false)
        .put("trim_offsets", true)
        .put("use_regex", true);
    root.putObject("decoder")
        .put("type", "ByteLevel")
        .put("add_prefix_space", true)
        .put("trim_offsets", true)
        .put("use_regex", true);
    ObjectNode model = root.putObject("model").put("type", "BPE");
    ObjectNode vocabulary = model.putObject("vocab");
    vocabulary.put("<|endoftext|>", 0);
    for (char c = '!'; c <= '~'; c++) {
      vocabulary.put(String.valueOf(c), vocabulary.size());
    }
    vocabulary.put("\u0120", vocabulary.size()); // space
    vocabulary.put("\u010A", vocabulary.size()); // line feed
    model.putArray("merges");
    return root.toString();
  }

  /**
   * A classification of one letter into {@code yes}, {@code no}, {@code maybe}, which a shift makes
   * another task.
   */
  static Task letters(String name, int shift, int train, int validation, int test) {
    return Task.builder(name)
        .labels(Set.of(" yes", " no", " maybe"))
        .train(letters(shift, train, 1))
        .validation(letters(shift, validation, 2))
        .test(letters(shift, test, 3))
        .build();
  }

  private static List<Example> letters(int shift, int count, long seed) {
    Random random = new Random(seed);
    List<Example> all = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int letter = random.nextInt(6);
      String label = List.of(" yes", " no", " maybe").get((letter + shift) % 3);
      all.add(Example.of((char) ('a' + letter) + " " + random.nextInt(10) + ":", label));
    }
    return all;
  }
}
