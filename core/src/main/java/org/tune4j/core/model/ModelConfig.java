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
import java.util.List;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.JsonFile;
import org.tune4j.core.io.MalformedFileException;

/**
 * A {@code config.json} of Hugging Face transformers, as written by version 4 ({@code torch_dtype},
 * {@code rope_theta}, {@code rope_scaling}) or 5 ({@code dtype}, {@code rope_parameters}). Absent
 * keys have the architecture's defaults in transformers. Anything that would change the model's
 * output and is not implemented is refused by name.
 *
 * <p>Dropout of the base model ({@code attn_pdrop}, {@code attention_dropout}, …) is not applied:
 * the base is frozen, and adapters have their own.
 *
 * @param architecture the family-specific part
 * @param vocabularySize rows of the embedding
 * @param hiddenSize columns of the residual stream
 * @param intermediateSize columns inside the feed-forward network
 * @param layers decoder layers
 * @param heads query heads
 * @param kvHeads key/value heads
 * @param headDim columns of a head
 * @param maxPositions context length in tokens, including rotary scaling
 * @param normEps epsilon added to the variance (mean square) in norms
 * @param windows for each layer, the number of keys that a query sees including its own; 0 for all
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
    float normEps,
    ImmutableList<Integer> windows,
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

  /** Checks that the sizes fit together. */
  public ModelConfig {
    checkArgument(windows.size() == layers, "%s windows for %s layers", windows.size(), layers);
    checkArgument(heads % kvHeads == 0, "%s heads over %s key/value heads", heads, kvHeads);
  }

  /**
   * Reads a {@code config.json}.
   *
   * @throws IOException if it cannot be read
   * @throws IllegalArgumentException if it is malformed or describes an unsupported model; the
   *     message names file, field, what was found and what is supported
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
    ModelFamily family =
        ModelFamilies.of(type)
            .orElseThrow(() -> f.bad("model_type", type, "one of " + ModelFamilies.supported()));
    for (String quantised : List.of("quantization_config", "compression_config")) {
      f.refuse(quantised, "an unquantised checkpoint");
    }
    f.refuse("per_layer_config", "layers that are all alike");
    f.refuseNull(NEVER_NULL);
    f.require("is_causal", true);
    return family.read(f, json);
  }

  /** Fields that may be absent but not null; flags that default to false may be null. */
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

  /**
   * Checks a {@code generation_config.json} and returns its {@code eos_token_id}, or the default if
   * the file or the field is absent.
   *
   * @throws MalformedFileException if a field has an invalid value
   */
  static ImmutableList<Integer> endTokens(
      Path generationConfig, ImmutableList<Integer> defaultTokens) throws IOException {
    if (!Files.exists(generationConfig)) {
      return defaultTokens;
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
    return f.has("eos_token_id") ? f.integers("eos_token_id", "token ids") : defaultTokens;
  }

  /**
   * Returns PyTorch's {@code padding_idx}, the token whose embedding is never trained; -1 if there
   * is none.
   */
  public int untrainedToken() {
    JsonNode pad = fields().path("pad_token_id");
    return !architecture.padsEmbedding() || !pad.isInt() || pad.asInt() >= vocabularySize
        ? -1
        : pad.asInt();
  }

  public ModelFamily family() {
    return architecture.family();
  }

  /** Returns the number of weights of the base model; a tied head counts once. */
  public long parameters() {
    long embedding = (long) vocabularySize * hiddenSize;
    return layers * (architecture.layerVectors(this) + projectionWeights())
        + architecture.otherWeights(this)
        + embedding
        + (tiedHead ? 0 : embedding);
  }

  /** Returns the number of weights in the projections of one layer, without biases. */
  public long projectionWeights() {
    long attention = (long) hiddenSize * headDim * (2L * heads + 2L * kvHeads);
    return attention + feedForwardMatrices() * hiddenSize * intermediateSize;
  }

  long feedForwardMatrices() {
    return architecture.gated() ? 3 : 2;
  }

  /** Returns the number of key columns in a layer, which is that of value columns too. */
  public int kvCols() {
    return kvHeads * headDim;
  }

  /** Returns the smallest attention window of any layer, or 0 if all see everything. */
  public int smallestWindow() {
    return windows.stream().filter(w -> w > 0).mapToInt(Integer::intValue).min().orElse(0);
  }

  /** Returns a copy with a separate output head, in the JSON as well. */
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
        normEps,
        windows,
        false,
        initializerRange,
        endTokens,
        dtype,
        text(root));
  }

  /**
   * Returns the file's text with another type of stored weights, and the family's causal language
   * model as the class, for saving a model derived from this one.
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
    root.putArray("architectures").add(family().className());
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
