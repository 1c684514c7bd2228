package org.tune4j.dl4j;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.ConvolutionLayer;
import org.deeplearning4j.nn.conf.layers.DepthwiseConvolution2D;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.SubsamplingLayer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.dataset.api.preprocessor.NormalizerStandardize;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.lora.LoraConfig;

/** What does not go together is said, with the layer, what was found and what was expected. */
class BadInputTest {
  private static final Dl4jTask FITS = Networks.task("fits", DataType.FLOAT, 4, 6);

  @TempDir Path directory;

  private static MultiLayerNetwork images() {
    MultiLayerNetwork network =
        new MultiLayerNetwork(
            new NeuralNetConfiguration.Builder()
                .list()
                .layer(new ConvolutionLayer.Builder(2, 2).name("conv").nOut(3).build())
                .layer(new SubsamplingLayer.Builder().name("pool").build())
                .layer(new DepthwiseConvolution2D.Builder(1, 1).name("depthwise").build())
                .layer(new OutputLayer.Builder(LossFunction.MSE).nOut(4).build())
                .setInputType(InputType.convolutional(6, 6, 2))
                .build());
    network.init();
    return network;
  }

  @Test
  void layersThatCannotBeAdapted() {
    try (Dl4jModel model =
        Dl4jModel.of(images(), Networks.task("images", DataType.FLOAT, 4, 2, 6, 6))) {
      for (String[] layer :
          new String[][] {{"pool", "SubsamplingLayer"}, {"depthwise", "DepthwiseConvolution2D"}}) {
        assertThatThrownBy(() -> Dl4jLora.rank(2).on(layer[0]).create(model, "x", 1))
            .isInstanceOf(IllegalArgumentException.class)
            .hasMessageContainingAll("target '" + layer[0] + "'", layer[1], "[0.W]");
      }
      assertThatThrownBy(() -> Dl4jLora.rank(2).on("cnov").create(model, "x", 1))
          .hasMessageContainingAll("target 'cnov'", "no layer", "ConvolutionLayer");
      assertThatThrownBy(() -> LoraConfig.rank(2).create(model, "x", 1))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("MultiLayerNetwork");
    }
    assertThatThrownBy(() -> Dl4jLora.rank(0)).hasMessageContaining("r is 0");
  }

  @Test
  void dataAndNetworkOfDifferentShapes() {
    assertThatThrownBy(
            () ->
                Dl4jModel.of(
                    Networks.dense(DataType.FLOAT, 1), Networks.task("t", DataType.FLOAT, 4, 5)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContainingAll("task 't'", "layer '0' (DenseLayer)", "[examples, 6]", "[1, 5]");
    assertThatThrownBy(() -> Dl4jModel.of(images(), Networks.task("t", DataType.FLOAT, 4, 3, 6, 6)))
        .hasMessageContainingAll("task 't'", "[1, 3, 6, 6]", "layer", "2");
    INDArray x = Networks.random(DataType.FLOAT, 1, 4, 6);
    Dl4jTask two =
        Dl4jTask.builder("two")
            .add(
                Split.TRAIN,
                new MultiDataSet(new INDArray[] {x, x}, new INDArray[] {Networks.classes(x, 4, 1)}))
            .build();
    assertThatThrownBy(() -> Dl4jModel.of(Networks.dense(DataType.FLOAT, 1), two))
        .hasMessageContainingAll("task 'two'", "2 arrays of features", "MultiLayerNetwork takes 1");
    Dl4jTask.Builder wide =
        Dl4jTask.builder("wide")
            .add(Split.TRAIN, new MultiDataSet(x, Networks.classes(x, 4, 1)))
            .output(new OutputLayer.Builder(LossFunction.MSE).nOut(3).build());
    assertThatThrownBy(() -> Dl4jModel.of(Networks.dense(DataType.FLOAT, 1), wide.build()))
        .hasMessageContainingAll("task 'wide'", "3 outputs", "4 values");
    assertThatThrownBy(
            () ->
                Dl4jTask.builder("odd")
                    .add(Split.TRAIN, new MultiDataSet(x, Networks.classes(x, 4, 1)))
                    .add(Split.TEST, new MultiDataSet(x, Networks.classes(x, 3, 1)))
                    .build())
        .hasMessageContainingAll("task 'odd'", "test 0", "3 values", "has 4");
    assertThatThrownBy(() -> Dl4jTask.builder("none").build())
        .hasMessageContaining("no training examples");
    assertThatThrownBy(() -> Dl4jModel.of(Networks.dense(DataType.FLOAT, 1), FITS, FITS))
        .hasMessageContaining("two tasks are named 'fits'");
    assertThatThrownBy(
            () -> Dl4jModel.builder(Networks.branches(DataType.FLOAT, 1)).features("top").build())
        .hasMessageContainingAll("no vertex 'top'", "both");
  }

  @Test
  void zipsWithoutANetwork() throws IOException {
    assertThatThrownBy(() -> Dl4jModel.load(directory.resolve("none.zip")))
        .isInstanceOf(NoSuchFileException.class);
    Path text = Files.writeString(directory.resolve("text.zip"), "no zip");
    assertThatThrownBy(() -> Dl4jModel.load(text))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContainingAll("text.zip", "no zip file", "configuration.json");
    Path other = directory.resolve("other.zip");
    try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(other))) {
      zip.putNextEntry(new ZipEntry("readme.txt"));
      zip.write("hello".getBytes(StandardCharsets.UTF_8));
    }
    assertThatThrownBy(() -> Dl4jModel.load(other))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContainingAll("other.zip", "readme.txt", "coefficients.bin");
    assertThatThrownBy(
            () ->
                Dl4jModel.of(
                    new MultiLayerNetwork(
                        Networks.dense(DataType.FLOAT, 1).getLayerWiseConfigurations())))
        .hasMessageContaining("init()");
  }

