package org.tune4j.core.model;

import static com.google.common.base.Preconditions.checkArgument;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.JsonFile;
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
 * @param maxPositions context length in tokens, as far as {@code rope} stretches it
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

  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .enable(SerializationFeature.INDENT_OUTPUT)
          .disable(JsonWriteFeature.WRITE_NAN_AS_STRINGS) // as Python writes them
          .build();

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
    return parse(JsonFile.text(file, JsonFile.LIMIT), file);
  }

  /**
   * Parses the text of a {@code config.json}.
   *
   * @param origin the file, for messages
   * @throws MalformedFileException as {@link #read}
   */
  public static ModelConfig parse(String json, Path origin) throws MalformedFileException {
    JsonFields f = JsonFields.parse(json, origin);
    String type = f.text("model_type", "");
    Architecture architecture =
        Architecture.of(type)
            .orElseThrow(() -> f.bad("model_type", type, "one of " + Architecture.supported()));
    for (String quantised : List.of("quantization_config", "compression_config")) {
      f.refuse(quantised, "an unquantised checkpoint");
    }
    f.refuse("per_layer_config", "layers that are all alike");
    f.refuseNull(NEVER_NULL);
    f.require("is_causal", true);
    return architecture == Architecture.GPT2 ? gpt2(f, json) : llama(architecture, f, json);
  }

  /** Null is no value of these; flags that are false unless they are set may be null. */
  private static final String[] NEVER_NULL = {
    "is_causal",
    "vocab_size",
    "initializer_range",
    "n_embd",
    "n_head",
    "n_layer",
    "n_positions",
    "activation_function",
    "layer_norm_epsilon",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta"
  };

  // far above every model there is, and low enough that no product of sizes exceeds 63 bits
  private static final int MOST_LAYERS = 4096;
  private static final int MOST_HIDDEN = 1 << 20;
  private static final int MOST_INNER = 1 << 24;
  private static final int MOST_TOKENS = 1 << 24;
  private static final int MOST_HEADS = 1 << 16;

  private static int size(JsonFields f, String field, int otherwise, int most)
      throws MalformedFileException {
    return f.integer(field, otherwise, 1, most);
  }

  /** Returns the name under which a size stands: transformers reads the general one last. */
  private static String name(JsonFields f, String own, String general) {
    return f.has(general) ? general : own;
  }

  private static ModelConfig gpt2(JsonFields f, String json) throws MalformedFileException {
    f.refuseNull("tie_word_embeddings", "scale_attn_weights");
    f.require("add_cross_attention", false);
    int hidden = size(f, name(f, "n_embd", "hidden_size"), 768, MOST_HIDDEN);
    String headsField = name(f, "n_head", "num_attention_heads");
    int heads = size(f, headsField, 12, MOST_HEADS);
    int layers = size(f, name(f, "n_layer", "num_hidden_layers"), 12, MOST_LAYERS);
    if (hidden % heads != 0) {
      throw f.bad(headsField, String.valueOf(heads), "a divisor of n_embd = " + hidden);
    }
    String activation = f.text("activation_function", "gelu_new");
    return new ModelConfig(
        Architecture.GPT2,
        size(f, "vocab_size", 50257, MOST_TOKENS),
        hidden,
        size(f, "n_inner", 4 * hidden, MOST_INNER),
        layers,
        heads,
        heads,
        hidden / heads,
        size(f, name(f, "n_positions", "max_position_embeddings"), 1024, MOST_TOKENS),
        switch (activation) {
          case "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate" ->
              Activation.GELU_TANH;
          case "gelu", "gelu_python" -> Activation.GELU;
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
        initializerRange(f),
        tokens(f, "eos_token_id", 50256),
        dtype(f),
        json);
  }

  private static ModelConfig llama(Architecture a, JsonFields f, String json)
      throws MalformedFileException {
    // defaults of LlamaConfig, Qwen2Config, Qwen3Config, MistralConfig
    boolean qwen = a == Architecture.QWEN2 || a == Architecture.QWEN3;
    int hidden = size(f, "hidden_size", 4096, MOST_HIDDEN);
    int layers = size(f, "num_hidden_layers", 32, MOST_LAYERS);
    int heads = size(f, "num_attention_heads", 32, MOST_HEADS);
    int kvHeads = size(f, "num_key_value_heads", kvHeadsDefault(a, f, heads), MOST_HEADS);
    if (heads % kvHeads != 0) {
      throw f.bad(
          "num_key_value_heads",
          String.valueOf(kvHeads),
          "a divisor of num_attention_heads = " + heads);
    }
    boolean ownDefault = a == Architecture.QWEN3 && !f.present("head_dim");
    if (hidden % heads != 0 && !f.has("head_dim") && !ownDefault) {
      throw f.bad(
          "num_attention_heads", String.valueOf(heads), "a divisor of hidden_size = " + hidden);
    }
    int headDim = size(f, "head_dim", ownDefault ? 128 : hidden / heads, MOST_INNER / heads);
    if (headDim % 2 != 0) {
      throw f.bad("head_dim", String.valueOf(headDim), "an even number");
    }
    String activation = f.text("hidden_act", "silu");
    if (!activation.equals("silu") && !activation.equals("swish")) {
      throw f.bad("hidden_act", activation, "silu");
    }
    boolean attentionBias =
        (a == Architecture.LLAMA || a == Architecture.QWEN3) && f.flag("attention_bias", false);
    int positions =
        f.integer(
            "max_position_embeddings",
            qwen ? 32768 : a == Architecture.MISTRAL ? 131072 : 2048,
            1,
            Integer.MAX_VALUE);
    RopeScaling rope = RopeFields.read(f, positions, headDim);
    return new ModelConfig(
        a,
        size(f, "vocab_size", qwen ? 151936 : 32000, MOST_TOKENS),
        hidden,
        size(
            f,
            "intermediate_size",
            qwen ? 22016 : a == Architecture.MISTRAL ? 14336 : 11008,
            MOST_INNER),
        layers,
        heads,
        kvHeads,
        headDim,
        rope.context(positions),
        Activation.SWIGLU,
        (float) f.positive("rms_norm_eps", 1e-6),
        rope,
        windows(a, f, layers),
        a == Architecture.QWEN2 || attentionBias,
        attentionBias,
        a == Architecture.LLAMA && f.flag("mlp_bias", false),
        a == Architecture.QWEN3,
        true,
        false,
        f.flag("tie_word_embeddings", false),
        initializerRange(f),
        tokens(f, "eos_token_id", qwen ? -1 : 2),
        dtype(f),
        json);
  }

  private static float initializerRange(JsonFields f) throws MalformedFileException {
    return (float) f.number("initializer_range", 0.02, 0, 1e6, "a number from 0 on");
  }

  private static int kvHeadsDefault(Architecture a, JsonFields f, int heads) {
    if (f.present("num_key_value_heads")) {
      return heads; // null: as many as query heads
    }
    return switch (a) {
      case MISTRAL -> 8;
      case QWEN2, QWEN3 -> 32;
      default -> heads;
    };
  }

  private static ImmutableList<Integer> windows(Architecture a, JsonFields f, int layers)
      throws MalformedFileException {
    boolean windowed =
        a == Architecture.MISTRAL
            || (a != Architecture.LLAMA && f.flag("use_sliding_window", false));
    // null: none
    int window =
        !windowed || (f.present("sliding_window") && !f.has("sliding_window"))
            ? 0
            : size(f, "sliding_window", 4096, Integer.MAX_VALUE);
    ImmutableList<String> types = f.strings("layer_types");
    if (f.has("layer_types") && types.size() != layers) {
      throw f.bad("layer_types", types.size() + " entries", layers + ", one for each layer");
    }
    int firstWindowed = a == Architecture.MISTRAL ? 0 : f.integer("max_window_layers", 28);
    List<Integer> windows = new ArrayList<>();
    for (int l = 0; l < layers; l++) {
      boolean sliding = l >= firstWindowed;
      if (!types.isEmpty()) {
        String field = "layer_types[" + l + "]";
        sliding = types.get(l).equals("sliding_attention");
        if (!sliding && !types.get(l).equals("full_attention")) {
          throw f.bad(field, types.get(l), "full_attention or sliding_attention");
        }
        if (sliding && window == 0) {
          throw f.bad(
              field,
              types.get(l),
              a == Architecture.LLAMA
                  ? "full_attention"
                  : "full_attention, as there is no sliding_window");
        }
      }
      windows.add(sliding ? window : 0);
    }
    return ImmutableList.copyOf(windows);
  }

  /** A token or a list of tokens; {@code otherwise} below 0 stands for none. */
  private static ImmutableList<Integer> tokens(JsonFields f, String field, int otherwise)
      throws MalformedFileException {
    if (!f.present(field)) {
      return otherwise < 0 ? ImmutableList.of() : ImmutableList.of(otherwise);
    }
    return f.integers(field, "token ids");
  }

  private static String dtype(JsonFields f) throws MalformedFileException {
    String dtype = f.has("dtype") ? f.text("dtype", "") : f.text("torch_dtype", "");
    return dtype.replaceFirst("^torch\\.", "").toLowerCase(Locale.ROOT);
  }

  /**
   * Checks a {@code generation_config.json} and returns its {@code eos_token_id}; {@code otherwise}
   * if the file or the field is absent.
   *
   * @throws MalformedFileException if a field has a value that no generation can have
   */
  static ImmutableList<Integer> endTokens(Path generationConfig, ImmutableList<Integer> otherwise)
      throws IOException {
    if (!Files.exists(generationConfig)) {
      return otherwise;
    }
    JsonFields f = JsonFields.read(generationConfig);
    for (String flag : List.of("do_sample", "use_cache", "early_stopping")) {
      if (!flag.equals("early_stopping") || !f.node().path(flag).isTextual()) {
        f.flag(flag, false); // early_stopping may be "never"
      }
    }
    for (String share : List.of("top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")) {
      f.number(share, 0, 0, 1, "a number from 0 to 1");
    }
    for (String count : List.of("top_k", "min_length", "min_new_tokens", "no_repeat_ngram_size")) {
      f.integer(count, 0, 0, Integer.MAX_VALUE);
    }
    for (String count :
        List.of("max_length", "max_new_tokens", "num_beams", "num_return_sequences")) {
      f.integer(count, 1, 1, Integer.MAX_VALUE);
    }
    f.number("temperature", 1, 0, Double.MAX_VALUE, "a number from 0 on");
    f.positive("repetition_penalty", 1);
    f.number("length_penalty", 1);
    for (String token : List.of("bos_token_id", "pad_token_id", "decoder_start_token_id")) {
      f.integers(token, "token ids");
    }
    return f.has("eos_token_id") ? f.integers("eos_token_id", "token ids") : otherwise;
  }

  /**
   * Returns the token whose embedding is never trained, torch's {@code padding_idx}; -1 if there is
   * none.
   */
  public int untrainedToken() {
    JsonNode pad = fields().path("pad_token_id");
    return architecture == Architecture.GPT2 || !pad.isInt() || pad.asInt() >= vocabularySize
        ? -1
        : pad.asInt();
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

  /** Returns the same with an output head of its own; its JSON says so, too. */
  public ModelConfig untied() {
    ObjectNode root = fields();
    root.put("tie_word_embeddings", false);
    return new ModelConfig(
        architecture,
        vocabularySize,
        hiddenSize,
        intermediateSize,
        layers,
        heads,
        kvHeads,
        headDim,
        maxPositions,
        activation,
        normEps,
        rope,
        windows,
        qkvBias,
        outputBias,
        mlpBias,
        qkNorm,
        scaleAttention,
        scaleByLayer,
        false,
        initializerRange,
        endTokens,
        dtype,
        text(root));
  }

  /**
   * Returns the file's text with the type of the stored weights changed, for saving a model derived
   * from this one: a causal language model, whatever class the file named.
   *
   * @param storedType such as {@code float32}
   */
  public String toJson(String storedType) {
    ObjectNode root = fields();
    if (root.has("torch_dtype")) {
      root.put("torch_dtype", storedType);
    }
    if (root.has("dtype") || !root.has("torch_dtype")) {
      root.put("dtype", storedType);
    }
    root.putArray("architectures").add(architecture.className());
    return text(root);
  }

  private ObjectNode fields() {
    try {
      return (ObjectNode) JsonFile.parse(json, Path.of(FILE));
    } catch (MalformedFileException e) {
      throw new IllegalStateException("a configuration that was parsed before no longer parses", e);
    }
  }

  private static String text(ObjectNode root) {
    try {
      return JSON.writeValueAsString(root) + "\n";
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a configuration that was read cannot be written", e);
    }
  }
}
