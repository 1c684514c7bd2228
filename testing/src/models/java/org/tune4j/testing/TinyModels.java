package org.tune4j.testing;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.ModelConfig;
import org.tune4j.core.model.Routing;

/** Models of a few thousand weights, a batch for them, and what tests do with both. */
public final class TinyModels {
  public static final int VOCABULARY = 61;

  private TinyModels() {}

  /** Engines that run here, by name. */
  public static List<String> engines(Precision precision) {
    return Engines.providers().stream()
        .filter(p -> p.unavailable(precision).isEmpty())
        .map(p -> p.name())
        .toList();
  }

  public static ModelConfig config(String family) {
    String llama =
        """
        "vocab_size": 61, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "initializer_range": 0.3, "eos_token_id": 1,
        """;
    String json =
        switch (family) {
          case "gpt2" ->
              """
              {"model_type": "gpt2", "vocab_size": 61, "n_embd": 16, "n_head": 2, "n_layer": 2,
               "n_positions": 64, "initializer_range": 0.3, "eos_token_id": 1}
              """;
          case "llama" ->
              "{"
                  + llama
                  + """
                  "model_type": "llama", "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
                  "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}}
                  """;
          case "qwen2" -> "{" + llama + "\"model_type\": \"qwen2\", \"tie_word_embeddings\": true}";
          default -> throw new IllegalArgumentException(family);
        };
    try {
      return ModelConfig.parse(json, Path.of(family, "config.json"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public static LanguageModel model(String family, Engine engine) {
    return LanguageModel.random(config(family), engine, 5);
  }

  /** Segments of 9, 6 and 4 rows; some rows of the first two have a target. */
  public static Batch batch() {
    int n = 19;
    int[] ids = new int[n];
    int[] positions = new int[n];
    int[] targets = new int[n];
    int[] starts = {0, 9, 15, 19};
    for (int i = 0; i < n; i++) {
      ids[i] = (i * 17 + 3) % VOCABULARY;
      positions[i] = i < 9 ? i : i < 15 ? i - 9 : i - 15;
      targets[i] = i % 3 != 0 && i < 15 ? (i * 29 + 7) % VOCABULARY : -1;
    }
    return new Batch(ids, positions, starts, targets, new int[] {0, 1, -1}, null);
  }

  public static float[] logits(LanguageModel model, Routing routing) {
    return model.logits(batch(), routing).dup('c').data().asFloat();
  }

  public static float[] logits(LanguageModel model, Adapter... adapters) {
    return logits(model, Routing.all(batch().rows(), List.of(adapters)));
  }

  public static float[] get(Adapter adapter) {
    return adapter.parameters().engine().read(adapter.parameters().flat());
  }

  public static void set(Adapter adapter, float[] values) {
    adapter.parameters().engine().write(adapter.parameters().flat(), values);
    adapter.parameters().changed();
  }

  /** Moves every parameter, as training does. */
  public static void disturb(Adapter adapter, long seed) {
    Random random = new Random(seed);
    float[] values = get(adapter);
    for (int i = 0; i < values.length; i++) {
      values[i] += (float) (0.1 * random.nextGaussian());
    }
    set(adapter, values);
  }

  /** Returns {@code ||a - b|| / ||b||}. */
  public static double relativeError(float[] a, float[] b) {
    if (a.length != b.length) {
      return Double.POSITIVE_INFINITY;
    }
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < a.length; i++) {
      difference += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
      norm += (double) b[i] * b[i];
    }
    return difference == 0 ? 0 : Math.sqrt(difference / norm);
  }
}
