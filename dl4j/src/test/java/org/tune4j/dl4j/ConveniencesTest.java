package org.tune4j.dl4j;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.datavec.api.records.reader.impl.csv.CSVRecordReader;
import org.datavec.api.split.FileSplit;
import org.deeplearning4j.datasets.datavec.RecordReaderDataSetIterator;
import org.deeplearning4j.earlystopping.termination.MaxScoreIterationTerminationCondition;
import org.deeplearning4j.earlystopping.termination.ScoreImprovementEpochTerminationCondition;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.graph.MergeVertex;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.evaluation.classification.Evaluation;
import org.nd4j.evaluation.classification.ROC;
import org.nd4j.evaluation.regression.RegressionEvaluation;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.dataset.adapter.SingletonMultiDataSetIterator;
import org.nd4j.linalg.dataset.api.preprocessor.NormalizerStandardize;
import org.nd4j.linalg.learning.config.Nesterovs;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;
import org.nd4j.linalg.schedule.ScheduleType;
import org.nd4j.linalg.schedule.StepSchedule;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.LearningRateSchedule;
import org.tune4j.eval.Evaluator;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.MultiTask;

/** What users of DL4J have around their networks works here. */
class ConveniencesTest {
  @TempDir static Path directory;

  private static Hyperparameters.Builder hyperparameters() {
    return Hyperparameters.builder().learningRate(0.05).epochs(3).examplesPerStep(16);
  }

  private static FineTuner tuner(Dl4jModel model, Hyperparameters h, String run) {
    return FineTuner.of(model)
        .tasks(model.tasks())
        .adapters(Dl4jLora.rank(2))
        .strategy(MultiTask.uniform())
        .hyperparameters(h)
        .output(directory.resolve(run));
  }

