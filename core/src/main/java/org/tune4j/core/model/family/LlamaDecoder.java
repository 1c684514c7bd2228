package org.tune4j.core.model.family;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.Decoder;
import org.tune4j.core.model.ModelConfig;
import org.tune4j.core.model.ProjectionGroup;
import org.tune4j.core.model.Routing;
import org.tune4j.core.model.WeightLoader;

/**
 * The network of Llama (Touvron et al. 2023) and its relatives: rotary positions, RMSNorm before
 * each half of a layer, grouped-query attention, SwiGLU.
 */
final class LlamaDecoder implements Decoder {
  static final String PREFIX = "model.";
  static final String TOKENS = PREFIX + "embed_tokens";
  static final String LAYERS = PREFIX + "layers.";

  private record Layer(
      int index,
      boolean rotated,
      Tensor inputNorm,
      ProjectionGroup qkv,
      Tensor queryNorm,
      Tensor keyNorm,
      AttentionShape shape,
      ProjectionGroup attentionOut,
      Tensor postAttentionNorm,
      ProjectionGroup gateUp,
      ProjectionGroup down) {}

  private final ModelConfig config;
  private final ProjectionGroup tokens;
  private final ImmutableList<Layer> layers;
  private final Tensor finalNorm;
  private final ProjectionGroup head;
  private final Rotary rotary;
  private final LlamaLike.Multipliers multipliers;

  LlamaDecoder(LlamaLike.Variant variant, ModelConfig config, WeightLoader load) {
    this.config = config;
    this.rotary = new Rotary(variant.rope(), config);
    this.multipliers = variant.multipliers();
    int d = config.hiddenSize();
    int q = config.heads() * config.headDim();
    int kv = config.kvCols();
    int f = config.intermediateSize();
    tokens = load.embedding(TOKENS, config.vocabularySize(), d);
    List<Layer> all = new ArrayList<>();
    for (int l = 0; l < config.layers(); l++) {
      String layer = LAYERS + l + ".";
      String attention = layer + "self_attn.";
      String mlp = layer + "mlp.";
      all.add(
          new Layer(
              l,
              !variant.unrotated().contains(l),
              load.vector(layer + "input_layernorm.weight", d),
              variant.fused()
                  ? load.group(
                      load.linear(attention + "qkv_proj", l, d, q + 2 * kv, variant.qkvBias()))
                  : load.group(
                      load.linear(attention + "q_proj", l, d, q, variant.qkvBias()),
                      load.linear(attention + "k_proj", l, d, kv, variant.qkvBias()),
                      load.linear(attention + "v_proj", l, d, kv, variant.qkvBias())),
              variant.qkNorm() ? load.vector(attention + "q_norm.weight", config.headDim()) : null,
              variant.qkNorm() ? load.vector(attention + "k_norm.weight", config.headDim()) : null,
              new AttentionShape(
                  config.heads(),
                  config.kvHeads(),
                  config.headDim(),
                  multipliers.scores(),
                  config.windows().get(l)),
              load.group(load.linear(attention + "o_proj", l, q, d, variant.outputBias())),
              load.vector(layer + "post_attention_layernorm.weight", d),
              variant.fused()
                  ? load.group(load.linear(mlp + "gate_up_proj", l, d, 2 * f, variant.mlpBias()))
                  : load.group(
                      load.linear(mlp + "gate_proj", l, d, f, variant.mlpBias()),
                      load.linear(mlp + "up_proj", l, d, f, variant.mlpBias())),
              load.group(load.linear(mlp + "down_proj", l, f, d, variant.mlpBias()))));
    }
    layers = ImmutableList.copyOf(all);
    finalNorm = load.vector("model.norm.weight", d);
    head = load.head("lm_head", config, tokens);
  }

  private LlamaDecoder(LlamaDecoder other, UnaryOperator<ProjectionGroup> replacement) {
    config = other.config;
    tokens = replacement.apply(other.tokens);
    layers =
        other.layers.stream()
            .map(
                l ->
                    new Layer(
                        l.index,
                        l.rotated,
                        l.inputNorm,
                        replacement.apply(l.qkv),
                        l.queryNorm,
                        l.keyNorm,
                        l.shape,
                        replacement.apply(l.attentionOut),
                        l.postAttentionNorm,
                        replacement.apply(l.gateUp),
                        replacement.apply(l.down)))
            .collect(ImmutableList.toImmutableList());
    finalNorm = other.finalNorm;
    head = replacement.apply(other.head);
    rotary = other.rotary;
    multipliers = other.multipliers;
  }

  @Override
  public Decoder withGroups(UnaryOperator<ProjectionGroup> replacement) {
    return new LlamaDecoder(this, replacement);
  }

  @Override
  public Tensor residual(
      Tape tape, int[] ids, int[] positions, int length, Attention attention, Routing routing) {
    Rotary.Angles angles = rotary.angles(positions, length);
    Tensor x = tape.embed(routing.lookup(tokens, ids)); // F32 [n, d]
    x = tape.scale(x, multipliers.embedding());
    for (Layer layer : layers) {
      x = tape.layer(x, (t, in) -> layer(t, in, layer, angles, attention, routing)); // F32 [n, d]
    }
    return x;
  }

  private Tensor layer(
      Tape tape, Tensor x, Layer l, Rotary.Angles angles, Attention attention, Routing routing) {
    Tensor h = tape.rmsNorm(x, l.inputNorm, config.normEps()); // [n, d]
    Tensor qkv =
        tape.project(
            h, l.qkv.weights(), null, routing.on(l.qkv)); // [n, (heads + 2 kvHeads) headDim]
    if (l.queryNorm != null) {
      tape.headNorm(qkv, l.shape, l.queryNorm, l.keyNorm, config.normEps());
    }
    if (l.rotated) {
      tape.rope(qkv, l.shape, angles.table(), angles.rows());
    }
    Tensor a = attention.attend(tape, l.index, qkv, l.shape); // [n, heads * headDim]
    a = tape.scale(a, multipliers.residual()); // before the product, so that its bias is not scaled
    x = tape.project(a, l.attentionOut.weights(), x, routing.on(l.attentionOut)); // F32 [n, d]
    h = tape.rmsNorm(x, l.postAttentionNorm, config.normEps()); // [n, d]
    Tensor gu = tape.project(h, l.gateUp.weights(), null, routing.on(l.gateUp)); // [n, 2 f]
    Tensor g = tape.scale(tape.swiglu(gu), multipliers.residual()); // [n, f]
    return tape.project(g, l.down.weights(), x, routing.on(l.down)); // F32 [n, d]
  }

  @Override
  public Tensor finalNorm(Tape tape, Tensor residual) {
    return tape.rmsNorm(residual, finalNorm, config.normEps());
  }

  @Override
  public Tensor headInput(Tape tape, Tensor normed) {
    return tape.scale(normed, multipliers.logits());
  }

  @Override
  public ProjectionGroup head() {
    return head;
  }

  @Override
  public ImmutableList<ProjectionGroup> groups() {
    ImmutableList.Builder<ProjectionGroup> all = ImmutableList.builder();
    all.add(tokens);
    layers.forEach(l -> all.add(l.qkv, l.attentionOut, l.gateUp, l.down));
    return all.add(head).build();
  }
}
