package org.tune4j.dl4j;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.graph.vertex.GraphVertex;
import org.deeplearning4j.nn.graph.vertex.VertexIndices;
import org.deeplearning4j.nn.graph.vertex.impl.LayerVertex;
import org.deeplearning4j.nn.layers.normalization.BatchNormalization;
import org.deeplearning4j.nn.layers.samediff.SameDiffGraphVertex;
import org.deeplearning4j.nn.layers.samediff.SameDiffLayer;
import org.deeplearning4j.nn.layers.wrapper.BaseWrapperLayer;
import org.deeplearning4j.nn.params.BatchNormalizationParamInitializer;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.INDArrayIndex;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.ops.transforms.Transforms;

/**
 * A network below its output layers, run forward and backward for several adapters at once. Rows of
 * different adapters (lanes) lie in one batch.
 *
 * <p>A dense layer runs once for all lanes: {@code x W + b}, to which each lane adds {@code scale x
 * A' B'} on its rows ({@link DenseRows}). Every other kind of layer runs as DL4J has it, with the
 * weights {@code W + scale B A}, for each lane on its rows; what its backward says of these is, by
 * the chain rule, what it says of A and B. So every layer whose weights are matrices can be
 * adapted, exactly. What is not adapted runs once for all lanes. Nothing is computed below the
 * first adapted layer of the backward pass.
 *
 * <p>The base is frozen as DL4J's {@code FrozenLayer} has it: batch normalisation uses its running
 * statistics, and dropout and weight noise are off. Its values are kept beside those that layers
 * run with, and never written to.
 *
 * <p>Not thread-safe: layers keep what they need between forward and backward.
 */
final class Backbone {
  private static final LayerWorkspaceMgr MEMORY = LayerWorkspaceMgr.noWorkspaces();

  /**
   * What DL4J 1.0.0-M2.1's layers on SameDiff, attention among them, make of a gradient: plain
   * {@code computeGradientAndScore} is wrong by it, against central differences, too.
   */
  private static final double SAME_DIFF_FACTOR = 2;

  /**
   * Rows of a batch that one stack of adapters works on.
   *
   * @param from first row
   * @param to after the last
   */
  record Lane(int from, int to, Update update) {}

  private final ComputationGraph graph;
  private final ImmutableList<GraphVertex> order;
  private final int features;
  private final ImmutableMap<Integer, ImmutableList<AdaptedMatrix>> adapted;
  private final Map<AdaptedMatrix, INDArray> base = new HashMap<>();
  private final boolean[] differentiated; // is, or is above, something adapted
  private final Map<Integer, Update> loaded = new HashMap<>();
  private boolean stepwise;

  /**
   * Takes over a network.
   *
   * @param graph of which it runs what leads to the features, and whose weights it changes
   * @param features name of the vertex whose output the output layers get
   */
  Backbone(ComputationGraph graph, String features) {
    this.graph = graph;
    this.features = graph.getVertex(features).getVertexIndex();
    GraphVertex[] all = graph.getVertices();
    boolean[] needed = new boolean[all.length];
    needed[this.features] = true;
    int[] sorted = graph.topologicalSortOrder();
    for (int i = sorted.length - 1; i >= 0; i--) {
      if (needed[sorted[i]] && !all[sorted[i]].isInputVertex()) {
        for (VertexIndices v : all[sorted[i]].getInputVertices()) {
          needed[v.getVertexIndex()] = true;
        }
      }
    }
    order =
        Arrays.stream(sorted)
            .filter(v -> needed[v])
            .mapToObj(v -> all[v])
            .collect(ImmutableList.toImmutableList());
    ImmutableMap.Builder<Integer, ImmutableList<AdaptedMatrix>> found = ImmutableMap.builder();
    differentiated = new boolean[all.length];
    for (GraphVertex v : order) {
      if (!v.isInputVertex()) {
        ImmutableList<AdaptedMatrix> own = ImmutableList.copyOf(AdaptedMatrix.of(v));
        if (!own.isEmpty()) {
          found.put(v.getVertexIndex(), own);
        }
        differentiated[v.getVertexIndex()] =
            !own.isEmpty()
                || Arrays.stream(v.getInputVertices())
                    .anyMatch(i -> differentiated[i.getVertexIndex()]);
      }
    }
    adapted = found.buildOrThrow();
    adapted.values().stream()
        .flatMap(ImmutableList::stream)
        .forEach(m -> base.put(m, parameter(m).dup()));
    graph.initGradientsView();
  }

