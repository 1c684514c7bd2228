package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.testing.TinyRuns;

/** An output directory is one run's at a time, and what it holds is not lost by accident. */
class RunDirectoryTest {
  private static final Task A = TinyRuns.task("a", 12, 4);
  private static final Task B = TinyRuns.task("b", 8, 4);

  @TempDir static Path models;
  private static LanguageModel model;

  @TempDir Path folder;

  @BeforeAll
  static void load() {
    model = TinyRuns.load(TinyRuns.writeModel(models.resolve("model")));
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private FineTuner tuner() {
    return FineTuner.of(model)
        .tasks(A, B)
        .lora(TinyRuns.LORA)
        .strategy(Sequential.inOrder().merging())
        .hyperparameters(TinyRuns.hyperparameters().build())
        .output(folder.resolve("run"));
  }

  private static List<String> files(Path directory) throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      return files.map(p -> p.getFileName().toString()).sorted().toList();
    }
  }

  @Test
  void anExistingRunIsNeitherReplacedNorMixedWith() throws IOException {
    Path run = folder.resolve("run");
    tuner().run().close();
    byte[] before = Files.readAllBytes(run.resolve("adapters/1-a/adapter_model.safetensors"));
    FineTuner other = tuner().strategy(Independent.perTask()).lora(TinyRuns.LORA);
    for (FineTuner again : new FineTuner[] {tuner(), other}) {
      assertThatThrownBy(again::run)
          .isInstanceOf(FileAlreadyExistsException.class)
          .hasMessageContaining(run.toString())
          .hasMessageContaining("--resume")
          .hasMessageContaining("--overwrite");
    }
    assertThat(Files.readAllBytes(run.resolve("adapters/1-a/adapter_model.safetensors")))
        .isEqualTo(before);
    assertThatThrownBy(() -> tuner().resume().overwrite().run())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("overwrite");

    Files.writeString(run.resolve("notes.txt"), "mine");
    other.overwrite().run().close();
    assertThat(files(run))
        .as("nothing of the run before, and all else")
        .containsExactly("adapters", "checkpoint", "notes.txt", "stages", "steps.jsonl");
    assertThat(files(run.resolve("adapters"))).containsExactly("a", "b");
  }

  @ParameterizedTest
  @ValueSource(strings = {"adapters", "stages", "checkpoint", "bases", "steps.jsonl"})
  void anyPartOfARunCounts(String part) throws IOException {
    Files.createDirectories(folder.resolve("run").resolve(part));
    assertThatThrownBy(() -> tuner().run())
        .isInstanceOf(FileAlreadyExistsException.class)
        .hasMessageContaining(part);
    tuner().overwrite().run().close();
  }

  @Test
  void whatCannotBeginReplacesNothing() throws IOException {
    tuner().run().close();
    Path adapter = folder.resolve("run/adapters/1-a/adapter_model.safetensors");
    assertThatThrownBy(
            () ->
                tuner()
                    .hyperparameters(
                        TinyRuns.hyperparameters().validateEvery(1).patience(1).build())
                    .tasks(TinyRuns.task("a", 12, 0), TinyRuns.task("b", 12, 0))
                    .overwrite()
                    .run())
        .isInstanceOf(IllegalArgumentException.class);
    assertThat(adapter).exists();
  }

  @Test
  void aSecondTrainerIsRefusedAtOnce() throws IOException {
    AtomicInteger refused = new AtomicInteger();
    tuner()
        .listener(
            new TrainingListener() {
              @Override
              public void onStep(StepRecord step) {
                for (FineTuner second :
                    new FineTuner[] {tuner(), tuner().resume(), tuner().overwrite()}) {
                  assertThatThrownBy(second::run)
                      .isInstanceOf(FileSystemException.class)
                      .hasMessageContaining(folder.resolve("run").toString())
                      .hasMessageContaining("in use");
                  refused.incrementAndGet();
                }
              }
            })
        .run()
        .close();
    assertThat(refused.get()).isEqualTo(15);
    assertThat(files(folder.resolve("run")))
        .containsExactly("adapters", "bases", "checkpoint", "stages", "steps.jsonl");
    tuner().resume().run().close();
  }

  @Test
  void aRunThatCannotBeginLeavesNoDirectory() {
    assertThatThrownBy(
            () ->
                tuner()
                    .hyperparameters(
                        TinyRuns.hyperparameters().validateEvery(1).patience(1).build())
                    .tasks(TinyRuns.task("a", 12, 0), TinyRuns.task("b", 12, 0))
                    .run())
        .isInstanceOf(IllegalArgumentException.class);
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void runsOfOneSecondWithoutADirectoryGetOneEach() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(2);
    List<Path> outputs = new ArrayList<>();
    try {
      CyclicBarrier start = new CyclicBarrier(2);
      Callable<Path> run =
          () -> {
            start.await();
            try (FineTuningResult result = tuner().output(null).run()) {
              assertThat(result.completed()).isTrue();
              return result.output();
            }
          };
      for (Future<Path> output : threads.invokeAll(List.of(run, run))) {
        outputs.add(output.get());
      }
      assertThat(outputs).doesNotHaveDuplicates();
      for (Path output : outputs) {
        assertThat(output.getParent()).isEqualTo(Path.of("tune4j-runs"));
        assertThat(output.getFileName().toString()).matches("\\d{8}-\\d{6}-sequential.*");
        assertThat(output.resolve("adapters")).isNotEmptyDirectory();
      }
      for (Path output : outputs) {
        AtomicFiles.deleteRecursively(output);
      }
      Files.deleteIfExists(Path.of("tune4j-runs"));
    } finally {
      threads.shutdownNow();
    }
  }
}