  /** A file of numbers far from 0, whose class is in the last column. */
  private static RecordReaderDataSetIterator csv() throws IOException, InterruptedException {
    INDArray x = Networks.random(DataType.FLOAT, 7, 60, 6);
    INDArray y = Networks.classes(x, 4, 7);
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 60; i++) {
      StringBuilder line = new StringBuilder();
      for (int j = 0; j < 6; j++) {
        line.append(100 + 10 * j * x.getFloat(i, j)).append(',');
      }
      lines.add(line.append(y.getRow(i).argMax(0).getInt(0)).toString());
    }
    Path file = Files.write(directory.resolve("data.csv"), lines);
    CSVRecordReader reader = new CSVRecordReader();
    reader.initialize(new FileSplit(file.toFile()));
    return new RecordReaderDataSetIterator(reader, 20, 6, 4);
  }

  @Test
  void recordsAreReadNormalisedAndTheNormaliserIsSavedAlong() throws Exception {
    NormalizerStandardize normalizer = new NormalizerStandardize();
    normalizer.fit(csv());
    RecordReaderDataSetIterator data = csv();
    data.setPreProcessor(normalizer);
    Dl4jTask task = Dl4jTask.builder("csv").train(data).normalizer(normalizer).build();
    assertThat(task.task().train()).hasSize(60);
    assertThat(task.labels()).containsExactly("0", "1", "2", "3");
    MultiLayerNetwork network = Networks.dense(DataType.FLOAT, 1);
    try (Dl4jModel model = Dl4jModel.of(network, task);
        FineTuningResult result =
            tuner(
                    model,
                    hyperparameters()
                        .updater(new Nesterovs(0.05, 0.9))
                        .schedule(
                            LearningRateSchedule.of(
                                new StepSchedule(ScheduleType.ITERATION, 0.05, 0.5, 4), 0.05))
                        .build(),
                    "csv")
                .run()) {
      assertThat(result.training().steps().get(5).learningRate()).isEqualTo(0.025);
      Path saved = result.directoriesFor("csv").get(0);
      try (Dl4jModel serving = Dl4jModel.of(network);
          Dl4jAdapter loaded = Dl4jAdapter.load(serving, "csv", saved)) {
        assertThat(loaded.normalizer("csv")).contains(normalizer);
        assertThat(loaded.labels("csv")).isEqualTo(task.labels());
        INDArray inputs = Networks.random(DataType.FLOAT, 3, 4, 6);
        assertThat(serving.output("csv", List.of(loaded), inputs))
            .isEqualTo(model.output("csv", result.adaptersFor("csv"), inputs));
        Path zip = directory.resolve("served.zip");
        serving.saveMerged("csv", List.of(loaded), zip);
        NormalizerStandardize restored = ModelSerializer.restoreNormalizerFromFile(zip.toFile());
        assertThat(restored).isEqualTo(normalizer);
        MultiLayerNetwork plain = ModelSerializer.restoreMultiLayerNetwork(zip.toFile());
        assertThat(
                DenseTest.difference(
                    plain.output(inputs), serving.output("csv", List.of(loaded), inputs)))
            .isLessThan(1e-6);
      }
    }
  }

  /** Two inputs, a regression, and an output layer that is not like the network's. */
  @Test
  void graphsOfSeveralInputsLearnRegressions() throws IOException {
    ComputationGraph network =
        new ComputationGraph(
            new NeuralNetConfiguration.Builder()
                .seed(1)
                .activation(Activation.TANH)
                .graphBuilder()
                .addInputs("left", "right")
                .addLayer("l", new DenseLayer.Builder().nIn(3).nOut(5).build(), "left")
                .addLayer("r", new DenseLayer.Builder().nIn(2).nOut(4).build(), "right")
                .addVertex("both", new MergeVertex(), "l", "r")
                .addLayer(
                    "out",
                    new OutputLayer.Builder(LossFunction.MCXENT)
                        .nIn(9)
                        .nOut(4)
                        .activation(Activation.SOFTMAX)
                        .build(),
                    "both")
                .setOutputs("out")
                .build());
    network.init();
    INDArray left = Networks.random(DataType.FLOAT, 1, 80, 3);
    INDArray right = Networks.random(DataType.FLOAT, 2, 80, 2);
    INDArray sums = left.sum(true, 1).add(right.sum(true, 1)).muli(0.3);
    Dl4jTask task =
        Dl4jTask.builder("sum")
            .train(
                new SingletonMultiDataSetIterator(
                    new MultiDataSet(new INDArray[] {left, right}, new INDArray[] {sums})))
            .output(
                new OutputLayer.Builder(LossFunction.MSE).activation(Activation.IDENTITY).build())
            .build();
    assertThat(task.labels()).isEmpty();
    try (Dl4jModel model = Dl4jModel.of(network, task);
        FineTuningResult result = tuner(model, hyperparameters().epochs(8).build(), "sum").run()) {
      RegressionEvaluation before =
          model.evaluate("sum", Split.TRAIN, List.of(), new RegressionEvaluation(1));
      RegressionEvaluation after =
          model.evaluate(
              "sum", Split.TRAIN, result.adaptersFor("sum"), new RegressionEvaluation(1));
      assertThat(after.meanSquaredError(0)).isLessThan(0.3 * before.meanSquaredError(0));
      double perplexity =
          Evaluator.of(model).perplexity(task.task(), Split.TRAIN, result.adaptersFor("sum"));
      assertThat(Math.log(perplexity))
          .as("the mean loss")
          .isCloseTo(after.meanSquaredError(0), org.assertj.core.data.Offset.offset(1e-4));
    }
  }

  @Test
  void evaluationsOfDl4jSayWhatTheOutputsSay() throws IOException {
    Dl4jTask two = Networks.task("two", DataType.FLOAT, 2, 6);
    try (Dl4jModel model = Dl4jModel.of(Networks.dense(DataType.FLOAT, 1), two);
        FineTuningResult result = tuner(model, hyperparameters().build(), "two").run()) {
      Evaluation evaluation =
          model.evaluate("two", Split.TEST, result.adaptersFor("two"), new Evaluation(2));
      ROC roc = model.evaluate("two", Split.TEST, result.adaptersFor("two"), new ROC());
      var batch = two.rows(Split.TEST).batch(0, two.rows(Split.TEST).size());
      INDArray said =
          model.output("two", result.adaptersFor("two"), batch.getFeatures(0)).argMax(1);
      INDArray right = batch.getLabels(0).argMax(1);
      int same = 0;
      for (int i = 0; i < right.length(); i++) {
        same += said.getInt(i) == right.getInt(i) ? 1 : 0;
      }
      assertThat(evaluation.accuracy()).isEqualTo((double) same / right.length());
      assertThat(roc.calculateAUC()).isBetween(0.5, 1.0);
      org.tune4j.eval.Evaluation ours =
          Evaluator.of(model).evaluate(two.task(), Split.TEST, result.adaptersFor("two"));
      assertThat(ours.primary()).isEqualTo("accuracy");
      assertThat(ours.metrics().get("accuracy")).isEqualTo(evaluation.accuracy());
    }
  }

  @Test
  void terminationConditionsEndAStageAndItsAdaptersServe() throws IOException {
    Dl4jTask a = Networks.task("a", DataType.FLOAT, 4, 6);
    Hyperparameters h = hyperparameters().learningRate(1e-7).epochs(20).validateEvery(2).build();
    try (Dl4jModel model = Dl4jModel.of(Networks.dense(DataType.FLOAT, 1), a)) {
      EarlyStopping stop = EarlyStopping.when(new ScoreImprovementEpochTerminationCondition(2, 1));
      try (FineTuningResult result = tuner(model, h, "score").listener(stop).endStage(stop).run()) {
        assertThat(result.completed()).isTrue();
        assertThat(result.training().steps()).hasSizeLessThan(12);
        assertThat(stop.reason()).get().asString().contains("ScoreImprovement");
        assertThat(result.adaptersFor("a")).hasSize(1);
      }
      EarlyStopping atStep =
          EarlyStopping.when().orAtStep(new MaxScoreIterationTerminationCondition(1e-3));
      try (FineTuningResult result =
          tuner(model, h, "step").listener(atStep).endStage(atStep).run()) {
        assertThat(result.training().steps()).hasSize(1);
      }
    }
  }
}
