package org.tune4j.dl4j;

import com.google.common.collect.ImmutableMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.layers.IOutputLayer;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.layers.BaseOutputLayer;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * The output layer of a task, on a network's features: one of DL4J's, which forms loss and
 * gradients itself. Its parameters are set before each use, as adapters have their own.
 */
final class OutputHead {
  private static final LayerWorkspaceMgr MEMORY = LayerWorkspaceMgr.noWorkspaces();

  private final MultiLayerConfiguration configuration;
  private final Layer layer;
  private final InputPreProcessor before; // null if there is none
  private final ImmutableMap<String, float[]> initial;
  private Object loaded;

  /**
   * Makes it.
   *
   * @param configuration of one output layer, its inputs known
   * @param initial values by DL4J's key, row-major; empty for those that the configuration draws
   */
  OutputHead(MultiLayerConfiguration configuration, Map<String, float[]> initial) {
    this.configuration = configuration;
    MultiLayerNetwork network = new MultiLayerNetwork(configuration);
    network.init();
    network.initGradientsView();
    layer = network.getLayer(0);
    before = configuration.getInputPreProcess(0);
    ImmutableMap.Builder<String, float[]> values = ImmutableMap.builder();
    parameters()
        .forEach(
            (key, drawn) ->
                values.put(key, initial.getOrDefault(key, drawn.dup('c').data().asFloat())));
    this.initial = values.buildOrThrow();
  }

  /** Returns its configuration, which another can be made of. */
  MultiLayerConfiguration configuration() {
    return configuration;
  }

  /** Returns the configuration of the layer. */
  BaseOutputLayer conf() {
    return (BaseOutputLayer) layer.conf().getLayer();
  }

  /** Returns one that begins with other values. */
  OutputHead from(Map<String, float[]> values) {
    return new OutputHead(configuration.clone(), values);
  }

  /** Returns the arrays of its parameters, by DL4J's key. */
  Map<String, INDArray> parameters() {
    return layer.paramTable(false);
  }

  /** Returns the values that new adapters begin with, by DL4J's key, row-major. */
  ImmutableMap<String, float[]> initial() {
    return initial;
  }

  /**
   * Sets its parameters, unless they are what was set last.
   *
   * @param key tells values from others
   * @param values by DL4J's key, of as many elements as the parameter has, row-major
   */
  void load(Object key, Map<String, INDArray> values) {
    if (!key.equals(loaded)) {
      parameters()
          .forEach(
              (name, p) -> p.assign(values.get(name).reshape('c', p.shape()).castTo(p.dataType())));
      loaded = key;
    }
  }

  /** Sets its parameters to those that new adapters begin with. */
  void loadInitial() {
    if (!initial.equals(loaded)) {
      parameters()
          .forEach(
              (name, p) ->
                  p.assign(Nd4j.createFromArray(initial.get(name)).reshape('c', p.shape())));
      loaded = initial;
    }
  }

  private INDArray prepared(INDArray features) {
    return before == null
        ? features
        : before.preProcess(features, Math.toIntExact(features.size(0)), MEMORY);
  }

  private IOutputLayer at(INDArray features, INDArray labels, INDArray mask) {
    layer.setInput(prepared(features), MEMORY);
    layer.setMaskArray(mask);
    IOutputLayer output = (IOutputLayer) layer;
    output.setLabels(labels);
    return output;
  }

  /** Returns the loss of each example. */
  double[] losses(INDArray features, INDArray labels, INDArray mask) {
    INDArray scores = at(features, labels, mask).computeScoreForExamples(0, MEMORY);
    return scores.dup('c').data().asDouble();
  }

  /**
   * The gradients of the sum of all examples' losses.
   *
   * @param parameters by DL4J's key; valid until the next call
   * @param epsilon by the features
   */
  record Gradients(Map<String, INDArray> parameters, INDArray epsilon) {}

  /** Forms them. */
  Gradients gradients(INDArray features, INDArray labels, INDArray mask) {
    at(features, labels, mask);
    Pair<Gradient, INDArray> pair = layer.backpropGradient(null, MEMORY);
    INDArray epsilon = pair.getSecond();
    if (before != null) {
      epsilon = before.backprop(epsilon, Math.toIntExact(features.size(0)), MEMORY);
    }
    return new Gradients(new LinkedHashMap<>(pair.getFirst().gradientForVariable()), epsilon);
  }

  /**
   * Returns what it says of features.
   *
   * @param mask of the labels, or null
   */
  INDArray output(INDArray features, INDArray mask) {
    layer.setInput(prepared(features), MEMORY);
    layer.setMaskArray(mask);
    return layer.activate(false, MEMORY).dup();
  }
}
