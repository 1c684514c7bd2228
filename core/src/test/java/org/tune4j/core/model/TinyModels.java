package org.tune4j.core.model;

import java.nio.file.Path;
import java.util.List;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Parameters;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.engine.ProjectionAdapter;
import org.tune4j.core.engine.Tensor;

/** Models of a few thousand weights, and a plain low-rank adapter, for tests. */
final class TinyModels {
  static final List<String> NAMES =
      List.of("gpt2", "llama", "qwen2", "qwen3", "mistral", "smollm3", "granite", "phi3");

  private TinyModels() {}

  static Engine engine() {
    return Engines.create(Precision.F32);
  }

  static String json(String name) {
    String llama =
        """
        "vocab_size": 61, "hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3, "eos_token_id": 1,
        """;
    return switch (name) {
      case "gpt2" ->
          """
          {"model_type": "gpt2", "vocab_size": 61, "n_embd": 16, "n_head": 2, "n_layer": 2, "n_positions": 64,
           "initializer_range": 0.3, "eos_token_id": 1}
          """;
      case "llama" ->
          "{"
              + llama
              + """
              "model_type": "llama", "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 32}}
              """;
      case "qwen2" -> "{" + llama + "\"model_type\": \"qwen2\", \"tie_word_embeddings\": true}";
      case "qwen3" -> "{" + llama + "\"model_type\": \"qwen3\", \"head_dim\": 6}";
      case "mistral" -> "{" + llama + "\"model_type\": \"mistral\", \"sliding_window\": 5}";
      case "smollm3" ->
          "{"
              + llama
              + "\"model_type\": \"smollm3\", \"no_rope_layers\": [1, 0], \"use_sliding_window\": true, \"sliding_window\": 5}";
      case "granite" ->
          "{"
              + llama
              + """
              "model_type": "granite", "embedding_multiplier": 3, "attention_multiplier": 0.4,
              "residual_multiplier": 0.6, "logits_scaling": 1.5}
              """;
      case "phi3" -> "{" + llama + "\"model_type\": \"phi3\", \"pad_token_id\": 2}";
      default -> throw new IllegalArgumentException(name);
    };
  }

  static ModelConfig config(String name) {
    try {
      return ModelConfig.parse(json(name), Path.of(name, "config.json"));
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  static LanguageModel model(String name, Engine engine) {
    return LanguageModel.random(config(name), engine, 5);
  }

  /** Adds {@code x A^T B^T} to every group of the decoder's layers. */
  static final class LowRank implements Adapter {
    private static final int RANK = 3;
    private final LanguageModel model;
    private final Engine engine;
    private final Parameters parameters;
    private boolean trainable = true;

    LowRank(LanguageModel model, long seed) {
      this.model = model;
      engine = model.engine();
      Parameters.Builder builder = Parameters.builder(engine);
      for (ProjectionGroup g : model.groups()) {
        if (g.use() != ProjectionGroup.Use.PROJECTION) {
          continue;
        }
        builder.add(name(g) + ".A", RANK, g.in());
        builder.add(name(g) + ".B", g.out(), RANK);
      }
      parameters = builder.build(true);
      java.util.Random random = new java.util.Random(seed);
      float[] values = new float[parameters.size()];
      for (int i = 0; i < values.length; i++) {
        values[i] = (float) (0.15 * random.nextGaussian());
      }
      set(values);
    }

    private static String name(ProjectionGroup g) {
      return g.members().get(0).name();
    }

    void set(float[] values) {
      engine.write(parameters.flat(), values);
      parameters.changed();
    }

    float[] get() {
      return engine.read(parameters.flat());
    }

    float[] gradients() {
      return engine.read(parameters.flatGradients());
    }

    @Override
    public String name() {
      return "low rank";
    }

    @Override
    public LanguageModel model() {
      return model;
    }

    @Override
    public Parameters parameters() {
      return parameters;
    }

    @Override
    public java.util.Optional<ProjectionAdapter> on(ProjectionGroup group) {
      if (group.use() != ProjectionGroup.Use.PROJECTION) {
        return java.util.Optional.empty();
      }
      Parameters.Slot a = parameters.slot(name(group) + ".A");
      Parameters.Slot b = parameters.slot(name(group) + ".B");
      return java.util.Optional.of(
          new ProjectionAdapter() {
            @Override
            public boolean trainable() {
              return trainable;
            }

            @Override
            public Object forward(
                Engine e, Tensor x, Tensor y, long dropoutSeed, boolean recording) {
              Tensor u = e.allocate(x.rows(), RANK, e.computeType());
              e.gemm(1, x, false, parameters.compute(a), true, 0, u);
              e.gemm(1, u, false, parameters.compute(b), true, 1, y);
              return u;
            }

            @Override
            public void backward(Engine e, Object state, Tensor x, Tensor dy, Tensor dx) {
              Tensor u = (Tensor) state;
              Tensor du = e.allocate(x.rows(), RANK, e.computeType());
              e.gemm(1, dy, false, parameters.compute(b), false, 0, du);
              if (trainable) {
                e.gemm(1, dy, true, u, false, 1, parameters.gradient(b));
                e.gemm(1, du, true, x, false, 1, parameters.gradient(a));
              }
              if (dx != null) {
                e.gemm(1, du, false, parameters.compute(a), false, 1, dx);
              }
            }
          });
    }

    @Override
    public boolean trainable() {
      return trainable;
    }

    @Override
    public void setTrainable(boolean value) {
      trainable = value;
    }

    @Override
    public void save(Path directory) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void close() {
      parameters.close();
    }
  }
}