  private INDArray parameter(AdaptedMatrix m) {
    return graph.getVertices()[m.vertex()].paramTable(false).get(m.parameter());
  }

  /** Returns all that can be adapted, in the order of the layers. */
  ImmutableList<AdaptedMatrix> matrices() {
    return order.stream()
        .flatMap(v -> adapted.getOrDefault(v.getVertexIndex(), ImmutableList.of()).stream())
        .collect(ImmutableList.toImmutableList());
  }

  /** Returns the frozen values of a matrix, in DL4J's shape; not to be changed. */
  INDArray base(AdaptedMatrix matrix) {
    return base.get(matrix);
  }

  /**
   * Returns whether somewhere in the network rows are no examples but steps of them, or stacked
   * otherwise, so that lanes' rows do not lie together: it is then run lane by lane.
   */
  boolean stepwise() {
    return stepwise;
  }

  /** A pass through the network. */
  final class Run {
    private final INDArray[] inputs;
    private final INDArray[] masks; // null where there is none
    private final List<Lane> lanes;
    private final int rows;
    private final INDArray[] activations = new INDArray[graph.getVertices().length];
    private final Map<Integer, Pair<INDArray, MaskState>> maskOf = new HashMap<>();
    private final Map<Integer, DenseRows> dense = new HashMap<>();

    /**
     * Prepares it.
     *
     * @param inputs of the network, examples in the first dimension
     * @param masks of the inputs, or null
     * @param lanes that cover all rows, in order
     */
    Run(INDArray[] inputs, INDArray[] masks, List<Lane> lanes) {
      this.inputs = inputs;
      this.masks = masks;
      this.lanes = lanes;
      rows = Math.toIntExact(inputs[0].size(0));
    }

    /**
     * Returns the output of the features' vertex; null if there are several lanes, and the network
     * turned out to be {@linkplain #stepwise one} that is run lane by lane.
     */
    INDArray forward() {
      graph.setInputs(inputs); // preprocessors ask for the size of the batch
      for (GraphVertex v : order) {
        int index = v.getVertexIndex();
        if (v.isInputVertex()) {
          activations[index] = inputs[index];
          if (masks != null) {
            maskOf.put(index, Pair.of(masks[index], MaskState.Active));
          }
        } else if (DenseRows.canRun(v) && masks == null) {
          activations[index] = dense(v).forward();
        } else if (adapted.containsKey(index) && lanes.size() > 1) {
          List<INDArray> parts = new ArrayList<>();
          for (Lane lane : lanes) {
            parts.add(forward(v, lane));
          }
          activations[index] = Nd4j.concat(0, parts.toArray(INDArray[]::new));
          mask(v, 0, rows); // of all rows, for the vertices above
        } else {
          activations[index] = forward(v, new Lane(0, rows, lanes.get(0).update()));
        }
        if (activations[index].size(0) != rows) {
          stepwise = true;
          if (lanes.size() > 1) {
            return null;
          }
        }
      }
      return activations[features];
    }

    private DenseRows dense(GraphVertex v) {
      ImmutableList<AdaptedMatrix> own =
          adapted.getOrDefault(v.getVertexIndex(), ImmutableList.of());
      DenseRows made =
          new DenseRows(
              (LayerVertex) v,
              own.isEmpty() ? Optional.empty() : Optional.of(own.get(0)),
              own.isEmpty() ? v.paramTable(false).get("W") : base.get(own.get(0)),
              activations[v.getInputVertices()[0].getVertexIndex()],
              rows,
              lanes);
      dense.put(v.getVertexIndex(), made);
      return made;
    }

