package org.tune4j.core.model.family;

import static org.tune4j.core.model.family.ConfigFields.MAX_HEADS;
import static org.tune4j.core.model.family.ConfigFields.MAX_HIDDEN;
import static org.tune4j.core.model.family.ConfigFields.MAX_INNER;
import static org.tune4j.core.model.family.ConfigFields.MAX_LAYERS;
import static org.tune4j.core.model.family.ConfigFields.MAX_TOKENS;
import static org.tune4j.core.model.family.ConfigFields.size;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.UnaryOperator;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.io.JsonFields;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.Architecture;
import org.tune4j.core.model.Decoder;
import org.tune4j.core.model.ModelConfig;
import org.tune4j.core.model.ModelFamily;
import org.tune4j.core.model.ProjectionGroup;
import org.tune4j.core.model.Routing;
import org.tune4j.core.model.WeightLoader;

/** GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each half of a layer, GELU. */
public final class Gpt2 implements ModelFamily {
  private static final Gpt2 FAMILY = new Gpt2();
  private static final String PREFIX = "transformer.";
  private static final String TOKENS = PREFIX + "wte";
  private static final String LAYERS = PREFIX + "h.";

  /** For {@link java.util.ServiceLoader}. */
  public Gpt2() {}

  @Override
  public String modelType() {
    return "gpt2";
  }

  @Override
  public String className() {
    return "GPT2LMHeadModel";
  }

  // ---- config.json

  @Override
  public ModelConfig read(JsonFields f, String json) throws MalformedFileException {
    f.refuseNull("tie_word_embeddings", "scale_attn_weights");
    f.require("add_cross_attention", false);
    int hidden = size(f, name(f, "n_embd", "hidden_size"), 768, MAX_HIDDEN);
    String headsField = name(f, "n_head", "num_attention_heads");
    int heads = size(f, headsField, 12, MAX_HEADS);
    int layers = size(f, name(f, "n_layer", "num_hidden_layers"), 12, MAX_LAYERS);
    if (hidden % heads != 0) {
      throw f.bad(headsField, String.valueOf(heads), "a divisor of n_embd = " + hidden);
    }
    String activation = f.text("activation_function", "gelu_new");
    int vocabulary = size(f, "vocab_size", 50257, MAX_TOKENS);
    int inner = size(f, "n_inner", 4 * hidden, MAX_INNER);
    int positions = size(f, name(f, "n_positions", "max_position_embeddings"), 1024, MAX_TOKENS);
    boolean tanh =
        switch (activation) {
          case "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate" ->
              true;
          case "gelu", "gelu_python" -> false;
          default ->
              throw f.bad(
                  "activation_function", activation, "one of gelu_new, gelu_pytorch_tanh, gelu");
        };
    float normEps = (float) f.positive("layer_norm_epsilon", 1e-5);
    Variant variant =
        new Variant(
            tanh,
            f.flag("scale_attn_weights", true),
            f.flag("scale_attn_by_inverse_layer_idx", false));
    return new ModelConfig(
        variant,
        vocabulary,
        hidden,
        inner,
        layers,
        heads,
        heads,
        hidden / heads,
        positions,
        normEps,
        ImmutableList.copyOf(Collections.nCopies(layers, 0)),
        f.flag("tie_word_embeddings", true),
        ConfigFields.initializerRange(f),
        ConfigFields.endTokens(f, ImmutableList.of(50256)),
        ConfigFields.dtype(f),
        json);
  }

  /** Returns the field that holds a size: the general name takes precedence, as in transformers. */
  private static String name(JsonFields f, String own, String general) {
    return f.has(general) ? general : own;
  }

  /**
   * Differences between models of the family.
   *
   * @param tanh whether GELU is the tanh approximation
   * @param scaleAttention whether scores are divided by {@code sqrt(headDim)}
   * @param scaleByLayer whether scores are also divided by the layer's number, from 1
   */
  public record Variant(boolean tanh, boolean scaleAttention, boolean scaleByLayer)
      implements Architecture {
    @Override
    public ModelFamily family() {
      return FAMILY;
    }

    @Override
    public Decoder decoder(ModelConfig config, WeightLoader load) {
      return new Network(this, config, load);
    }

    @Override
    public String prefix() {
      return PREFIX;
    }

    @Override
    public String embedding() {
      return TOKENS + ".weight";
    }

    @Override
    public StoredMatrix lastMatrix(ModelConfig config) {
      return new StoredMatrix(
          LAYERS + (config.layers() - 1) + ".mlp.c_proj.weight",
          config.intermediateSize(),
          config.hiddenSize());
    }

    @Override
    public boolean padsEmbedding() {
      return false;
    }

    @Override
    public boolean gated() {
      return false;
    }

    @Override
    public long layerVectors(ModelConfig config) {
      long hidden = config.hiddenSize();
      // two norms with biases; biases of query, key and value, attention's output, up and down
      return 4 * hidden + 3 * hidden + hidden + config.intermediateSize() + hidden;
    }

    @Override
    public long otherWeights(ModelConfig config) {
      return (2L + config.maxPositions()) * config.hiddenSize(); // last norm, positions
    }
  }

