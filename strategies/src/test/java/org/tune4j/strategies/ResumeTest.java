package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;
import org.nd4j.linalg.learning.config.Nesterovs;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.io.SafetensorsWriter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Gain;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.StageResult;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.core.train.TrainingResult;
import org.tune4j.lora.Combination;
import org.tune4j.lora.LoraConfig;
import org.tune4j.testing.TinyRuns;

/** Stopping anywhere and going on gives the same bits as never stopping. */
class ResumeTest {
  private static final List<Task> TASKS =
      List.of(TinyRuns.task("a", 21, 6), TinyRuns.task("b", 14, 6), TinyRuns.task("c", 9, 6));
  private static final LoraConfig LORA = TinyRuns.LORA.toBuilder().dropout(0.1).build();

  private static Path directory;
  private static LanguageModel model;
  private static final Map<String, Outcome> WHOLE = new ConcurrentHashMap<>();

  /** A way to train, with the hyperparameters that matter to resuming. */
  record Setting(
      TrainingStrategy strategy, boolean updater, boolean earlyStopping, boolean hooked) {
    Setting(TrainingStrategy strategy, boolean updater, boolean earlyStopping) {
      this(strategy, updater, earlyStopping, false);
    }

    Hyperparameters hyperparameters() {
      Hyperparameters.Builder h = TinyRuns.hyperparameters().epochs(2).checkpointEvery(3);
      if (updater) {
        h.updater(new Nesterovs(0.1, 0.9)).learningRate(0.1).weightDecay(0.01);
      }
      if (earlyStopping) {
        h.validateEvery(2).patience(1).learningRate(updater ? 1 : 0.3);
      }
      return h.build();
    }
  }

  /** What must not depend on whether training was interrupted: all but the clock. */
  record Outcome(Map<String, List<Float>> weights, List<StepRecord> steps, List<Ended> stages) {
    record Ended(
        String name,
        int steps,
        long examples,
        long tokens,
        Map<String, Double> losses,
        Map<String, Gain> gains) {}

    static Outcome of(TrainingResult result) {
      return new Outcome(
          TinyRuns.bits(result),
          result.steps().stream().map(Outcome::timeless).toList(),
          result.stages().stream()
              .map(
                  (StageResult s) ->
                      new Ended(
                          s.stage().name(),
                          s.steps(),
                          s.examples(),
                          s.tokens(),
                          s.validationLoss(),
                          s.gains()))
              .toList());
    }

    private static StepRecord timeless(StepRecord r) {
      return new StepRecord(
          r.stage(),
          r.stageIndex(),
          r.step(),
          r.steps(),
          r.lossByTask(),
          r.learningRate(),
          r.gradientNorm(),
          r.examples(),
          r.tokens(),
          r.lossTokens(),
          0);
    }
  }

  @BeforeContainer
  static void load() throws IOException {
    directory = Files.createTempDirectory("resume");
    model = TinyRuns.load(TinyRuns.writeModel(directory.resolve("model")));
  }

  @AfterContainer
  static void close() throws IOException {
    model.close();
    AtomicFiles.deleteRecursively(directory);
  }

  @Provide
  Arbitrary<Setting> settings() {
    return Arbitraries.of(
        Stream.of(
                MultiTask.uniform(),
                Sequential.inOrder(),
                Sequential.inOrder().stacked(),
                Sequential.inOrder().merging(),
                Sequential.inOrder().replay(0.3),
                Independent.perTask(),
                Independent.merged(Combination.dareTiesSvd(0.5, 1)),
                MultiTask.uniform().thenSpecialise().size(0.5),
                new EasyFirst())
            .flatMap(
                s ->
                    Stream.of(
                        new Setting(s, false, false),
                        new Setting(s, false, true),
                        new Setting(s, true, true),
                        new Setting(s, false, true, true)))
            .toList());
  }

  private static FineTuner tuner(Setting setting, Path output) {
    FineTuner tuner =
        FineTuner.of(model)
            .tasks(TASKS)
            .lora(LORA)
            .strategy(setting.strategy())
            .hyperparameters(setting.hyperparameters())
            .output(output);
    return setting.hooked() ? tuner.gradients(new ToStart(20)) : tuner;
  }

