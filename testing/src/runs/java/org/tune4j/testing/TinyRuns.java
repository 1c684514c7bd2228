package org.tune4j.testing;

import com.google.common.primitives.Floats;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.io.ElementType;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.ModelConfig;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.TrainingResult;
import org.tune4j.lora.LoraConfig;

/** A model of a few thousand weights with a tokenizer of sixty words, and tasks for it. */
public final class TinyRuns {
  /** Words of the tokenizer; 0 is the unknown one, 1 ends texts. */
  private static final int WORDS = 60;

  /** Adapters that train within a few steps. */
  public static final LoraConfig LORA = LoraConfig.builder().rank(2).alpha(4).build();

  private TinyRuns() {}

  /** Steps of four examples, and everything seeded. */
  public static Hyperparameters.Builder hyperparameters() {
    return Hyperparameters.builder().learningRate(0.02).examplesPerStep(4).maxLength(24).seed(7);
  }

  /** Writes a random model directory. */
  public static Path writeModel(Path directory) {
    return writeModel(
        directory,
        """
        {"model_type": "llama", "vocab_size": 62, "hidden_size": 16, "intermediate_size": 32,
         "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
         "max_position_embeddings": 48, "initializer_range": 0.2, "eos_token_id": 1}
        """);
  }

  /** Writes a random model of a configuration for the vocabulary of 62 tokens. */
  public static Path writeModel(Path directory, String config) {
    Map<String, Integer> vocabulary = new LinkedHashMap<>();
    vocabulary.put("<unk>", 0);
    vocabulary.put("</s>", 1);
    for (int i = 0; i < WORDS; i++) {
      vocabulary.put("w" + i, i + 2);
    }
    String tokenizer =
        """
        {"version": "1.0", "truncation": null, "padding": null, "normalizer": null,
         "added_tokens": [{"id": 1, "content": "</s>", "single_word": false, "lstrip": false,
                           "rstrip": false, "normalized": false, "special": true}],
         "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
         "model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {%s}}}
        """
            .formatted(
                vocabulary.entrySet().stream()
                    .map(e -> "\"%s\": %d".formatted(e.getKey(), e.getValue()))
                    .collect(Collectors.joining(", ")));
    try (Engine engine = Engines.create(Precision.F32);
        LanguageModel model =
            LanguageModel.random(
                ModelConfig.parse(config, directory.resolve("config.json")), engine, 3)) {
      model.save(directory, ElementType.F32);
      Files.writeString(directory.resolve("tokenizer.json"), tokenizer);
      return directory;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns the model in a directory that {@link #writeModel} wrote. */
  public static LanguageModel load(Path directory) {
    try {
      return LanguageModel.load(directory);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns a model whose files are gone with the tests' temporary directory. */
  public static LanguageModel model() {
    try {
      return load(writeModel(Files.createTempDirectory("tiny").resolve("model")));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns a task that can be learned: each first word has its answer. */
  public static Task task(String name, int train, int validation) {
    return Task.builder(name)
        .train(examples(name, train, 1))
        .validation(validation == 0 ? List.of() : examples(name, validation, 2))
        .build();
  }

  private static List<Example> examples(String task, int count, long seed) {
    Random random = new Random(seed * 31 + task.hashCode());
    List<Example> all = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int first = random.nextInt(8);
      StringBuilder prompt = new StringBuilder("w" + first);
      for (int k = random.nextInt(6); k >= 0; k--) {
        prompt.append(" w").append(20 + random.nextInt(WORDS - 20));
      }
      int answer = 8 + Math.floorMod(first + task.hashCode(), 10);
      all.add(Example.of(prompt.toString(), " w" + answer + (i % 3 == 0 ? " w19" : "")));
    }
    return all;
  }

  /** Returns all adapters' values, to be compared bit by bit. */
  public static Map<String, List<Float>> bits(TrainingResult result) {
    Map<String, List<Float>> all = new TreeMap<>();
    result.adapters().forEach((name, a) -> all.put(name, Floats.asList(weights(a))));
    return all;
  }

  public static float[] weights(Adapter adapter) {
    return adapter.parameters().engine().read(adapter.parameters().flat());
  }
}
