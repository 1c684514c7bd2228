package org.tune4j.dl4j;

import java.util.Random;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.graph.MergeVertex;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;
import org.tune4j.core.data.Task.Split;

/** Small networks with random weights, and data for them. */
final class Networks {
  private Networks() {}

  static MultiLayerNetwork dense(DataType type, long seed) {
    return list(
        type,
        seed,
        new DenseLayer.Builder().nIn(6).nOut(8).activation(Activation.TANH).build(),
        new DenseLayer.Builder().nIn(8).nOut(7).activation(Activation.SIGMOID).build(),
        new OutputLayer.Builder(LossFunction.MCXENT)
            .nIn(7)
            .nOut(4)
            .activation(Activation.SOFTMAX)
            .build());
  }

  static MultiLayerNetwork list(DataType type, long seed, Layer... layers) {
    NeuralNetConfiguration.ListBuilder list =
        new NeuralNetConfiguration.Builder().dataType(type).seed(seed).list();
    for (Layer l : layers) {
      list.layer(l);
    }
    MultiLayerNetwork network = new MultiLayerNetwork(list.build());
    network.init();
    return network;
  }

  /** Two branches, one of them used twice, that are merged. */
  static ComputationGraph branches(DataType type, long seed) {
    ComputationGraphConfiguration.GraphBuilder graph =
        new NeuralNetConfiguration.Builder()
            .dataType(type)
            .seed(seed)
            .graphBuilder()
            .addInputs("x")
            .addLayer("low", dense(6, 5), "x")
            .addLayer("left", dense(5, 4), "low")
            .addLayer("right", dense(5, 3), "low")
            .addVertex("both", new MergeVertex(), "left", "right", "low")
            .addLayer(
                "out",
                new OutputLayer.Builder(LossFunction.MCXENT)
                    .nIn(12)
                    .nOut(4)
                    .activation(Activation.SOFTMAX)
                    .build(),
                "both")
            .setOutputs("out");
    ComputationGraph network = new ComputationGraph(graph.build());
    network.init();
    return network;
  }

  private static DenseLayer dense(int in, int out) {
    return new DenseLayer.Builder().nIn(in).nOut(out).activation(Activation.TANH).build();
  }

  static INDArray random(DataType type, long seed, long... shape) {
    Random random = new Random(seed);
    INDArray made = Nd4j.zeros(type, shape);
    for (long i = 0; i < made.length(); i++) {
      made.putScalar(i, random.nextGaussian());
    }
    return made;
  }

  /** Classes that depend on the inputs. */
  static INDArray classes(INDArray inputs, int classes, long seed) {
    INDArray flat = inputs.reshape('c', inputs.size(0), inputs.length() / inputs.size(0));
    INDArray scores = flat.mmul(random(inputs.dataType(), seed, flat.size(1), classes));
    INDArray labels = Nd4j.zeros(inputs.dataType(), inputs.size(0), classes);
    for (int i = 0; i < inputs.size(0); i++) {
      labels.putScalar(i, scores.getRow(i).argMax(0).getInt(0), 1);
    }
    return labels;
  }

  /** A classification of random inputs, 120 to train on and 40 each to validate and to test on. */
  static Dl4jTask task(String name, DataType type, int classes, long... shape) {
    Dl4jTask.Builder task = Dl4jTask.builder(name);
    long seed = name.hashCode();
    for (Split s : Split.values()) {
      long[] all = new long[shape.length + 1];
      System.arraycopy(shape, 0, all, 1, shape.length);
      all[0] = s == Split.TRAIN ? 120 : 40;
      INDArray inputs = random(type, seed + s.name().length(), all);
      task.add(s, new MultiDataSet(inputs, classes(inputs, classes, seed)));
    }
    return task.build();
  }

  /** Series of 3 values and of 2 to 5 steps, with a class at each step. */
  static Dl4jTask series(String name, int classes) {
    Dl4jTask.Builder task = Dl4jTask.builder(name);
    for (int i = 0; i < 12; i++) {
      int steps = 2 + i % 4;
      INDArray inputs = random(DataType.DOUBLE, name.hashCode() + i, 1, 3, steps);
      INDArray labels = Nd4j.zeros(DataType.DOUBLE, 1, classes, steps);
      for (int t = 0; t < steps; t++) {
        labels.putScalar(0, (i + t) % classes, t, 1);
      }
      task.add(i < 8 ? Split.TRAIN : Split.VALIDATION, new MultiDataSet(inputs, labels));
    }
    return task.build();
  }

  static INDArray output(Model network, INDArray... inputs) {
    return network instanceof MultiLayerNetwork m
        ? m.output(inputs[0])
        : ((ComputationGraph) network).output(inputs)[0];
  }
}