    /** Runs a vertex on a lane's rows. */
    private INDArray forward(GraphVertex v, Lane lane) {
      load(v, lane.update());
      int count = lane.to() - lane.from();
      VertexIndices[] from = v.getInputVertices();
      INDArray[] in = new INDArray[from.length];
      for (int i = 0; i < in.length; i++) {
        INDArray all = activations[from[i].getVertexIndex()];
        in[i] = count == rows ? all : part(all, lane.from(), lane.to());
      }
      if (v instanceof LayerVertex vertex) {
        Layer layer = vertex.getLayer();
        InputPreProcessor before = vertex.getLayerPreProcessor();
        layer.setInput(before == null ? in[0] : before.preProcess(in[0], count, MEMORY), MEMORY);
        mask(v, lane.from(), lane.to());
        // in training mode layers keep their inputs whole; all that is random in it is taken out
        return layer.activate(!(layer instanceof BatchNormalization), MEMORY);
      }
      for (int i = 0; i < in.length; i++) {
        v.setInput(i, in[i], MEMORY);
      }
      mask(v, lane.from(), lane.to());
      return v.doForward(true, MEMORY);
    }

    /** Hands the masks of a vertex's inputs to it, and keeps what it makes of them. */
    private void mask(GraphVertex v, int from, int to) {
      if (masks == null) {
        if (v.getLayer() != null) {
          v.getLayer().setMaskArray(null);
        }
        return;
      }
      VertexIndices[] inputs = v.getInputVertices();
      INDArray[] own = null;
      MaskState state = null;
      for (int i = 0; i < inputs.length; i++) {
        Pair<INDArray, MaskState> p = maskOf.get(inputs[i].getVertexIndex());
        if (p != null) {
          own = own == null ? new INDArray[inputs.length] : own;
          INDArray all = p.getFirst();
          own[i] = all == null || to - from == rows ? all : part(all, from, to);
          state = state == null || state == MaskState.Passthrough ? p.getSecond() : state;
        }
      }
      Pair<INDArray, MaskState> out = v.feedForwardMaskArrays(own, state, to - from);
      if (to - from == rows) {
        maskOf.put(v.getVertexIndex(), out);
      }
    }

    /**
     * Adds the gradients of all adapted matrices to those of the adapters in training.
     *
     * @param epsilon of the features
     */
    void backward(INDArray epsilon) {
      INDArray[] epsilons = new INDArray[activations.length];
      epsilons[features] = epsilon;
      for (GraphVertex v : order.reverse()) {
        int index = v.getVertexIndex();
        INDArray own = epsilons[index];
        epsilons[index] = null;
        if (own == null || v.isInputVertex() || !differentiated[index]) {
          continue;
        }
        INDArray[] below = new INDArray[v.getInputVertices().length];
        if (dense.containsKey(index)) {
          boolean goesOn = differentiated[v.getInputVertices()[0].getVertexIndex()];
          below[0] = dense.remove(index).backward(own, goesOn);
        } else if (adapted.containsKey(index) && lanes.size() > 1) {
          List<INDArray[]> parts = new ArrayList<>();
          for (Lane lane : lanes) {
            forward(v, lane); // the layer knows the last lane's inputs
            INDArray ofLane = part(own, lane.from(), lane.to());
            parts.add(backward(v, ofLane, lane));
          }
          for (int i = 0; i < below.length; i++) {
            int input = i;
            below[i] =
                parts.get(0)[i] == null
                    ? null
                    : Nd4j.concat(0, parts.stream().map(p -> p[input]).toArray(INDArray[]::new));
          }
        } else {
          below = backward(v, own, new Lane(0, rows, lanes.get(0).update()));
        }
        for (int i = 0; i < below.length; i++) {
          int to = v.getInputVertices()[i].getVertexIndex();
          if (below[i] != null) {
            epsilons[to] = epsilons[to] == null ? below[i] : epsilons[to].add(below[i]);
          }
        }
      }
    }

