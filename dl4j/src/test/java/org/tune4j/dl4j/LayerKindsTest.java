package org.tune4j.dl4j;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ConvolutionMode;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.dropout.Dropout;
import org.deeplearning4j.nn.conf.graph.AttentionVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.ActivationLayer;
import org.deeplearning4j.nn.conf.layers.BatchNormalization;
import org.deeplearning4j.nn.conf.layers.Convolution1DLayer;
import org.deeplearning4j.nn.conf.layers.ConvolutionLayer;
import org.deeplearning4j.nn.conf.layers.Deconvolution2D;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.DropoutLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.GravesLSTM;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.conf.layers.RnnOutputLayer;
import org.deeplearning4j.nn.conf.layers.SelfAttentionLayer;
import org.deeplearning4j.nn.conf.layers.SubsamplingLayer;
import org.deeplearning4j.nn.conf.layers.misc.FrozenLayer;
import org.deeplearning4j.nn.conf.layers.recurrent.Bidirectional;
import org.deeplearning4j.nn.conf.layers.recurrent.LastTimeStep;
import org.deeplearning4j.nn.conf.layers.recurrent.SimpleRnn;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;

/**
 * Every kind of layer that has matrices, in networks of doubles: gradients against central
 * differences, one lane and several, and merged networks against adapters.
 */
class LayerKindsTest {
  private static final InputType IMAGE = InputType.convolutional(6, 5, 2);
  private static final InputType SERIES = InputType.recurrent(3, 4);
  private static final long[] IMAGE_SHAPE = {2, 6, 5};
  private static final long[] SERIES_SHAPE = {3, 4};

  private static MultiLayerNetwork network(InputType input, Layer... layers) {
    NeuralNetConfiguration.ListBuilder list =
        new NeuralNetConfiguration.Builder()
            .dataType(DataType.DOUBLE)
            .seed(3)
            .activation(Activation.TANH)
            .list();
    for (Layer l : layers) {
      list.layer(l);
    }
    list.layer(
        new OutputLayer.Builder(LossFunction.MCXENT)
            .nOut(4)
            .activation(Activation.SOFTMAX)
            .build());
    MultiLayerNetwork made = new MultiLayerNetwork(list.setInputType(input).build());
    made.init();
    return made;
  }

  @SuppressWarnings("deprecation") // networks that have it are still about
  private static Layer peepholes() {
    return new GravesLSTM.Builder().nOut(4).build();
  }

  private static Layer pool() {
    return new GlobalPoolingLayer.Builder(PoolingType.AVG).build();
  }

  static Stream<Arguments> networks() {
    return Stream.of(
        Arguments.of(
            "convolutions and pooling",
            network(
                IMAGE,
                new ConvolutionLayer.Builder(3, 2)
                    .nOut(4)
                    .convolutionMode(ConvolutionMode.Same)
                    .build(),
                new SubsamplingLayer.Builder(SubsamplingLayer.PoolingType.MAX).build(),
                new ConvolutionLayer.Builder(2, 2).nOut(3).hasBias(false).build(),
                new DenseLayer.Builder().nOut(5).build()),
            IMAGE_SHAPE,
            List.of("0.W", "2.W", "3.W")),
        Arguments.of(
            "a deconvolution",
            network(IMAGE, new Deconvolution2D.Builder(2, 2).nOut(3).build(), pool()),
            IMAGE_SHAPE,
            List.of("0.W")),
        Arguments.of(
            "a convolution over time",
            network(SERIES, new Convolution1DLayer.Builder(2).nOut(4).build(), pool()),
            SERIES_SHAPE,
            List.of("0.W")),
        Arguments.of(
            "batch normalisation, dropout, activation, frozen layers",
            noisy(),
            IMAGE_SHAPE,
            List.of("0.W", "4.W")),
        Arguments.of(
            "LSTM",
            network(
                SERIES,
                new LSTM.Builder().nOut(4).build(),
                new LastTimeStep(new LSTM.Builder().nOut(3).build())),
            SERIES_SHAPE,
            List.of("0.W", "0.RW", "1.W", "1.RW")),
        Arguments.of(
            "LSTM with peepholes and a plain recurrent layer",
            network(SERIES, peepholes(), new SimpleRnn.Builder().nOut(3).build(), pool()),
            SERIES_SHAPE,
            List.of("0.W", "0.RW", "1.W", "1.RW")),
        Arguments.of(
            "bidirectional LSTM and a dense layer on each step",
            network(
                SERIES,
                new Bidirectional(new LSTM.Builder().nOut(3).build()),
                new DenseLayer.Builder().nOut(4).build(),
                new LSTM.Builder().nOut(3).build(),
                pool()),
            SERIES_SHAPE,
            List.of("0.fW", "0.fRW", "0.bW", "0.bRW", "1.W", "2.W", "2.RW")),
        Arguments.of(
            "self-attention",
            network(
                SERIES,
                new SelfAttentionLayer.Builder().nOut(4).nHeads(2).projectInput(true).build(),
                pool()),
            SERIES_SHAPE,
            List.of("0.Wq", "0.Wk", "0.Wv", "0.Wo")),
        Arguments.of(
            "a graph with an attention vertex",
            attention(),
            SERIES_SHAPE,
            List.of(
                "lstm.W",
                "lstm.RW",
                "attention.Wq",
                "attention.Wk",
                "attention.Wv",
                "attention.Wo")));
  }

