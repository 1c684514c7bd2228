package org.tune4j.core.model.family;

import static org.tune4j.core.model.family.ConfigFields.MAX_HEADS;
import static org.tune4j.core.model.family.ConfigFields.MAX_HIDDEN;
import static org.tune4j.core.model.family.ConfigFields.MAX_INNER;
import static org.tune4j.core.model.family.ConfigFields.MAX_LAYERS;
import static org.tune4j.core.model.family.ConfigFields.MAX_TOKENS;
import static org.tune4j.core.model.family.ConfigFields.size;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntPredicate;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.Architecture;
import org.tune4j.core.model.Decoder;
import org.tune4j.core.model.ModelConfig;
import org.tune4j.core.model.ModelFamily;
import org.tune4j.core.model.WeightLoader;

/**
 * Base class of families that are variations of Llama. Subclasses override what differs and give
 * the defaults of their configuration in transformers; the implementations here are Llama's.
 */
public abstract class LlamaLike implements ModelFamily {
  /**
   * Values of absent keys.
   *
   * @param hidden {@code hidden_size}
   * @param layers {@code num_hidden_layers}
   * @param heads {@code num_attention_heads}
   * @param vocabulary {@code vocab_size}
   * @param inner {@code intermediate_size}
   * @param kvHeads {@code num_key_value_heads}; 0 for as many as query heads
   * @param positions {@code max_position_embeddings}
   * @param endTokens {@code eos_token_id}
   */
  record Defaults(
      int hidden,
      int layers,
      int heads,
      int vocabulary,
      int inner,
      int kvHeads,
      int positions,
      ImmutableList<Integer> endTokens) {
    /** Defaults with the size of Llama 7B. */
    Defaults(
        int vocabulary, int inner, int kvHeads, int positions, ImmutableList<Integer> endTokens) {
      this(4096, 32, 32, vocabulary, inner, kvHeads, positions, endTokens);
    }
  }

  /**
   * Multipliers; each except {@code scores} is 1 in Llama.
   *
   * @param embedding applied to token embeddings
   * @param scores applied to products of queries and keys
   * @param residual applied to what attention and feed-forward network add to the residual stream
   * @param logits applied to logits
   */
  public record Multipliers(float embedding, float scores, float residual, float logits) {
    static Multipliers llama(int headDim) {
      return new Multipliers(1, (float) (1 / Math.sqrt(headDim)), 1, 1);
    }
  }

  private final String modelType;
  private final String className;
  private final Defaults defaults;

  LlamaLike(String modelType, String className, Defaults defaults) {
    this.modelType = modelType;
    this.className = className;
    this.defaults = defaults;
  }

  @Override
  public final String modelType() {
    return modelType;
  }

  @Override
  public final String className() {
    return className;
  }

  // ---- what families change

  /** Returns the columns of a head where {@code head_dim} is absent; 0 for hidden / heads. */
  int headDim() {
    return 0;
  }

  /** Returns whether {@code attention_bias} and {@code mlp_bias} are read. */
  boolean readsBiases() {
    return false;
  }

  /** Returns whether query, key and value have a bias. */
  boolean qkvBias(JsonFields f) throws MalformedFileException {
    return outputBias(f);
  }

  /** Returns whether the attention's output projection has a bias. */
  boolean outputBias(JsonFields f) throws MalformedFileException {
    return readsBiases() && f.flag("attention_bias", false);
  }

  /** Returns whether the feed-forward projections have a bias. */
  boolean mlpBias(JsonFields f) throws MalformedFileException {
    return readsBiases() && f.flag("mlp_bias", false);
  }

  /** Returns whether query and key heads are normalised. */
  boolean qkNorm() {
    return false;
  }

  /** Returns whether projections of the same input are stored as one matrix. */
  boolean fused() {
    return false;
  }

  /** Returns the default of {@code rms_norm_eps}. */
  double normEps() {
    return 1e-6;
  }

  /** Returns the default of {@code tie_word_embeddings}. */
  boolean tied() {
    return false;
  }

  /** Returns how the fields of rotary embedding are read. */
  RopeFields.Dialect rope() {
    return RopeFields.Dialect.COMMON;
  }

  /** Returns the layers without rotary embedding. */
  ImmutableSet<Integer> unrotated(JsonFields f, int layers) throws MalformedFileException {
    return ImmutableSet.of();
  }

  Multipliers multipliers(JsonFields f, int headDim) throws MalformedFileException {
    return Multipliers.llama(headDim);
  }

  /**
   * Returns the number of keys that a query of a windowed layer sees, including its own; 0 for all.
   */
  int window(JsonFields f) throws MalformedFileException {
    return 0;
  }

  /** Returns which layers have a window if {@code layer_types} is absent. */
  IntPredicate windowed(JsonFields f, int layers) throws MalformedFileException {
    int first = f.integer("max_window_layers", 28);
    return layer -> layer >= first;
  }

  /** Describes the allowed {@code layer_types} if there is no window, for messages. */
  String unwindowed() {
    return "full_attention, as there is no sliding_window";
  }

  // ---- config.json