    private INDArray[] backward(GraphVertex v, INDArray given, Lane lane) {
      Gradient gradient;
      INDArray[] below;
      INDArray epsilon = onSameDiff(v) ? given.div(SAME_DIFF_FACTOR) : given;
      if (v instanceof LayerVertex vertex) {
        Layer layer = vertex.getLayer();
        INDArray eps;
        if (layer instanceof BatchNormalization norm) {
          gradient = null;
          eps = Backbone.backward(norm, epsilon);
        } else {
          Pair<Gradient, INDArray> pair = layer.backpropGradient(epsilon, MEMORY);
          gradient = pair.getFirst();
          eps = pair.getSecond();
        }
        if (eps != null && vertex.getLayerPreProcessor() != null) {
          eps = vertex.getLayerPreProcessor().backprop(eps, lane.to() - lane.from(), MEMORY);
        }
        below = new INDArray[] {eps};
      } else {
        v.setEpsilon(epsilon);
        Pair<Gradient, INDArray[]> pair = v.doBackward(false, MEMORY);
        gradient = pair.getFirst();
        below = pair.getSecond();
      }
      for (AdaptedMatrix m : adapted.getOrDefault(v.getVertexIndex(), ImmutableList.of())) {
        INDArray g = m.matrix(gradient.gradientForVariable().get(m.parameter())); // [out, in]
        for (Update.Factors f : lane.update().factors(m)) {
          if (f.adapter().trainable()) {
            f.adapter()
                .addGradient(
                    m,
                    f.b().transpose().mmul(g).muli(f.scale()),
                    g.mmul(f.a().transpose()).muli(f.scale()));
          }
        }
      }
      return below;
    }
  }

  private static boolean onSameDiff(GraphVertex v) {
    Layer layer = v.getLayer();
    while (layer instanceof BaseWrapperLayer wrapper) {
      layer = wrapper.getUnderlying();
    }
    return layer instanceof SameDiffLayer || v instanceof SameDiffGraphVertex;
  }

  /** Sets the weights of a vertex to the base's with an update. */
  private void load(GraphVertex v, Update update) {
    ImmutableList<AdaptedMatrix> own = adapted.get(v.getVertexIndex());
    if (own == null || update.equals(loaded.get(v.getVertexIndex()))) {
      return;
    }
    for (AdaptedMatrix m : own) {
      INDArray weights = parameter(m);
      if (update.factors(m).isEmpty()) {
        weights.assign(base.get(m));
      } else {
        base.get(m).addi(update.sum(m), weights);
      }
    }
    loaded.put(v.getVertexIndex(), update);
  }

  /** Batch normalisation by running statistics is a factor for each channel. */
  private static INDArray backward(BatchNormalization norm, INDArray epsilon) {
    org.deeplearning4j.nn.conf.layers.BatchNormalization conf = norm.layerConf();
    Map<String, INDArray> p = norm.paramTable(false);
    INDArray variance =
        conf.isUseLogStd()
            ? Transforms.pow(
                Nd4j.valueArrayOf(
                    p.get(BatchNormalizationParamInitializer.GLOBAL_LOG_STD).shape(),
                    100.0,
                    epsilon.dataType()),
                p.get(BatchNormalizationParamInitializer.GLOBAL_LOG_STD))
            : p.get(BatchNormalizationParamInitializer.GLOBAL_VAR);
    INDArray factor = Transforms.sqrt(variance.add(conf.getEps()), false).rdivi(1.0);
    if (conf.isLockGammaBeta()) {
      factor.muli(conf.getGamma());
    } else {
      factor.muli(p.get(BatchNormalizationParamInitializer.GAMMA));
    }
    boolean channelsLast = epsilon.rank() == 4 && conf.getCnn2DFormat() == CNN2DFormat.NHWC;
    long[] shape = new long[epsilon.rank()];
    Arrays.fill(shape, 1);
    shape[channelsLast ? 3 : 1] = factor.length();
    return epsilon.mul(factor.reshape(shape));
  }

  /** Returns rows {@code [from, to)} of an array; the array itself if that is all. */
  static INDArray part(INDArray of, int from, int to) {
    if (from == 0 && to == of.size(0)) {
      return of;
    }
    INDArrayIndex[] index = new INDArrayIndex[of.rank()];
    Arrays.fill(index, NDArrayIndex.all());
    index[0] = NDArrayIndex.interval(from, to);
    return of.get(index).dup('c');
  }
}
