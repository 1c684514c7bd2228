package org.tune4j.dl4j;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.BaseOutputLayer;
import org.deeplearning4j.nn.conf.layers.CenterLossOutputLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.tune4j.core.data.Task;

/**
 * Makes the output layers of tasks, and runs an example of each, so that data and network which do
 * not go together are found before training.
 *
 * @param network name for messages
 * @param inputs how many arrays of features it takes
 * @param part of the network that they stand in for
 * @param type of the network
 * @param features runs the network without adapters up to them
 */
record HeadMaker(
    String network,
    int inputs,
    OutputPart part,
    DataType type,
    Function<MultiDataSet, INDArray> features) {

  /**
   * Returns the output layer of a task.
   *
   * @throws IllegalArgumentException if the task does not fit; the message names what does not
   */
  OutputHead of(Dl4jTask task) {
    MultiDataSet example = task.row(new Dl4jTask.Place(Task.Split.TRAIN, 0));
    INDArray[] given = example.getFeatures();
    String shapes =
        Arrays.toString(Arrays.stream(given).map(a -> Arrays.toString(a.shape())).toArray());
    checkArgument(
        given.length == inputs,
        "task '%s': %s arrays of features %s; the %s takes %s",
        task.name(),
        given.length,
        shapes,
        network,
        inputs);
    INDArray at;
    try {
      at = features.apply(example);
    } catch (RuntimeException e) {
      throw new IllegalArgumentException(
          "task '%s': the %s cannot run its examples, whose features are %s: %s"
              .formatted(task.name(), network, shapes, e.getMessage()),
          e);
    }
    OutputHead head = make(task, at);
    try {
      head.loadInitial();
      head.losses(at, example.getLabels(0), example.getLabelsMaskArray(0));
    } catch (RuntimeException e) {
      throw new IllegalArgumentException(
          "task '%s': its output layer, a %s with %s outputs on features %s, does not fit labels %s: %s"
              .formatted(
                  task.name(),
                  head.conf().getClass().getSimpleName(),
                  head.conf().getNOut(),
                  Arrays.toString(at.shape()),
                  Arrays.toString(example.getLabels(0).shape()),
                  e.getMessage()),
          e);
    }
    return head;
  }

  private OutputHead make(Dl4jTask task, INDArray at) {
    Optional<BaseOutputLayer> own = task.output();
    checkArgument(
        own.isPresent() || part.like().isPresent(),
        "task '%s': '%s', whose output it gets, is followed by no output layer that its own could be made like; give it one by output(…)",
        task.name(),
        part.features());
    BaseOutputLayer layer = (BaseOutputLayer) own.or(part::like).orElseThrow().clone();
    checkArgument(
        !(layer instanceof CenterLossOutputLayer),
        "task '%s': a CenterLossOutputLayer learns by more than gradients; take an OutputLayer",
        task.name());
    if (own.isEmpty() || layer.getNOut() <= 0) {
      layer.setNOut(task.outputs());
    }
    checkArgument(
        layer.getNOut() == task.outputs(),
        "task '%s': its output layer has %s outputs, its labels have %s values",
        task.name(),
        layer.getNOut(),
        task.outputs());
    layer.setIDropout(null);
    layer.setWeightNoise(null);
    layer.setLayerName("output");
    NeuralNetConfiguration.ListBuilder list =
        new NeuralNetConfiguration.Builder().dataType(type).seed(1).list().layer(layer);
    if (own.isEmpty()) {
      if (part.before() != null) {
        list.inputPreProcessor(0, part.before().clone());
      }
    } else {
      list.setInputType(InputType.inferInputType(at));
    }
    MultiLayerConfiguration conf = list.validateOutputLayerConfig(false).build();
    boolean same = own.isEmpty() && part.like().orElseThrow().getNOut() == layer.getNOut();
    return new OutputHead(conf, same ? part.values() : Map.of());
  }
}
