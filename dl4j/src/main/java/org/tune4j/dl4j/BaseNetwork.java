package org.tune4j.dl4j;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.BackpropType;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.WorkspaceMode;
import org.deeplearning4j.nn.conf.graph.FrozenVertex;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.graph.LayerVertex;
import org.deeplearning4j.nn.conf.layers.BaseLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.layers.misc.FrozenLayer;
import org.deeplearning4j.nn.conf.layers.misc.FrozenLayerWithBackprop;
import org.deeplearning4j.nn.conf.layers.recurrent.Bidirectional;
import org.deeplearning4j.nn.conf.layers.wrapper.BaseWrapperLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.activations.impl.ActivationLReLU;
import org.nd4j.linalg.activations.impl.ActivationRReLU;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * The network that was given, of either class: what is run is a copy of it as a graph, what is
 * handed out again is a network of its own class.
 */
final class BaseNetwork {
  private static final String INPUT = "in"; // of a MultiLayerNetwork

  private final Model network;

  BaseNetwork(Model network) {
    checkArgument(
        network instanceof MultiLayerNetwork || network instanceof ComputationGraph,
        "%s is no network that can be fine-tuned; a MultiLayerNetwork or a ComputationGraph is",
        network.getClass().getSimpleName());
    checkArgument(
        network.params() != null && network.params().length() > 0,
        "the %s has no parameters; it needs init() and training",
        network.getClass().getSimpleName());
    this.network = network;
  }

  Model network() {
    return network;
  }

  String kind() {
    return network.getClass().getSimpleName();
  }

  /** Returns other names of vertices of {@link #graph()}: those of a MultiLayerNetwork's layers. */
  Map<String, String> aliases() {
    Map<String, String> names = new HashMap<>();
    if (network instanceof MultiLayerNetwork m) {
      for (int i = 0; i < m.getnLayers(); i++) {
        String name = m.getLayerWiseConfigurations().getConf(i).getLayer().getLayerName();
        if (name != null) {
          names.put(name, Integer.toString(i));
        }
      }
    }
    return names;
  }

  // ---- what is run

  /**
   * Returns a copy to run, without what is random in training. The layers of a MultiLayerNetwork
   * are named by their numbers.
   */
  ComputationGraph graph() {
    ComputationGraphConfiguration conf =
        network instanceof MultiLayerNetwork m
            ? chain(m.getLayerWiseConfigurations().clone())
            : ((ComputationGraph) network).getConfiguration().clone();
    conf.getVertices().replaceAll((name, v) -> v instanceof FrozenVertex f ? underlying(f) : v);
    for (GraphVertex v : conf.getVertices().values()) {
      if (v instanceof LayerVertex l) {
        l.getLayerConf().setLayer(deterministic(l.getLayerConf().getLayer()));
      }
    }
    conf.setBackpropType(BackpropType.Standard);
    conf.setTrainingWorkspaceMode(WorkspaceMode.NONE);
    conf.setInferenceWorkspaceMode(WorkspaceMode.NONE);
    ComputationGraph copy = new ComputationGraph(conf);
    copy.init(network.params().dup(), false);
    return copy;
  }

  private static GraphVertex underlying(FrozenVertex v) {
    return v.getUnderlying();
  }

  private static ComputationGraphConfiguration chain(MultiLayerConfiguration conf) {
    ComputationGraphConfiguration.GraphBuilder graph =
        new NeuralNetConfiguration.Builder().dataType(conf.getDataType()).graphBuilder();
    graph.addInputs(INPUT);
    String last = INPUT;
    for (int i = 0; i < conf.getConfs().size(); i++) {
      String name = Integer.toString(i);
      graph.addLayer(name, conf.getConf(i).getLayer(), conf.getInputPreProcess(i), last);
      last = name;
    }
    return graph.setOutputs(last).validateOutputLayerConfig(false).build();
  }

  /** Takes dropout, noise and the freezing of layers out of a configuration. */
  private static Layer deterministic(Layer layer) {
    if (layer instanceof FrozenLayer f) {
      return deterministic(f.getLayer());
    }
    if (layer instanceof FrozenLayerWithBackprop f) {
      return deterministic(f.getUnderlying());
    }
    layer.setIDropout(null);
    if (layer instanceof BaseLayer b) {
      b.setWeightNoise(null);
      if (b.getActivationFn() instanceof ActivationRReLU r) {
        b.setActivationFn(new ActivationLReLU((r.getL() + r.getU()) / 2)); // as it is in inference
      }
    }
    if (layer instanceof BaseWrapperLayer w) {
      w.setUnderlying(deterministic(w.getUnderlying()));
    }
    if (layer instanceof Bidirectional b) {
      b.setFwd(deterministic(b.getFwd()));
      b.setBwd(deterministic(b.getBwd()));
    }
    return layer;
  }

  // ---- what is handed out

