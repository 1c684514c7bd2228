package org.tune4j.dl4j;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.graph.LayerVertex;
import org.deeplearning4j.nn.conf.layers.BaseOutputLayer;
import org.deeplearning4j.nn.conf.layers.CenterLossOutputLayer;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.layers.LossLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.activations.impl.ActivationIdentity;
import org.nd4j.linalg.activations.impl.ActivationSigmoid;
import org.nd4j.linalg.activations.impl.ActivationSoftmax;
import org.nd4j.linalg.lossfunctions.ILossFunction;
import org.nd4j.linalg.lossfunctions.impl.LossBinaryXENT;
import org.nd4j.linalg.lossfunctions.impl.LossMCXENT;
import org.nd4j.linalg.lossfunctions.impl.LossMSE;

/**
 * What of a network is taken off for tasks' own output layers: its output layer, or a last dense
 * layer with the loss behind it, as networks imported from Keras have.
 *
 * @param features name of the vertex whose output the tasks' layers get
 * @param like what tasks' layers are made like; empty if there is nothing of the kind
 * @param before the preprocessor before it, or null
 * @param values its parameters by DL4J's key, row-major
 */
record OutputPart(
    String features,
    Optional<BaseOutputLayer> like,
    InputPreProcessor before,
    Map<String, float[]> values) {

  /**
   * Finds it.
   *
   * @param features named by the caller, or empty for the input of the only output layer
   * @throws IllegalArgumentException if the network has several outputs, or no vertex of that name
   */
  static OutputPart of(ComputationGraph graph, Optional<String> features, String network) {
    ComputationGraphConfiguration conf = graph.getConfiguration();
    if (features.isPresent()) {
      if (!conf.getVertices().containsKey(features.get())) {
        throw new IllegalArgumentException(
            "%s has no vertex '%s' to take features from; it has %s"
                .formatted(network, features.get(), conf.getVertices().keySet()));
      }
      return new OutputPart(features.get(), Optional.empty(), null, Map.of());
    }
    List<String> outputs = conf.getNetworkOutputs();
    if (outputs.size() != 1) {
      throw new IllegalArgumentException(
          "%s has the outputs %s; name the one vertex whose output the tasks' layers get by features(name)"
              .formatted(network, outputs));
    }
    String last = outputs.get(0);
    Layer layer = layer(conf, last);
    if (layer instanceof BaseOutputLayer output && !(layer instanceof CenterLossOutputLayer)) {
      return like(graph, last, (BaseOutputLayer) output.clone());
    }
    if (layer instanceof LossLayer loss) {
      String before = conf.getVertexInputs().get(last).get(0);
      if (layer(conf, before) instanceof DenseLayer dense && !dense.hasLayerNorm()) {
        return like(
            graph,
            before,
            output(
                dense,
                loss.getActivationFn() instanceof ActivationIdentity ? dense : loss,
                loss.getLossFn()));
      }
    }
    if (layer instanceof DenseLayer dense && !dense.hasLayerNorm()) {
      return like(graph, last, output(dense, dense, loss(dense)));
    }
    return new OutputPart(last, Optional.empty(), null, Map.of());
  }

  private static Layer layer(ComputationGraphConfiguration conf, String vertex) {
    GraphVertex found = conf.getVertices().get(vertex);
    return found instanceof LayerVertex v ? v.getLayerConf().getLayer() : null;
  }

  private static BaseOutputLayer output(
      DenseLayer dense,
      org.deeplearning4j.nn.conf.layers.BaseLayer activation,
      ILossFunction loss) {
    OutputLayer made =
        new OutputLayer.Builder(loss)
            .nIn(dense.getNIn())
            .nOut(dense.getNOut())
            .hasBias(dense.hasBias())
            .activation(activation.getActivationFn())
            .weightInit(dense.getWeightInitFn())
            .build();
    made.setBiasInit(dense.getBiasInit());
    return made;
  }

  private static ILossFunction loss(DenseLayer dense) {
    if (dense.getActivationFn() instanceof ActivationSoftmax) {
      return new LossMCXENT();
    }
    return dense.getActivationFn() instanceof ActivationSigmoid
        ? new LossBinaryXENT()
        : new LossMSE();
  }

  private static OutputPart like(ComputationGraph graph, String vertex, BaseOutputLayer layer) {
    ComputationGraphConfiguration conf = graph.getConfiguration();
    Map<String, float[]> values = new LinkedHashMap<>();
    graph
        .getVertex(vertex)
        .paramTable(false)
        .forEach((key, p) -> values.put(key, p.dup('c').data().asFloat()));
    return new OutputPart(
        conf.getVertexInputs().get(vertex).get(0),
        Optional.of(layer),
        ((LayerVertex) conf.getVertices().get(vertex)).getPreProcessor(),
        values);
  }
}
