package org.tune4j.dl4j;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.Sequential;
import org.tune4j.strategies.TrainingStrategy;

/** DL4J networks are fine-tuned by the strategies that language models are. */
class TrainingTest {
  private static final Dl4jTask A = Networks.task("a", DataType.FLOAT, 4, 6);
  private static final Dl4jTask B = Networks.task("b", DataType.FLOAT, 3, 6);
  private static final AtomicInteger RUNS = new AtomicInteger();

  @TempDir static Path directory;

  private static Path output() {
    return directory.resolve("run-" + RUNS.incrementAndGet());
  }

  private static FineTuner tuner(Dl4jModel model, TrainingStrategy strategy, Path output) {
    return FineTuner.of(model)
        .tasks(model.tasks())
        .adapters(Dl4jLora.rank(4))
        .strategy(strategy)
        .hyperparameters(
            Hyperparameters.builder()
                .learningRate(0.1)
                .epochs(3)
                .examplesPerStep(16)
                .validateEvery(8)
                .weightDecay(0.001)
                .build())
        .output(output);
  }

  static Stream<Arguments> strategies() {
    return Stream.of(
        Arguments.of(MultiTask.uniform().gradientSurgery(), true),
        Arguments.of(Independent.perTask(), true),
        Arguments.of(Sequential.inOrder().ewc(10), false),
        Arguments.of(Sequential.inOrder().orthogonal(0.5), false),
        Arguments.of(Sequential.inOrder().merging(), true),
        Arguments.of(Sequential.inOrder().merging(), false));
  }

  private static Map<String, List<Float>> bits(FineTuningResult result) {
    Map<String, List<Float>> all = new LinkedHashMap<>();
    result
        .training()
        .adapters()
        .forEach(
            (name, a) -> {
              List<Float> values = new ArrayList<>();
              for (float v : a.model().engine().read(a.parameters().flat())) {
                values.add(v);
              }
              all.put(name, values);
            });
    return all;
  }

  private static double mean(List<Double> of) {
    return of.stream().mapToDouble(d -> d).average().orElseThrow();
  }

  @ParameterizedTest
  @MethodSource("strategies")
  void everyStrategyTrainsStopsAndGoesOn(TrainingStrategy strategy, boolean graph)
      throws IOException {
    Model network =
        graph ? Networks.branches(DataType.FLOAT, 1) : Networks.dense(DataType.FLOAT, 1);
    INDArray before = network.params().dup();
    try (Dl4jModel model = Dl4jModel.of(network, A, B)) {
      Map<String, List<Float>> whole;
      int steps;
      try (FineTuningResult result = tuner(model, strategy, output()).run()) {
        whole = bits(result);
        List<Double> losses =
            result.training().steps().stream()
                .filter(r -> r.lossByTask().containsKey("b"))
                .map(r -> r.lossByTask().get("b"))
                .toList();
        steps = result.training().steps().size();
        assertThat(mean(losses.subList(losses.size() - 5, losses.size())))
            .as("of %s", losses)
            .isLessThan(0.75 * losses.get(0));
        savedAdaptersSayTheSame((Dl4jModel) result.training().merged().orElse(model), result);
      }
      assertThat(network.params()).isEqualTo(before);
      AtomicInteger asked = new AtomicInteger();
      Path stopped = output();
      tuner(model, strategy, stopped)
          .cancelled(() -> asked.getAndIncrement() == 2 * steps / 3)
          .run()
          .close();
      try (FineTuningResult result = tuner(model, strategy, stopped).resume().run()) {
        assertThat(result.completed()).isTrue();
        assertThat(bits(result)).isEqualTo(whole);
      }
    }
  }

  private static void savedAdaptersSayTheSame(Dl4jModel model, FineTuningResult result)
      throws IOException {
    INDArray inputs = Networks.random(DataType.FLOAT, 5, 7, 6);
    for (Dl4jTask task : List.of(A, B)) {
      List<Dl4jAdapter> loaded = new ArrayList<>();
      for (Path saved : result.directoriesFor(task.name())) {
        loaded.add(Dl4jAdapter.load(model, saved.getFileName().toString(), saved));
      }
      INDArray expected = model.output(task.name(), result.adaptersFor(task.name()), inputs);
      assertThat(model.output(task.name(), loaded, inputs)).isEqualTo(expected);
      Model merged = model.merged(task.name(), loaded);
      File zip = directory.resolve("merged.zip").toFile();
      ModelSerializer.writeModel(merged, zip, false);
      Model plain =
          merged instanceof ComputationGraph
              ? ModelSerializer.restoreComputationGraph(zip)
              : ModelSerializer.restoreMultiLayerNetwork(zip);
      assertThat(DenseTest.difference(Networks.output(plain, inputs), expected)).isLessThan(1e-6);
      loaded.forEach(Adapter::close);
    }
  }

  @Test
  void lanesComeOutAsAlone() throws IOException {
    MultiLayerNetwork network = Networks.dense(DataType.FLOAT, 1);
    try (Dl4jModel model = Dl4jModel.of(network, A, B)) {
      Map<String, List<Float>> together;
      try (FineTuningResult result = tuner(model, Independent.perTask(), output()).run()) {
        together = bits(result);
      }
      for (Dl4jTask task : List.of(A, B)) {
        try (FineTuningResult alone =
            tuner(model, Independent.perTask(), output()).tasks(task.task()).run()) {
          List<Float> own = bits(alone).get(task.name());
          List<Float> beside = together.get(task.name());
          assertThat(beside).hasSameSizeAs(own);
          for (int i = 0; i < own.size(); i++) {
            assertThat(beside.get(i))
                .isCloseTo(own.get(i), org.assertj.core.data.Offset.offset(1e-4f));
          }
        }
      }
    }
  }

  @Test
  void anAdapterHasTheOutputLayersOfWhatItLearned() throws IOException {
    try (Dl4jModel model = Dl4jModel.of(Networks.dense(DataType.FLOAT, 1), A, B);
        FineTuningResult apart = tuner(model, Independent.perTask(), output()).run();
        FineTuningResult stacked = tuner(model, Sequential.inOrder(), output()).run()) {
      assertThat(((Dl4jAdapter) apart.adaptersFor("b").get(0)).tasks()).containsExactly("b");
      Dl4jAdapter last = (Dl4jAdapter) stacked.adaptersFor("a").get(0);
      assertThat(last.tasks()).containsExactly("a", "b");
    }
  }

  @Test
  void aNetworkIsLoadedWhicheverClassItIs() throws IOException {
    for (Model network :
        List.of(Networks.dense(DataType.FLOAT, 1), Networks.branches(DataType.FLOAT, 1))) {
      Path zip = directory.resolve("network.zip");
      ModelSerializer.writeModel(network, zip.toFile(), false);
      try (Dl4jModel model = Dl4jModel.load(zip, A)) {
        assertThat(model.network()).hasSameClassAs(network);
        assertThat(model.network().params()).isEqualTo(network.params());
        assertThat(model.source()).contains(zip);
      }
    }
  }
}
