package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import org.tune4j.core.io.MalformedFileException;

/**
 * What a {@code config.json} of Hugging Face transformers says about a model, whichever version
 * wrote it: 4 ({@code torch_dtype}, {@code rope_theta}, {@code rope_scaling}) or 5 ({@code dtype},
 * {@code rope_parameters}). Absent keys have the defaults of their architecture in transformers.
 * Anything that would change the model's output and is not implemented is refused by name.
 *
 * <p>Dropout of the base model ({@code attn_pdrop}, {@code attention_dropout}, …) is not applied:
 * the base is frozen, and adapters bring their own.
 *
 * @param architecture which model it is
 * @param vocabularySize rows of the embedding
 * @param hiddenSize columns of the residual stream
 * @param intermediateSize columns inside the feed-forward network
 * @param layers decoder layers
 * @param heads query heads
 * @param kvHeads key/value heads
 * @param headDim columns of a head
 * @param maxPositions context length in tokens
 * @param activation of the feed-forward network
 * @param normEps added to the variance (mean square) in norms
 * @param rope rotary embedding, or null where positions are learned (GPT-2)
 * @param windows for each layer the keys that a query sees, itself included; 0 for all
 * @param qkvBias whether query, key and value have a bias
 * @param outputBias whether the attention's output projection has a bias
 * @param mlpBias whether the feed-forward projections have a bias
 * @param qkNorm whether query and key heads are normalised
 * @param scaleAttention whether scores are divided by {@code sqrt(headDim)}
 * @param scaleByLayer whether scores are also divided by the layer's number, from 1
 * @param tiedHead whether the output head is the embedding
 * @param initializerRange standard deviation of random weights
 * @param endTokens tokens that end a text
 * @param dtype type of the stored weights, such as {@code bfloat16}; empty if the file does not say
 * @param json the whole file, for saving a model derived from this one
 */