  /** With all that the base must run without, and statistics that are not those of a batch. */
  private static MultiLayerNetwork noisy() {
    MultiLayerNetwork made =
        network(
            IMAGE,
            new FrozenLayer(
                new ConvolutionLayer.Builder(2, 2).nOut(3).activation(Activation.IDENTITY).build()),
            new BatchNormalization.Builder().build(),
            new ActivationLayer(Activation.TANH),
            new DropoutLayer(0.5),
            new DenseLayer.Builder().nOut(5).dropOut(new Dropout(0.5)).build(),
            new BatchNormalization.Builder().build());
    for (int layer : new int[] {1, 5}) {
      Map<String, INDArray> p = made.getLayer(layer).paramTable();
      p.get("mean").assign(Networks.random(DataType.DOUBLE, 1, p.get("mean").shape()).mul(0.1));
      p.get("gamma").assign(Networks.random(DataType.DOUBLE, 2, p.get("gamma").shape()).add(1.5));
    }
    return made;
  }

  private static ComputationGraph attention() {
    ComputationGraph made =
        new ComputationGraph(
            new NeuralNetConfiguration.Builder()
                .dataType(DataType.DOUBLE)
                .seed(3)
                .activation(Activation.TANH)
                .graphBuilder()
                .addInputs("x")
                .addLayer("lstm", new LSTM.Builder().nOut(4).build(), "x")
                .addVertex(
                    "attention",
                    new AttentionVertex.Builder()
                        .nHeads(2)
                        .headSize(2)
                        .projectInput(true)
                        .nInQueries(4)
                        .nInKeys(3)
                        .nInValues(3)
                        .nOut(4)
                        .build(),
                    "lstm",
                    "x",
                    "x")
                .addLayer("pool", pool(), "attention")
                .addLayer(
                    "out",
                    new OutputLayer.Builder(LossFunction.MCXENT)
                        .nOut(4)
                        .activation(Activation.SOFTMAX)
                        .build(),
                    "pool")
                .setOutputs("out")
                .setInputTypes(SERIES)
                .build());
    made.init();
    return made;
  }

  private static Dl4jModel model(Model network, long[] shape) {
    return Dl4jModel.of(
        network,
        Networks.task("a", DataType.DOUBLE, 4, shape),
        Networks.task("b", DataType.DOUBLE, 3, shape));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("networks")
  void gradientsAreThoseOfCentralDifferences(
      String name, Model network, long[] shape, List<String> matrices) {
    try (Dl4jModel model = model(network, shape)) {
      assertThat(model.adaptable()).containsExactlyElementsOf(matrices);
      Gradients.check(model, Dl4jLora.rank(2), List.of("b"), 1);
      Gradients.check(model, Dl4jLora.rank(2), List.of("a", "b"), 2);
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("networks")
  void aMergedNetworkSaysWhatTheAdapterSays(
      String name, Model network, long[] shape, List<String> matrices) {
    INDArray before = network.params().dup();
    try (Dl4jModel model = model(network, shape);
        Dl4jAdapter adapter = Dl4jLora.rank(2).create(model, "new", 1)) {
      INDArray inputs =
          Networks.task("c", DataType.DOUBLE, 2, shape)
              .rows(org.tune4j.core.data.Task.Split.TEST)
              .batch(0, 5)
              .getFeatures(0);
      INDArray plain = Networks.output(network, inputs);
      assertThat(DenseTest.difference(model.output("a", List.of(adapter), inputs), plain))
          .isLessThan(1e-6);
      Gradients.shake(adapter, 1);
      INDArray adapted = model.output("a", List.of(adapter), inputs);
      assertThat(DenseTest.difference(adapted, plain)).isGreaterThan(1e-3);
      Model merged = model.merged("a", List.of(adapter));
      assertThat(DenseTest.difference(Networks.output(merged, inputs), adapted)).isLessThan(1e-6);
      assertThat(network.params()).isEqualTo(before);
    }
  }

  /** Sequences with an output at each step, of different lengths in one batch. */
  @ParameterizedTest
  @MethodSource("steps")
  void sequencesOfDifferentLengthsAreLearned(boolean bidirectional) {
    Layer lstm = new LSTM.Builder().nOut(4).build();
    NeuralNetConfiguration.ListBuilder list =
        new NeuralNetConfiguration.Builder().dataType(DataType.DOUBLE).seed(3).list();
    list.layer(bidirectional ? new Bidirectional(lstm) : lstm)
        .layer(
            new RnnOutputLayer.Builder(LossFunction.MCXENT)
                .nOut(3)
                .activation(Activation.SOFTMAX)
                .build());
    MultiLayerNetwork network =
        new MultiLayerNetwork(list.setInputType(InputType.recurrent(3)).build());
    network.init();
    try (Dl4jModel model =
        Dl4jModel.of(network, Networks.series("a", 3), Networks.series("b", 2))) {
      Gradients.check(model, Dl4jLora.rank(2), List.of("b"), 1);
      Gradients.check(model, Dl4jLora.rank(2), List.of("a", "b"), 2);
    }
  }

  static Stream<Boolean> steps() {
    return Stream.of(false, true);
  }
}
