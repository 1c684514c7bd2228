package org.tune4j.core.model;

import com.google.common.collect.ImmutableList;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import org.tune4j.core.engine.AttentionShape;
import org.tune4j.core.engine.FrozenMatrix;
import org.tune4j.core.engine.Tape;
import org.tune4j.core.engine.Tensor;
import org.tune4j.core.model.ModelConfig.Activation;

/** GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each half of a layer, GELU. */
final class Gpt2 implements Decoder {
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

  Gpt2(ModelConfig config, WeightLoader load) {
    int d = config.hiddenSize();
    tanh = config.activation() == Activation.GELU_TANH;
    tokens =
        load.embedding(
            "transformer.wte",
            config.vocabularySize(),
            d,
            config.tiedHead() ? FrozenMatrix.Use.EMBEDDING_AND_HEAD : FrozenMatrix.Use.EMBEDDING);
    positionTable =
        load.embedding("transformer.wpe", config.maxPositions(), d, FrozenMatrix.Use.EMBEDDING);
    List<Layer> all = new ArrayList<>();
    for (int l = 0; l < config.layers(); l++) {
      String h = "transformer.h." + l + ".";
      double scale = config.scaleAttention() ? 1 / Math.sqrt(config.headDim()) : 1;
      scale /= config.scaleByLayer() ? l + 1 : 1;
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
    head =
        config.tiedHead()
            ? load.tiedHead("lm_head", tokens)
            : load.head("lm_head", config.vocabularySize(), d);
  }

  private Gpt2(Gpt2 other, UnaryOperator<ProjectionGroup> replacement) {
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
    return new Gpt2(this, replacement);
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