  // ---- the network

  private static final class Network implements Decoder {
    private record Norm(Tensor weight, Tensor bias, float eps) {
      Tensor apply(Tape tape, Tensor x) {
        return tape.layerNorm(x, weight, bias, eps);
      }
    }

    private record Layer(
        int index,
        Norm ln1,
        ProjectionGroup qkv,
        AttentionShape shape,
        ProjectionGroup attentionOut,
        Norm ln2,
        ProjectionGroup up,
        ProjectionGroup down) {}

    private final boolean tanh;
    private final ProjectionGroup tokens;
    private final ProjectionGroup positionTable;
    private final ImmutableList<Layer> layers;
    private final Norm finalNorm;
    private final ProjectionGroup head;

    Network(Variant variant, ModelConfig config, WeightLoader load) {
      int d = config.hiddenSize();
      tanh = variant.tanh();
      tokens = load.embedding(TOKENS, config.vocabularySize(), d);
      positionTable = load.embedding("transformer.wpe", config.maxPositions(), d);
      List<Layer> all = new ArrayList<>();
      for (int l = 0; l < config.layers(); l++) {
        String h = LAYERS + l + ".";
        double scale = variant.scaleAttention() ? 1 / Math.sqrt(config.headDim()) : 1;
        scale /= variant.scaleByLayer() ? l + 1 : 1;
        all.add(
            new Layer(
                l,
                norm(config, load, h + "ln_1"),
                load.group(load.conv1d(h + "attn.c_attn", l, d, 3 * d)),
                new AttentionShape(
                    config.heads(), config.heads(), config.headDim(), (float) scale, 0),
                load.group(load.conv1d(h + "attn.c_proj", l, d, d)),
                norm(config, load, h + "ln_2"),
                load.group(load.conv1d(h + "mlp.c_fc", l, d, config.intermediateSize())),
                load.group(load.conv1d(h + "mlp.c_proj", l, config.intermediateSize(), d))));
      }
      layers = ImmutableList.copyOf(all);
      finalNorm = norm(config, load, "transformer.ln_f");
      head = load.head("lm_head", config, tokens);
    }

    private Network(Network other, UnaryOperator<ProjectionGroup> replacement) {
      tanh = other.tanh;
      tokens = replacement.apply(other.tokens);
      positionTable = replacement.apply(other.positionTable);
      layers =
          other.layers.stream()
              .map(
                  l ->
                      new Layer(
                          l.index,
                          l.ln1,
                          replacement.apply(l.qkv),
                          l.shape,
                          replacement.apply(l.attentionOut),
                          l.ln2,
                          replacement.apply(l.up),
                          replacement.apply(l.down)))
              .collect(ImmutableList.toImmutableList());
      finalNorm = other.finalNorm;
      head = replacement.apply(other.head);
    }

    @Override
    public Decoder withGroups(UnaryOperator<ProjectionGroup> replacement) {
      return new Network(this, replacement);
    }

    private static Norm norm(ModelConfig config, WeightLoader load, String name) {
      return new Norm(
          load.vector(name + ".weight", config.hiddenSize()),
          load.vector(name + ".bias", config.hiddenSize()),
          config.normEps());
    }

    @Override
    public Tensor residual(
        Tape tape, int[] ids, int[] positions, int length, Attention attention, Routing routing) {
      Tensor x = // F32 [n, d]
          tape.embed(routing.lookup(tokens, ids), routing.lookup(positionTable, positions));
      for (Layer layer : layers) {
        x = tape.layer(x, (t, in) -> layer(t, in, layer, attention, routing)); // F32 [n, d]
      }
      return x;
    }

    private Tensor layer(Tape tape, Tensor x, Layer l, Attention attention, Routing routing) {
      Tensor h = l.ln1.apply(tape, x); // [n, d]
      Tensor qkv = tape.project(h, l.qkv.weights(), null, routing.on(l.qkv)); // [n, 3 d]
      Tensor a = attention.attend(tape, l.index, qkv, l.shape); // [n, d]
      x = tape.project(a, l.attentionOut.weights(), x, routing.on(l.attentionOut)); // F32 [n, d]
      h = l.ln2.apply(tape, x); // [n, d]
      Tensor u = tape.project(h, l.up.weights(), null, routing.on(l.up)); // [n, inner]
      Tensor g = tape.gelu(u, tanh); // [n, inner]
      return tape.project(g, l.down.weights(), x, routing.on(l.down)); // F32 [n, d]
    }

    @Override
    public Tensor finalNorm(Tape tape, Tensor residual) {
      return finalNorm.apply(tape, residual);
    }

    @Override
    public ProjectionGroup head() {
      return head;
    }

    @Override
    public ImmutableList<ProjectionGroup> groups() {
      ImmutableList.Builder<ProjectionGroup> all = ImmutableList.builder();
      all.add(tokens, positionTable);
      layers.forEach(l -> all.add(l.qkv, l.attentionOut, l.up, l.down));
      return all.add(head).build();
    }
  }
}
