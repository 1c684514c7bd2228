package org.tune4j.dl4j;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import org.deeplearning4j.nn.modelimport.keras.KerasModelImport;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.Independent;

/**
 * Networks imported from Keras. The file is a Sequential of three dense layers as Keras 2.3 saves
 * it, written by h5py; what it says of the inputs was computed in NumPy.
 */
class KerasTest {
  private static final String FILE = "src/test/resources/keras/dense.h5";
  private static final float[][] EXPECTED = {
    {0.30951050f, 0.22808060f, 0.24797116f, 0.21443772f},
    {0.18345723f, 0.21848084f, 0.24951321f, 0.34854877f}
  };

  @TempDir static Path directory;

  /** With the training's configuration a loss layer follows the last dense one, else nothing. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aNetworkOfKerasIsFineTuned(boolean withLoss) throws Exception {
    MultiLayerNetwork network =
        KerasModelImport.importKerasSequentialModelAndWeights(FILE, withLoss);
    INDArray inputs = Nd4j.linspace(-1, 1, 12, DataType.FLOAT).reshape(2, 6);
    INDArray expected = Nd4j.createFromArray(EXPECTED);
    try (Dl4jModel model =
        Dl4jModel.of(
            network,
            Networks.task("a", DataType.FLOAT, 4, 6),
            Networks.task("b", DataType.FLOAT, 3, 6))) {
      assertThat(model.adaptable()).containsExactly("0.W", "1.W");
      assertThat(DenseTest.difference(model.output("a", List.of(), inputs), expected))
          .isLessThan(1e-6);
      try (FineTuningResult result =
          FineTuner.of(model)
              .tasks(model.tasks())
              .adapters(Dl4jLora.rank(2).on("low", "high"))
              .strategy(Independent.perTask())
              .hyperparameters(Hyperparameters.builder().learningRate(0.05).epochs(3).build())
              .output(directory.resolve("run-" + withLoss))
              .run()) {
        for (String task : List.of("a", "b")) {
          INDArray said = model.output(task, result.adaptersFor(task), inputs);
          MultiLayerNetwork merged =
              (MultiLayerNetwork) model.merged(task, result.adaptersFor(task));
          assertThat(DenseTest.difference(merged.output(inputs), said)).isLessThan(1e-6);
        }
        assertThat(
                DenseTest.difference(model.output("a", result.adaptersFor("a"), inputs), expected))
            .isGreaterThan(1e-2);
      }
    }
  }
}