public record ModelConfig(
    Architecture architecture,
    int vocabularySize,
    int hiddenSize,
    int intermediateSize,
    int layers,
    int heads,
    int kvHeads,
    int headDim,
    int maxPositions,
    Activation activation,
    float normEps,
    RopeScaling rope,
    ImmutableList<Integer> windows,
    boolean qkvBias,
    boolean outputBias,
    boolean mlpBias,
    boolean qkNorm,
    boolean scaleAttention,
    boolean scaleByLayer,
    boolean tiedHead,
    float initializerRange,
    ImmutableList<Integer> endTokens,
    String dtype,
    String json) {

  /** The file's name in a model directory. */
  public static final String FILE = "config.json";

  private static final ObjectMapper JSON = new ObjectMapper();

  /** Non-linearity of the feed-forward network. */
  public enum Activation {
    /** GELU by its tanh approximation: {@code gelu_new}, {@code gelu_pytorch_tanh}. */
    GELU_TANH,
    /** GELU by the error function: {@code gelu}. */
    GELU,
    /** Gated SiLU: {@code silu(gate) * up}. */
    SWIGLU
  }

  /** Checks that the sizes fit together. */
  public ModelConfig {
    checkArgument(windows.size() == layers, "%s windows for %s layers", windows.size(), layers);
    checkArgument(heads % kvHeads == 0, "%s heads over %s key/value heads", heads, kvHeads);
  }

  /**
   * Reads a {@code config.json}.
   *
   * @throws IOException if it cannot be read
   * @throws IllegalArgumentException if it is malformed or describes what cannot be run; names
   *     file, field, what was found and what is supported
   */
  public static ModelConfig read(Path file) throws IOException {
    return parse(Files.readString(file), file);
  }

  /**
   * Parses the text of a {@code config.json}.
   *
   * @param origin the file, for messages
   * @throws MalformedFileException as {@link #read}
   */
  public static ModelConfig parse(String json, Path origin) throws MalformedFileException {
    Fields f = new Fields(origin, "", parseObject(json, origin));
    String type = f.text("model_type", "");
    Architecture architecture =
        Architecture.of(type)
            .orElseThrow(() -> f.bad("model_type", type, "one of " + Architecture.supported()));
    f.refuse("quantization_config", "an unquantised checkpoint");
    return architecture == Architecture.GPT2 ? gpt2(f, json) : llama(architecture, f, json);
  }

  private static JsonNode parseObject(String json, Path origin) throws MalformedFileException {
    JsonNode root;
    try {
      root = JSON.readTree(json);
    } catch (JsonProcessingException e) {
      throw new MalformedFileException(
          origin,
          e.getLocation() == null ? "" : "line " + e.getLocation().getLineNr(),
          "no valid JSON (" + e.getOriginalMessage() + ")",
          "JSON",
          e);
    }
    if (root == null || !root.isObject()) {
      throw new MalformedFileException(
          origin, "", "no JSON object", "the fields of a configuration");
    }
    return root;
  }

  private static ModelConfig gpt2(Fields f, String json) throws MalformedFileException {
    f.require("add_cross_attention", false);
    int hidden = f.positive("n_embd", 768);
    int heads = f.positive("n_head", 12);
    int layers = f.positive("n_layer", 12);
    if (hidden % heads != 0) {
      throw f.bad("n_head", String.valueOf(heads), "a divisor of n_embd = " + hidden);
    }
    String activation = f.text("activation_function", "gelu_new");
    return new ModelConfig(
        Architecture.GPT2,
        f.positive("vocab_size", 50257),
        hidden,
        f.positive("n_inner", 4 * hidden),
        layers,
        heads,
        heads,
        hidden / heads,
        f.positive("n_positions", 1024),
        switch (activation) {
          case "gelu_new", "gelu_pytorch_tanh" -> Activation.GELU_TANH;
          case "gelu" -> Activation.GELU;
          default ->
              throw f.bad(
                  "activation_function", activation, "one of gelu_new, gelu_pytorch_tanh, gelu");
        },
        (float) f.positive("layer_norm_epsilon", 1e-5),
        null,
        ImmutableList.copyOf(Collections.nCopies(layers, 0)),
        true,
        true,
        true,
        false,
        f.flag("scale_attn_weights", true),
        f.flag("scale_attn_by_inverse_layer_idx", false),
        f.flag("tie_word_embeddings", true),
        (float) f.positive("initializer_range", 0.02),
        f.tokens("eos_token_id", 50256),
        f.dtype(),
        json);
  }

  private static ModelConfig llama(Architecture a, Fields f, String json)
      throws MalformedFileException {
    // defaults of LlamaConfig, Qwen2Config, Qwen3Config, MistralConfig
    boolean qwen = a == Architecture.QWEN2 || a == Architecture.QWEN3;
    int hidden = f.positive("hidden_size", 4096);
    int layers = f.positive("num_hidden_layers", 32);
    int heads = f.positive("num_attention_heads", 32);
    int kvHeads = f.positive("num_key_value_heads", kvHeadsDefault(a, f, heads));
    if (heads % kvHeads != 0) {
      throw f.bad(
          "num_key_value_heads",
          String.valueOf(kvHeads),
          "a divisor of num_attention_heads = " + heads);
    }
    if (hidden % heads != 0 && !f.has("head_dim") && a != Architecture.QWEN3) {
      throw f.bad(
          "num_attention_heads", String.valueOf(heads), "a divisor of hidden_size = " + hidden);
    }
    int headDim =
        f.positive(
            "head_dim", a == Architecture.QWEN3 && f.absent("head_dim") ? 128 : hidden / heads);
    if (headDim % 2 != 0) {
      throw f.bad("head_dim", String.valueOf(headDim), "an even number");
    }
    String activation = f.text("hidden_act", "silu");
    if (!activation.equals("silu") && !activation.equals("swish")) {
      throw f.bad("hidden_act", activation, "silu");
    }
    boolean attentionBias =
        (a == Architecture.LLAMA || a == Architecture.QWEN3) && f.flag("attention_bias", false);
    return new ModelConfig(
        a,
        f.positive("vocab_size", qwen ? 151936 : 32000),
        hidden,
        f.positive("intermediate_size", qwen ? 22016 : a == Architecture.MISTRAL ? 14336 : 11008),
        layers,
        heads,
        kvHeads,
        headDim,
        f.positive(
            "max_position_embeddings", qwen ? 32768 : a == Architecture.MISTRAL ? 131072 : 2048),
        Activation.SWIGLU,
        (float) f.positive("rms_norm_eps", 1e-6),
        f.rope(),
        windows(a, f, layers),
        a == Architecture.QWEN2 || attentionBias,
        attentionBias,
        a == Architecture.LLAMA && f.flag("mlp_bias", false),
        a == Architecture.QWEN3,
        true,
        false,
        f.flag("tie_word_embeddings", false),
        (float) f.positive("initializer_range", 0.02),
        f.tokens("eos_token_id", qwen ? -1 : 2),
        f.dtype(),
        json);
  }

  private static int kvHeadsDefault(Architecture a, Fields f, int heads) {
    if (!f.absent("num_key_value_heads")) {
      return heads; // null: as many as query heads
    }
    return switch (a) {
      case MISTRAL -> 8;
      case QWEN2, QWEN3 -> 32;
      default -> heads;
    };
  }

  private static ImmutableList<Integer> windows(Architecture a, Fields f, int layers)
      throws MalformedFileException {
    int window =
        switch (a) {
          case MISTRAL -> f.absent("sliding_window") ? 4096 : f.positive("sliding_window", 0);
          case QWEN2, QWEN3 ->
              !f.flag("use_sliding_window", false)
                  ? 0
                  : f.absent("sliding_window") ? 4096 : f.positive("sliding_window", 0);
          default -> 0;
        };
    List<Integer> windows = new ArrayList<>();
    JsonNode types = f.node.path("layer_types");
    if (types.isArray() && types.size() != layers) {
      throw f.bad("layer_types", types.size() + " entries", layers + ", one for each layer");
    }
    int firstWindowed = a == Architecture.MISTRAL ? 0 : f.integer("max_window_layers", 28);
    for (int l = 0; l < layers; l++) {
      boolean windowed = l >= firstWindowed;
      if (types.isArray()) {
        String type = types.get(l).asText();
        windowed =
            switch (type) {
              case "sliding_attention" -> true;
              case "full_attention" -> false;
              default ->
                  throw f.bad(
                      "layer_types[" + l + "]", type, "full_attention or sliding_attention");
            };
        if (windowed && a == Architecture.LLAMA) {
          throw f.bad("layer_types[" + l + "]", type, "full_attention");
        }
      }
      windows.add(windowed ? window : 0);
    }
    return ImmutableList.copyOf(windows);
  }

  /**
   * Returns the {@code eos_token_id} of a {@code generation_config.json}; {@code otherwise} if the
   * file or the field is absent.
   */
  static ImmutableList<Integer> endTokens(Path generationConfig, ImmutableList<Integer> otherwise)
      throws IOException {
    if (!Files.isRegularFile(generationConfig)) {
      return otherwise;
    }
    Fields f =
        new Fields(
            generationConfig,
            "",
            parseObject(Files.readString(generationConfig), generationConfig));
    return f.has("eos_token_id") ? f.tokens("eos_token_id", -1) : otherwise;
  }

  /** Returns the number of weights of the base model; a tied head counts once. */
  public long parameters() {
    long norms = architecture == Architecture.GPT2 ? 2L * hiddenSize : hiddenSize;
    long layer = 2 * norms + (qkNorm ? 2L * headDim : 0) + projectionWeights();
    layer += qkvBias ? (long) (heads + 2 * kvHeads) * headDim : 0;
    layer += outputBias ? hiddenSize : 0;
    layer += mlpBias ? hiddenSize + (long) (gated() ? 2 : 1) * intermediateSize : 0;
    return layers * layer
        + norms
        + embeddingWeights()
        + positionWeights()
        + (tiedHead ? 0 : embeddingWeights());
  }

  /** Returns the weights in the projections of one layer, without biases. */
  public long projectionWeights() {
    long attention = (long) hiddenSize * headDim * (2L * heads + 2L * kvHeads);
    return attention + (gated() ? 3L : 2L) * hiddenSize * intermediateSize;
  }

  long embeddingWeights() {
    return (long) vocabularySize * hiddenSize;
  }

  long positionWeights() {
    return rope == null ? (long) maxPositions * hiddenSize : 0;
  }

  boolean gated() {
    return activation == Activation.SWIGLU;
  }

  /** Returns the columns of keys, and of values, in a layer. */
  public int kvCols() {
    return kvHeads * headDim;
  }

  /** Returns the smallest attention window of any layer, or 0 if all see everything. */
  public int smallestWindow() {
    return windows.stream().filter(w -> w > 0).mapToInt(Integer::intValue).min().orElse(0);
  }

  /**
   * Returns the file's text with the type of the stored weights changed, for saving a model derived
   * from this one.
   *
   * @param storedType such as {@code float32}
   */
  public String toJson(String storedType) {
    try {
      ObjectNode root = (ObjectNode) JSON.readTree(json);
      root.put(root.has("torch_dtype") ? "torch_dtype" : "dtype", storedType);
      return JSON.copy().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(root) + "\n";
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a configuration that was parsed before no longer parses", e);
    }
  }

  /** Typed access to the fields of one JSON object, with messages that name file and field. */
  private record Fields(Path origin, String prefix, JsonNode node) {
    MalformedFileException bad(String field, String found, String expected) {
      return new MalformedFileException(
          origin,
          "field '" + prefix + field + "'",
          found.isEmpty() ? "nothing" : "'" + found + "'",
          expected);
    }

    boolean absent(String field) {
      return !node.has(field);
    }

    boolean has(String field) {
      return node.hasNonNull(field);
    }

    void refuse(String field, String expected) throws MalformedFileException {
      if (has(field)) {
        throw bad(field, node.get(field).toString(), expected);
      }
    }

    void require(String field, boolean value) throws MalformedFileException {
      if (flag(field, value) != value) {
        throw bad(field, String.valueOf(!value), String.valueOf(value));
      }
    }

    String text(String field, String otherwise) throws MalformedFileException {
      if (!has(field)) {
        return otherwise;
      }
      if (!node.get(field).isTextual()) {
        throw bad(field, node.get(field).toString(), "a string");
      }
      return node.get(field).asText();
    }

    boolean flag(String field, boolean otherwise) throws MalformedFileException {
      if (!has(field)) {
        return otherwise;
      }
      if (!node.get(field).isBoolean()) {
        throw bad(field, node.get(field).toString(), "true or false");
      }
      return node.get(field).booleanValue();
    }

    int integer(String field, int otherwise) throws MalformedFileException {
      if (!has(field)) {
        return otherwise;
      }
      JsonNode value = node.get(field);
      if (!value.isIntegralNumber() || !value.canConvertToInt()) {
        throw bad(field, value.toString(), "an integer");
      }
      return value.intValue();
    }

    int positive(String field, int otherwise) throws MalformedFileException {
      int value = integer(field, otherwise);
      if (value <= 0 && has(field)) {
        throw bad(field, String.valueOf(value), "a positive integer");
      }
      return value;
    }

    double positive(String field, double otherwise) throws MalformedFileException {
      if (!has(field)) {
        return otherwise;
      }
      double value = node.get(field).asDouble(Double.NaN);
      if (!node.get(field).isNumber() || !(value > 0)) {
        throw bad(field, node.get(field).toString(), "a positive number");
      }
      return value;
    }

    /** A token or a list of tokens; {@code otherwise} below 0 stands for none. */
    ImmutableList<Integer> tokens(String field, int otherwise) throws MalformedFileException {
      if (absent(field)) {
        return otherwise < 0 ? ImmutableList.of() : ImmutableList.of(otherwise);
      }
      ImmutableList.Builder<Integer> tokens = ImmutableList.builder();
      JsonNode value = node.get(field);
      for (JsonNode token : value.isArray() ? value : ImmutableList.of(value)) {
        if (token.isNull()) {
          continue;
        }
        if (!token.isIntegralNumber()) {
          throw bad(field, token.toString(), "token ids");
        }
        tokens.add(token.intValue());
      }
      return tokens.build();
    }

    String dtype() throws MalformedFileException {
      String dtype = has("dtype") ? text("dtype", "") : text("torch_dtype", "");
      return dtype.replaceFirst("^torch\\.", "").toLowerCase(Locale.ROOT);
    }

    /**
     * Version 5 has {@code rope_parameters}; version 4 {@code rope_theta} and, for scaling, {@code
     * rope_scaling}.
     */
    RopeScaling rope() throws MalformedFileException {
      if (positive("partial_rotary_factor", 1.0) != 1.0) {
        throw bad("partial_rotary_factor", node.get("partial_rotary_factor").toString(), "1.0");
      }
      String field = has("rope_parameters") ? "rope_parameters" : "rope_scaling";
      double theta = positive("rope_theta", 10000.0);
      if (!has(field)) {
        return RopeScaling.plain(theta);
      }
      if (!node.get(field).isObject()) {
        throw bad(field, node.get(field).toString(), "an object");
      }
      Fields r = new Fields(origin, prefix + field + ".", node.get(field));
      theta = r.positive("rope_theta", theta);
      if (r.positive("partial_rotary_factor", 1.0) != 1.0) {
        throw r.bad("partial_rotary_factor", r.node.get("partial_rotary_factor").toString(), "1.0");
      }
      String type = r.has("rope_type") ? r.text("rope_type", "") : r.text("type", "default");
      return switch (type) {
        case "default" -> RopeScaling.plain(theta);
        case "linear" ->
            new RopeScaling(theta, RopeScaling.Type.LINEAR, r.needed("factor"), 0, 0, 0);
        case "llama3" -> {
          RopeScaling scaling =
              new RopeScaling(
                  theta,
                  RopeScaling.Type.LLAMA3,
                  r.needed("factor"),
                  r.needed("low_freq_factor"),
                  r.needed("high_freq_factor"),
                  (int) r.needed("original_max_position_embeddings"));
          if (scaling.highFrequencyFactor() <= scaling.lowFrequencyFactor()) {
            throw r.bad(
                "high_freq_factor",
                String.valueOf(scaling.highFrequencyFactor()),
                "more than low_freq_factor = " + scaling.lowFrequencyFactor());
          }
          yield scaling;
        }
        default ->
            throw r.bad(
                r.has("rope_type") ? "rope_type" : "type", type, "one of default, linear, llama3");
      };
    }

    double needed(String field) throws MalformedFileException {
      if (!has(field)) {
        throw bad(field, "", "a positive number");
      }
      return positive(field, 1.0);
    }
  }
}
