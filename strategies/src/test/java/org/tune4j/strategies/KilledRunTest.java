package org.tune4j.strategies;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.testing.TinyRuns;

/** Runs in processes of their own that are killed (SIGKILL) and resumed. */
class KilledRunTest {
  @TempDir Path temporary;

  private static FineTuner tuner(LanguageModel model, Path output) {
    return FineTuner.of(model)
        .tasks(TinyRuns.task("a", 24, 6), TinyRuns.task("b", 24, 6))
        .lora(TinyRuns.LORA.toBuilder().dropout(0.1).build())
        .strategy(Sequential.inOrder().stacked())
        .hyperparameters(
            TinyRuns.hyperparameters()
                .epochs(2)
                .checkpointEvery(1)
                .validateEvery(5)
                .patience(3)
                .build())
        .output(output);
  }

  /** The process that is killed: trains, and tells each step. */
  static final class Child {
    private Child() {}

    public static void main(String[] args) throws IOException {
      try (LanguageModel model = TinyRuns.load(Path.of(args[0]))) {
        tuner(model, Path.of(args[1]))
            .resume()
            .listener(
                new TrainingListener() {
                  @Override
                  public void onStep(StepRecord step) {
                    System.out.printf("stage %d step %d%n", step.stageIndex(), step.step());
                    System.out.flush();
                  }
                })
            .run()
            .close();
      }
    }
  }

  /** Starts a process and kills it as soon as it tells a step, while it writes a checkpoint. */
  private void runUntil(String line, Path model, Path output) throws Exception {
    Path errors = temporary.resolve("errors.txt");
    Process child =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx512m",
                "-Dorg.bytedeco.javacpp.maxbytes=2g",
                "-Dorg.bytedeco.javacpp.maxphysicalbytes=0",
                "-cp",
                System.getProperty(
                    "surefire.test.class.path", System.getProperty("java.class.path")),
                Child.class.getName(),
                model.toString(),
                output.toString())
            .redirectError(errors.toFile())
            .start();
    boolean told = false;
    try (BufferedReader out = child.inputReader(UTF_8)) {
      String read = out.readLine();
      while (read != null && !read.equals(line)) {
        read = out.readLine();
      }
      told = read != null;
    } finally {
      child.destroyForcibly();
    }
    assertThat(told).as("%s; it wrote: %s", line, Files.readString(errors)).isTrue();
    assertThat(child.waitFor(1, TimeUnit.MINUTES)).isTrue();
    assertThat(child.exitValue()).as("killed, not ended").isNotZero();
  }

  @Test
  @Timeout(300)
  void endsWithTheSameBits() throws Exception {
    Path directory = TinyRuns.writeModel(temporary.resolve("model"));
    Path output = temporary.resolve("killed");
    runUntil("stage 0 step 4", directory, output);
    assertThat(output.resolve("adapters")).doesNotExist();
    runUntil("stage 1 step 7", directory, output);
    try (LanguageModel model = TinyRuns.load(directory)) {
      Map<String, List<Float>> alone;
      List<Integer> steps;
      try (FineTuningResult whole = tuner(model, temporary.resolve("whole")).run()) {
        alone = TinyRuns.bits(whole.training());
        steps = whole.training().steps().stream().map(StepRecord::step).toList();
      }
      int[] done = new int[1];
      try (FineTuningResult resumed =
          tuner(model, output)
              .resume()
              .listener(
                  new TrainingListener() {
                    @Override
                    public void onStep(StepRecord step) {
                      done[0]++;
                    }
                  })
              .run()) {
        assertThat(done[0]).as("it goes on rather than beginning again").isLessThan(8);
        assertThat(TinyRuns.bits(resumed.training())).isEqualTo(alone);
        assertThat(resumed.training().steps().stream().map(StepRecord::step)).isEqualTo(steps);
      }
    }
    try (Stream<Path> files = Files.list(output)) {
      assertThat(files.map(p -> p.getFileName().toString()))
          .as("nothing half-written is left")
          .containsExactlyInAnyOrder("adapters", "stages", "checkpoint", "steps.jsonl");
    }
  }
}