  @Override
  public final ModelConfig read(JsonFields f, String json) throws MalformedFileException {
    int hidden = size(f, "hidden_size", defaults.hidden, MAX_HIDDEN);
    int layers = size(f, "num_hidden_layers", defaults.layers, MAX_LAYERS);
    int heads = size(f, "num_attention_heads", defaults.heads, MAX_HEADS);
    boolean fromHeads =
        f.present("num_key_value_heads") || defaults.kvHeads == 0; // null: as many as heads
    int kvHeads = size(f, "num_key_value_heads", fromHeads ? heads : defaults.kvHeads, MAX_HEADS);
    if (heads % kvHeads != 0) {
      throw f.bad(
          "num_key_value_heads",
          String.valueOf(kvHeads),
          "a divisor of num_attention_heads = " + heads);
    }
    boolean ownDefault = headDim() > 0 && !f.present("head_dim");
    if (hidden % heads != 0 && !f.has("head_dim") && !ownDefault) {
      throw f.bad(
          "num_attention_heads", String.valueOf(heads), "a divisor of hidden_size = " + hidden);
    }
    int headDim = size(f, "head_dim", ownDefault ? headDim() : hidden / heads, MAX_INNER / heads);
    if (headDim % 2 != 0) {
      throw f.bad("head_dim", String.valueOf(headDim), "an even number");
    }
    String activation = f.text("hidden_act", "silu");
    if (!activation.equals("silu") && !activation.equals("swish")) {
      throw f.bad("hidden_act", activation, "silu");
    }
    boolean qkvBias = qkvBias(f);
    boolean outputBias = outputBias(f);
    int positions = f.integer("max_position_embeddings", defaults.positions, 1, Integer.MAX_VALUE);
    RopeScaling rope = RopeFields.read(f, positions, headDim, rope());
    int vocabulary = size(f, "vocab_size", defaults.vocabulary, MAX_TOKENS);
    int inner = size(f, "intermediate_size", defaults.inner, MAX_INNER);
    float normEps = (float) f.positive("rms_norm_eps", normEps());
    ImmutableList<Integer> windows = windows(f, layers);
    return new ModelConfig(
        new Variant(
            this,
            rope,
            unrotated(f, layers),
            multipliers(f, headDim),
            fused(),
            qkvBias,
            outputBias,
            mlpBias(f),
            qkNorm()),
        vocabulary,
        hidden,
        inner,
        layers,
        heads,
        kvHeads,
        headDim,
        rope.context(positions),
        normEps,
        windows,
        f.flag("tie_word_embeddings", tied()),
        ConfigFields.initializerRange(f),
        ConfigFields.endTokens(f, defaults.endTokens),
        ConfigFields.dtype(f),
        json);
  }

  /** Returns {@code sliding_window}; 0 if it is null. */
  static int slidingWindow(JsonFields f) throws MalformedFileException {
    return f.present("sliding_window") && !f.has("sliding_window")
        ? 0
        : size(f, "sliding_window", 4096, Integer.MAX_VALUE);
  }

  private ImmutableList<Integer> windows(JsonFields f, int layers) throws MalformedFileException {
    int window = window(f);
    ImmutableList<String> types = f.strings("layer_types");
    if (f.has("layer_types") && types.size() != layers) {
      throw f.bad("layer_types", types.size() + " entries", layers + ", one for each layer");
    }
    IntPredicate windowed = windowed(f, layers);
    List<Integer> windows = new ArrayList<>();
    for (int l = 0; l < layers; l++) {
      boolean sliding = windowed.test(l);
      if (!types.isEmpty()) {
        String field = "layer_types[" + l + "]";
        sliding = types.get(l).equals("sliding_attention");
        if (!sliding && !types.get(l).equals("full_attention")) {
          throw f.bad(field, types.get(l), "full_attention or sliding_attention");
        }
        if (sliding && window == 0) {
          throw f.bad(field, types.get(l), unwindowed());
        }
      }
      windows.add(sliding ? window : 0);
    }
    return ImmutableList.copyOf(windows);
  }

  /**
   * Differences between models of these families.
   *
   * @param unrotated layers without rotary embedding
   * @param fused whether projections of the same input are stored as one matrix
   * @param qkvBias whether query, key and value have a bias
   * @param outputBias whether the attention's output projection has a bias
   * @param mlpBias whether the feed-forward projections have a bias
   * @param qkNorm whether query and key heads are normalised
   */
  public record Variant(
      ModelFamily family,
      RopeScaling rope,
      ImmutableSet<Integer> unrotated,
      Multipliers multipliers,
      boolean fused,
      boolean qkvBias,
      boolean outputBias,
      boolean mlpBias,
      boolean qkNorm)
      implements Architecture {
    @Override
    public Decoder decoder(ModelConfig config, WeightLoader load) {
      return new LlamaDecoder(this, config, load);
    }

    @Override
    public String prefix() {
      return LlamaDecoder.PREFIX;
    }

    @Override
    public String embedding() {
      return LlamaDecoder.TOKENS + ".weight";
    }

    @Override
    public StoredMatrix lastMatrix(ModelConfig config) {
      return new StoredMatrix(
          LlamaDecoder.LAYERS + (config.layers() - 1) + ".mlp.down_proj.weight",
          config.hiddenSize(),
          config.intermediateSize());
    }

    @Override
    public boolean padsEmbedding() {
      return true;
    }

    @Override
    public boolean gated() {
      return true;
    }

    @Override
    public long layerVectors(ModelConfig config) {
      long hidden = config.hiddenSize();
      return 2 * hidden
          + (qkNorm ? 2L * config.headDim() : 0)
          + (qkvBias ? (long) (config.heads() + 2 * config.kvHeads()) * config.headDim() : 0)
          + (outputBias ? hidden : 0)
          + (mlpBias ? hidden + 2L * config.intermediateSize() : 0);
    }

    @Override
    public long otherWeights(ModelConfig config) {
      return config.hiddenSize(); // the last norm
    }
  }
}