  @Test
  void normalisersThatAreMissing() throws IOException {
    NormalizerStandardize normalizer = new NormalizerStandardize();
    normalizer.fit(
        new org.nd4j.linalg.dataset.DataSet(
            Networks.random(DataType.FLOAT, 1, 9, 6), Networks.random(DataType.FLOAT, 2, 9, 4)));
    Path zip = directory.resolve("network.zip");
    ModelSerializer.writeModel(Networks.dense(DataType.FLOAT, 1), zip.toFile(), false);
    ModelSerializer.addNormalizerToModel(zip.toFile(), normalizer);
    assertThatThrownBy(() -> Dl4jModel.load(zip, FITS))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContainingAll("network.zip", "NormalizerStandardize", "task 'fits'");
    INDArray x = Networks.random(DataType.FLOAT, 1, 4, 6);
    Dl4jTask normalised =
        Dl4jTask.builder("fits")
            .add(Split.TRAIN, new MultiDataSet(x, Networks.classes(x, 4, 1)))
            .normalizer(normalizer)
            .build();
    Path saved = directory.resolve("adapter");
    try (Dl4jModel model = Dl4jModel.load(zip, normalised);
        Dl4jAdapter adapter = Dl4jLora.rank(2).create(model, "x", 1)) {
      adapter.save(saved);
      Files.delete(saved.resolve("normalizer-fits.bin"));
      assertThatThrownBy(() -> Dl4jAdapter.load(model, "x", saved))
          .isInstanceOf(NoSuchFileException.class)
          .hasMessageContainingAll("normalizer-fits.bin", "normaliser");
    }
  }

  @Test
  void adaptersOfOtherNetworks() throws IOException {
    Path saved = directory.resolve("adapter");
    try (Dl4jModel model = Dl4jModel.of(Networks.dense(DataType.FLOAT, 1), FITS);
        Dl4jAdapter adapter = Dl4jLora.rank(2).create(model, "x", 1)) {
      adapter.save(saved);
      INDArray x = Networks.random(DataType.FLOAT, 1, 4, 6);
      assertThatThrownBy(() -> model.output("other", List.of(adapter), x))
          .hasMessageContainingAll("other", "fits");
      assertThatThrownBy(() -> model.output("fits", List.of(adapter), x, x))
          .hasMessageContainingAll("2 arrays of inputs", "MultiLayerNetwork takes 1");
    }
    MultiLayerNetwork wider =
        Networks.list(
            DataType.FLOAT,
            1,
            new org.deeplearning4j.nn.conf.layers.DenseLayer.Builder().nIn(6).nOut(9).build(),
            new org.deeplearning4j.nn.conf.layers.DenseLayer.Builder().nIn(9).nOut(7).build(),
            new OutputLayer.Builder(LossFunction.MSE).nIn(7).nOut(4).build());
    try (Dl4jModel model = Dl4jModel.of(wider)) {
      assertThatThrownBy(() -> Dl4jAdapter.load(model, "x", saved))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContainingAll(
              "adapter_model.safetensors",
              "base_model.model.0.W.lora_B.weight",
              "[8, 2]",
              "[9, 2]");
    }
    Files.writeString(saved.resolve("adapter_config.json"), "{\"peft_type\": \"LORA\"}");
    try (Dl4jModel model = Dl4jModel.of(wider)) {
      assertThatThrownBy(() -> Dl4jAdapter.load(model, "x", saved))
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContainingAll("peft_type", "LORA");
    }
  }
}