  /**
   * Returns a network of the same class with other weights in some places.
   *
   * @param weights by matrix of {@link #graph()}
   */
  Model with(Map<AdaptedMatrix, INDArray> weights) {
    Model copy =
        network instanceof MultiLayerNetwork m ? m.clone() : ((ComputationGraph) network).clone();
    weights.forEach(
        (matrix, values) ->
            parameters(copy, matrix.layer()).get(matrix.parameter()).assign(values));
    return copy;
  }

  private static Map<String, INDArray> parameters(Model of, String vertex) {
    return of instanceof MultiLayerNetwork m
        ? m.getLayer(Integer.parseInt(vertex)).paramTable(false)
        : ((ComputationGraph) of).getVertex(vertex).paramTable(false);
  }

  /**
   * Returns a network of the same class that ends in another output layer.
   *
   * @param weights by matrix of {@link #graph()}
   * @param features name of the vertex below the output layer
   * @param head the output layer
   * @param values of the output layer, by DL4J's key
   */
  Model with(
      Map<AdaptedMatrix, INDArray> weights,
      String features,
      OutputHead head,
      Map<String, INDArray> values) {
    NeuralNetConfiguration output = head.configuration().getConf(0).clone();
    InputPreProcessor before = head.configuration().getInputPreProcess(0);
    Model made;
    List<String> kept;
    String last;
    if (network instanceof MultiLayerNetwork m) {
      int layers = features.equals(INPUT) ? 0 : Integer.parseInt(features) + 1;
      kept = new ArrayList<>();
      for (int i = 0; i < layers; i++) {
        kept.add(Integer.toString(i));
      }
      last = Integer.toString(layers);
      made = chain(m, layers, output, before);
    } else {
      ComputationGraph g = (ComputationGraph) network;
      kept = ancestors(g.getConfiguration(), features);
      last = g.getConfiguration().getNetworkOutputs().get(0);
      if (kept.contains(last)) {
        last = "output";
      }
      made = graph(g, kept, features, last, output, before);
    }
    Map<String, INDArray> changed = new LinkedHashMap<>();
    weights.forEach((matrix, w) -> changed.put(matrix.name(), w));
    for (String vertex : kept) {
      Map<String, INDArray> to = parameters(made, vertex);
      parameters(network, vertex)
          .forEach((key, p) -> to.get(key).assign(changed.getOrDefault(vertex + "." + key, p)));
    }
    parameters(made, last).forEach((key, p) -> p.assign(values.get(key).reshape('c', p.shape())));
    return made;
  }

  private static MultiLayerNetwork chain(
      MultiLayerNetwork of, int layers, NeuralNetConfiguration output, InputPreProcessor before) {
    MultiLayerConfiguration conf = of.getLayerWiseConfigurations().clone();
    List<NeuralNetConfiguration> confs = new ArrayList<>(conf.getConfs().subList(0, layers));
    confs.add(output);
    conf.setConfs(confs);
    Map<Integer, InputPreProcessor> preprocessors = new HashMap<>();
    conf.getInputPreProcessors()
        .forEach(
            (i, p) -> {
              if (i < layers) {
                preprocessors.put(i, p);
              }
            });
    if (before != null) {
      preprocessors.put(layers, before.clone());
    }
    conf.setInputPreProcessors(preprocessors);
    MultiLayerNetwork made = new MultiLayerNetwork(conf);
    made.init();
    return made;
  }

  private static ComputationGraph graph(
      ComputationGraph of,
      List<String> kept,
      String features,
      String last,
      NeuralNetConfiguration output,
      InputPreProcessor before) {
    ComputationGraphConfiguration conf = of.getConfiguration().clone();
    conf.getVertices().keySet().retainAll(kept);
    conf.getVertexInputs().keySet().retainAll(kept);
    output.getLayer().setLayerName(last);
    conf.getVertices().put(last, new LayerVertex(output, before == null ? null : before.clone()));
    conf.getVertexInputs().put(last, List.of(features));
    conf.setNetworkOutputs(List.of(last));
    conf.setTopologicalOrder(null);
    conf.setTopologicalOrderStr(null);
    ComputationGraph made = new ComputationGraph(conf);
    made.init();
    return made;
  }

  /** Returns a vertex and all that it depends on, inputs of the network left out. */
  private static List<String> ancestors(ComputationGraphConfiguration conf, String of) {
    Set<String> found = new LinkedHashSet<>();
    Deque<String> open = new ArrayDeque<>(List.of(of));
    while (!open.isEmpty()) {
      String v = open.pop();
      if (conf.getVertices().containsKey(v) && found.add(v)) {
        open.addAll(conf.getVertexInputs().get(v));
      }
    }
    return new ArrayList<>(found);
  }

  /** Returns a hash of its values, to tell networks apart. */
  String hash() {
    return String.format("%016x", Rows.hash(network.params()));
  }
}
