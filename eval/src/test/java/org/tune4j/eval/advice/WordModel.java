package org.tune4j.eval.advice;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.function.IntFunction;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.ModelConfig;

/** A random model of a few thousand weights whose tokens are words, and tasks for it. */
public final class WordModel {
  static final int WORDS = 24;
  private static final int HIDDEN = 32;
  static final List<String> COLOURS = List.of("red", "green", "blue");
  static final List<String> SIZES = List.of("small", "large");
  private static final String CONFIG =
      """
      {"model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48,
       "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
       "max_position_embeddings": 64, "initializer_range": 0.2, "eos_token_id": 0}
      """;

  private WordModel() {}

  /** Writes the model into an empty directory and loads it. */
  public static LanguageModel create(Path directory) throws IOException {
    return create(directory, CONFIG);
  }

  /** Returns a model with weights so small that every gradient underflows to 0. */
  public static LanguageModel withoutGradient(Path directory) throws IOException {
    return create(directory, CONFIG.replace("0.2", "1e-30"));
  }

  /** Returns the model with an embedding of {@code word} that is no number. */
  public static LanguageModel poisoned(Path directory, String word) throws IOException {
    create(directory).close();
    Path file = directory.resolve("model.safetensors");
    ByteBuffer bytes =
        ByteBuffer.wrap(Files.readAllBytes(file))
            .order(ByteOrder.LITTLE_ENDIAN); // as the format is
    int header = (int) bytes.getLong(0);
    int embedding =
        new ObjectMapper()
            .readTree(bytes.array(), Long.BYTES, header)
            .path("model.embed_tokens.weight")
            .path("data_offsets")
            .path(0)
            .asInt();
    int token =
        new ObjectMapper().readTree(tokenizer()).path("model").path("vocab").path(word).asInt();
    for (int k = 0; k < HIDDEN; k++) {
      int at = Long.BYTES + header + embedding + (token * HIDDEN + k) * Float.BYTES;
      bytes.putFloat(at, Float.NaN);
    }
    Files.write(file, bytes.array());
    return LanguageModel.load(directory);
  }

  private static LanguageModel create(Path directory, String config) throws IOException {
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel random =
            LanguageModel.random(
                ModelConfig.parse(config, directory.resolve("config.json")), engine, 3)) {
      random.save(directory, ElementType.F32);
    }
    Files.writeString(directory.resolve("tokenizer.json"), tokenizer());
    Files.writeString(
        directory.resolve("chat_template.jinja"),
        "{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}");
    return LanguageModel.load(directory);
  }

  private static String tokenizer() {
    ObjectNode root = new ObjectMapper().createObjectNode();
    root.put("version", "1.0");
    root.putArray("added_tokens");
    root.putObject("pre_tokenizer").put("type", "WhitespaceSplit");
    ObjectNode model = root.putObject("model").put("type", "WordLevel").put("unk_token", "?");
    ObjectNode vocabulary = model.putObject("vocab");
    List<String> words = new ArrayList<>(List.of("<end>", "?", "colour", "size", "is"));
    words.addAll(COLOURS);
    words.addAll(SIZES);
    for (int i = 0; i < WORDS; i++) {
      words.add("thing" + i);
      words.add("place" + i);
    }
    words.forEach(w -> vocabulary.put(w, vocabulary.size()));
    return root.toString();
  }

  /** Returns a task from things to colours: thing {@code i} has colour {@code (i + shift) % 3}. */
  public static Task colours(String name, int shift, int train, long seed) {
    return task(name, COLOURS, train, seed, i -> "thing" + i + " colour is ", i -> (i + shift) % 3);
  }

  /** Returns a task from places to sizes, which shares little with colours. */
  public static Task sizes(String name, int train, long seed) {
    return task(name, SIZES, train, seed, i -> "place" + i + " size is ", i -> i % 2);
  }

  private static Task task(
      String name,
      List<String> labels,
      int train,
      long seed,
      IntFunction<String> prompt,
      IntFunction<Integer> label) {
    Random random = new Random(seed);
    IntFunction<List<Example>> draw =
        n -> {
          List<Example> all = new ArrayList<>();
          for (int k = 0; k < n; k++) {
            int i = random.nextInt(WORDS);
            all.add(Example.of(prompt.apply(i), labels.get(label.apply(i))));
          }
          return all;
        };
    return Task.builder(name)
        .labels(Set.copyOf(labels))
        .train(draw.apply(train))
        .validation(draw.apply(48))
        .build();
  }
}