  /** Runs to the end, stopping after each of the given numbers of steps and going on. */
  private static Outcome run(Setting setting, List<Integer> stops) throws IOException {
    Path output = directory.resolve("run-" + System.nanoTime());
    for (int stop : stops) {
      AtomicInteger steps = new AtomicInteger();
      try (FineTuningResult result =
          tuner(setting, output)
              .resume()
              .listener(
                  new TrainingListener() {
                    @Override
                    public void onStep(StepRecord step) {
                      steps.incrementAndGet();
                    }
                  })
              .cancelled(() -> steps.get() >= stop)
              .run()) {
        if (result.completed()) {
          break;
        }
        assertThat(steps.get()).isEqualTo(stop);
      }
    }
    try (FineTuningResult result = tuner(setting, output).resume().run()) {
      assertThat(result.completed()).isTrue();
      return Outcome.of(result.training());
    }
  }

  private static Outcome whole(Setting setting) {
    return WHOLE.computeIfAbsent(
        setting.toString() + setting.hyperparameters(),
        k -> {
          try {
            return run(setting, List.of());
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        });
  }

  @Property(tries = 30)
  void resumedRunsAreTheSame(@ForAll("settings") Setting setting, @ForAll long seed)
      throws IOException {
    Outcome whole = whole(setting);
    Random random = new Random(seed);
    int first = random.nextInt(whole.steps().size() + 1);
    Outcome resumed = run(setting, List.of(first, random.nextInt(6)));
    assertThat(resumed).isEqualTo(whole);
  }

  @Example
  void earlyStoppingAndBestWeightsAreExercised() {
    Setting setting = new Setting(Independent.perTask(), false, true);
    Map<String, Integer> planned = PlanContext.of(TASKS, setting.hyperparameters()).examples();
    Outcome whole = whole(setting);
    assertThat(planned)
        .as("some adapter stops before its data ends")
        .anySatisfy(
            (task, examples) ->
                assertThat(
                        whole.steps().stream()
                            .filter(s -> s.lossByTask().containsKey(task))
                            .count())
                    .isLessThan((examples + 3) / 4));
  }

  /** A state that is kept from stage to stage, and stopped in each of them. */
  @Example
  void gradientHooksGoOnWithTheirState() throws IOException {
    for (TrainingStrategy strategy :
        List.of(Sequential.inOrder(), Sequential.inOrder().merging(), Independent.perTask())) {
      Setting setting = new Setting(strategy, false, false, true);
      Outcome whole = whole(setting);
      assertThat(whole.weights())
          .as("the hook has an effect")
          .isNotEqualTo(whole(new Setting(strategy, false, false)).weights());
      for (int stop :
          new int[] {1, 7, 11, 13}) { // the first stage has 11 steps where there are three
        assertThat(run(setting, List.of(stop))).as("stopped after %s", stop).isEqualTo(whole);
      }
    }
    Path output = directory.resolve("other-hook");
    Setting setting = new Setting(MultiTask.uniform(), false, false, true);
    tuner(setting, output).cancelled(() -> true).run().close();
    for (float strength : new float[] {20, 21}) {
      FineTuner other =
          tuner(new Setting(MultiTask.uniform(), false, false), output)
              .gradients(new ToStart(strength))
              .resume();
      if (strength == 20) {
        other.cancelled(() -> true).run().close();
      } else {
        assertThatThrownBy(other::run)
            .isInstanceOf(IOException.class)
            .hasMessageContaining("another run")
            .hasMessageContaining("gradients through ToStart[strength=21.0]");
      }
    }
  }

  @Example
  void hooksOfAdaptersThatWereNotKeptAreLeftOutWhenTheRunIsTakenOver() throws IOException {
    Setting setting =
        new Setting(MultiTask.uniform().thenSpecialise().size(0.5), false, true, true);
    Outcome whole = whole(setting);
    assertThat(whole.stages().get(1).gains().values())
        .as("some adapter was not kept")
        .anyMatch(g -> !g.kept());
    // never stopped: the second run finds it complete
    assertThat(run(setting, List.of(Integer.MAX_VALUE))).isEqualTo(whole);
  }

  @Example
  void completeRunsGiveTheirResultAgain() throws IOException {
    Path output = directory.resolve("complete");
    Setting setting = new Setting(Sequential.inOrder().merging(), false, true);
    Outcome once;
    long peak;
    try (FineTuningResult result = tuner(setting, output).run()) {
      once = Outcome.of(result.training());
      peak = result.training().peakBytes();
    }
    AtomicInteger steps = new AtomicInteger();
    try (FineTuningResult result =
        tuner(setting, output)
            .listener(
                new TrainingListener() {
                  @Override
                  public void onStep(StepRecord step) {
                    steps.incrementAndGet();
                  }
                })
            .resume()
            .run()) {
      assertThat(Outcome.of(result.training())).isEqualTo(once);
      assertThat(result.training().peakBytes()).isEqualTo(peak).isPositive();
      assertThat(result.adaptersFor("a")).hasSize(1);
    }
    assertThat(steps).hasValue(0);
  }

  @Example
  void anInterruptLeavesACheckpoint() throws IOException {
    Path output = directory.resolve("interrupted");
    Setting setting = new Setting(Sequential.inOrder(), false, false);
    try (FineTuningResult result =
        tuner(setting, output)
            .listener(
                new TrainingListener() {
                  private int steps;

                  @Override
                  public void onStep(StepRecord step) {
                    if (++steps == 11) { // the last of the first stage, whose adapter is then saved
                      Thread.currentThread().interrupt();
                    }
                  }
                })
            .run()) {
      assertThat(Thread.interrupted()).as("the interrupt is left for the caller").isTrue();
      assertThat(result.completed()).isFalse();
      assertThat(result.training().stages()).hasSize(1);
    }
    try (FineTuningResult result = tuner(setting, output).resume().run()) {
      assertThat(Outcome.of(result.training())).isEqualTo(whole(setting));
    }
  }

  @Example
  void anotherRunsCheckpointIsRefused() throws IOException {
    Path output = directory.resolve("other");
    Setting setting = new Setting(MultiTask.uniform(), false, false);
    tuner(setting, output).cancelled(() -> true).run().close();
    List<FineTuner> others =
        List.of(
            tuner(setting, output).tasks(TASKS.subList(0, 2)),
            tuner(setting, output).lora(LORA.toBuilder().rankPattern(Map.of("q_proj", 3)).build()),
            tuner(setting, output).strategy(Independent.perTask()),
            tuner(setting, output)
                .hyperparameters(setting.hyperparameters().toBuilder().seed(8).build()));
    for (FineTuner other : others) {
      assertThatThrownBy(() -> other.resume().run())
          .isInstanceOf(IOException.class)
          .hasMessageContaining(output.resolve("checkpoint").toString())
          .hasMessageContaining("another run");
    }
    assertThatThrownBy(() -> tuner(setting, output).output(null).resume().run())
        .hasMessageContaining("output directory");
  }

  @Example
  void damagedCheckpointsAreNamed() throws IOException {
    Path output = directory.resolve("damaged");
    Setting setting = new Setting(MultiTask.uniform(), false, false);
    tuner(setting, output).cancelled(() -> true).run().close();
    Path state = output.resolve("checkpoint/state.json");
    String text = Files.readString(state);
    Files.writeString(state, text.substring(0, text.length() / 2));
    assertThatThrownBy(() -> tuner(setting, output).resume().run())
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(state.toString());
    Files.writeString(state, text);
    Path tensors = output.resolve("checkpoint/tensors.safetensors");
    new SafetensorsWriter().add("w.other", new float[3], 3).write(tensors);
    assertThatThrownBy(() -> tuner(setting, output).resume().run())
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(tensors.toString())
        .hasMessageContaining("SHA-256");
    CheckpointFiles.sign(output.resolve("checkpoint"));
    assertThatThrownBy(() -> tuner(setting, output).resume().run())
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(tensors.toString())
        .hasMessageContaining("w.multi-task");
  }
}
