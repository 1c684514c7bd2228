package org.tune4j.strategies;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.tune4j.lora.Initialisation.RANDOM;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.tune4j.core.data.EncodingReport;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.ExampleEncoder.LengthPolicy;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.AdaptableModel;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.AdapterFactory;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.NotEnoughMemoryException;
import org.tune4j.core.model.ProjectionGroup;
import org.tune4j.core.model.Routing;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.train.ConsoleProgress;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StageResult;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingException;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.PeftFormat;
import org.tune4j.testing.TinyRuns;

/** The trainer on a tiny model, good and bad. */
class TrainerTest {
  @TempDir static Path models;
  private static Path directory;
  private static LanguageModel model;

  @TempDir Path temporary;

  private final Task a = TinyRuns.task("a", 30, 8);
  private final Task b = TinyRuns.task("b", 13, 8);
  private int runs;

  @BeforeAll
  static void load() {
    directory = TinyRuns.writeModel(models.resolve("model"));
    model = TinyRuns.load(directory);
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private FineTuner tuner(Hyperparameters h, TrainingStrategy strategy, Task... tasks) {
    return FineTuner.of(model)
        .tasks(tasks)
        .lora(TinyRuns.LORA)
        .strategy(strategy)
        .hyperparameters(h)
        .output(temporary.resolve("run" + runs++));
  }

  private Map<String, List<Float>> bits(Hyperparameters h, TrainingStrategy strategy, Task... tasks)
      throws IOException {
    try (FineTuningResult result = tuner(h, strategy, tasks).run()) {
      return TinyRuns.bits(result.training());
    }
  }

  private static void assertClose(List<Float> actual, List<Float> expected, double limit) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.size(); i++) {
      difference += Math.pow(actual.get(i) - expected.get(i), 2);
      norm += Math.pow(expected.get(i), 2);
    }
    assertThat(Math.sqrt(difference / norm)).isLessThan(limit);
  }

  @Test
  void theSeedDeterminesTheBits() throws IOException {
    Hyperparameters h = TinyRuns.hyperparameters().build();
    Map<String, List<Float>> once = bits(h, MultiTask.uniform(), a, b);
    assertThat(bits(h, MultiTask.uniform(), a, b)).isEqualTo(once);
    assertThat(bits(h.toBuilder().seed(8).build(), MultiTask.uniform(), a, b)).isNotEqualTo(once);
  }

  /** Data, loss, clipping, schedule, validation and early stopping of a lane are its own. */
  @Test
  void sideBySideIsAsAlone() throws IOException {
    Hyperparameters h =
        TinyRuns.hyperparameters()
            .epochs(3)
            .learningRate(0.05)
            .maxGradientNorm(0.5)
            .validateEvery(3)
            .patience(2)
            .build();
    Map<String, List<Float>> together;
    Map<String, Double> validation = new LinkedHashMap<>();
    try (FineTuningResult result = tuner(h, Independent.perTask(), a, b).run()) {
      together = TinyRuns.bits(result.training());
      validation.putAll(result.training().stages().get(0).validationLoss());
    }
    for (Task task : List.of(b, a)) {
      try (FineTuningResult alone = tuner(h, Independent.perTask(), task).run()) {
        assertClose(
            together.get(task.name()), TinyRuns.bits(alone.training()).get(task.name()), 1e-4);
        assertThat(alone.training().stages().get(0).validationLoss().get(task.name()))
            .isCloseTo(validation.get(task.name()), Offset.offset(1e-4));
      }
    }
  }

  @Test
  void passesOfAStepAddUp() throws IOException {
    Hyperparameters h = TinyRuns.hyperparameters().examplesPerStep(12).build();
    Map<String, List<Float>> whole = bits(h, Independent.perTask(), a, b);
    Map<String, List<Float>> inPasses =
        bits(h.toBuilder().tokensPerPass(32).build(), Independent.perTask(), a, b);
    Map<String, List<Float>> recomputed =
        bits(h.toBuilder().activationCheckpointing(true).build(), Independent.perTask(), a, b);
    for (String name : List.of("a", "b")) {
      assertClose(inPasses.get(name), whole.get(name), 1e-4);
      assertClose(recomputed.get(name), whole.get(name), 1e-5);
    }
  }

  /** Each example of this task has a length of its own, which the step's tokens tell. */
  private static Task lengths(String name, int count) {
    List<Example> examples = new ArrayList<>();
    for (int i = 1; i <= count; i++) {
      examples.add(Example.of("w30 ".repeat(i), "w8"));
    }
    return Task.builder(name).train(examples).type(Task.Type.GENERATION).build();
  }

  @Test
  void eachExampleIsDrawnOnceBeforeAnyAgainAndTasksAreMixed() throws IOException {
    Hyperparameters h = TinyRuns.hyperparameters().examplesPerStep(1).epochs(2.5).build();
    List<StepRecord> steps;
    try (FineTuningResult result =
        tuner(h, MultiTask.proportional(), lengths("a", 8), lengths("b", 8)).run()) {
      steps = result.training().steps();
    }
    List<List<Long>> orders = new ArrayList<>();
    for (String task : List.of("a", "b")) {
      List<Long> drawn =
          steps.stream()
              .filter(s -> s.lossByTask().containsKey(task))
              .map(StepRecord::tokens)
              .toList();
      assertThat(drawn).hasSize(20);
      assertThat(new HashSet<>(drawn.subList(0, 8))).hasSize(8);
      assertThat(new HashSet<>(drawn.subList(8, 16))).hasSize(8);
      assertThat(new HashSet<>(drawn.subList(16, 20))).hasSize(4);
      assertThat(drawn.subList(0, 8)).isNotEqualTo(drawn.subList(8, 16));
      orders.add(drawn);
    }
    assertThat(orders.get(0)).isNotEqualTo(orders.get(1));
    assertThat(steps.subList(0, 20).stream().filter(s -> s.lossByTask().containsKey("a")).count())
        .isBetween(4L, 16L);
  }

  @Test
  void theBestWeightsAreKept() throws IOException {
    Hyperparameters h =
        TinyRuns.hyperparameters().learningRate(0.3).epochs(4).validateEvery(2).patience(3).build();
    List<Map<String, Double>> losses = new ArrayList<>();
    List<Integer> at = new ArrayList<>();
    List<Float> kept;
    FineTuner tuner =
        tuner(h, MultiTask.proportional(), a, b)
            .listener(
                new TrainingListener() {
                  @Override
                  public void onValidation(Stage stage, int step, Map<String, Double> byTask) {
                    losses.add(byTask);
                    at.add(step);
                  }
                });
    StageResult stage;
    try (FineTuningResult result = tuner.run()) {
      kept = TinyRuns.bits(result.training()).get(MultiTask.ADAPTER);
      stage = result.training().stages().get(0);
    }
    List<Double> means = losses.stream().map(m -> (m.get("a") + m.get("b")) / 2).toList();
    int best = means.indexOf(Collections.min(means));
    assertThat(best).as("the last is not the best").isLessThan(means.size() - 1);
    assertThat(means.size() - 1 - best).as("patience").isLessThanOrEqualTo(3);
    assertThat(stage.validationLoss()).isEqualTo(losses.get(best));
    AtomicInteger steps = new AtomicInteger();
    try (FineTuningResult upToBest =
        tuner(h, MultiTask.proportional(), a, b)
            .cancelled(() -> steps.getAndIncrement() == at.get(best))
            .run()) {
      assertThat(upToBest.completed()).isFalse();
      assertThat(TinyRuns.bits(upToBest.training()).get(MultiTask.ADAPTER)).isEqualTo(kept);
    }
  }

  @Test
  void everyStageStopsByItsOwnValidation() throws IOException {
    Hyperparameters h =
        TinyRuns.hyperparameters()
            .learningRate(0.3)
            .epochs(40)
            .validateEvery(1)
            .patience(2)
            .build();
    Map<String, List<Double>> validations = new LinkedHashMap<>();
    TrainingListener watch =
        new TrainingListener() {
          @Override
          public void onValidation(Stage stage, int step, Map<String, Double> byTask) {
            assertThat(byTask).containsOnlyKeys(stage.name());
            validations
                .computeIfAbsent(stage.name(), s -> new ArrayList<>())
                .add(byTask.get(stage.name()));
          }
        };
    try (FineTuningResult result = tuner(h, Sequential.inOrder(b, a), a, b).listener(watch).run()) {
      for (StageResult stage : result.training().stages()) {
        List<Double> losses = validations.get(stage.stage().name());
        assertThat(stage.steps()).isEqualTo(losses.size());
        assertThat((long) stage.steps()).isLessThan(stage.stage().steps(h));
        double best = Collections.min(losses);
        assertThat(losses.indexOf(best)).as("%s", losses).isEqualTo(losses.size() - 3);
        assertThat(stage.validationLoss().values()).containsExactly(best);
      }
      assertThat(validations.keySet()).containsExactly("b", "a");
    }
  }

  @Test
  void earlyStoppingNeedsValidationExamples() {
    Hyperparameters h = TinyRuns.hyperparameters().validateEvery(2).patience(1).build();
    assertThatThrownBy(() -> tuner(h, Independent.perTask(), a, TinyRuns.task("none", 8, 0)).run())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'none'")
        .hasMessageContaining("validation examples");
    assertThat(temporary).isEmptyDirectory();
  }

  /** The first stage has eight steps and goes well; the second has four. */
  @Test
  void divergenceStopsTrainingAndKeepsWhatWasGood() throws IOException {
    float[] before = output();
    Hyperparameters h =
        TinyRuns.hyperparameters()
            .checkpointEvery(1)
            .maxGradientNorm(Double.POSITIVE_INFINITY)
            .schedule("explodes", (step, steps) -> steps == 4 && step == 2 ? 1e30 : 1)
            .build();
    List<String> events = new ArrayList<>();
    FineTuner tuner =
        tuner(h, Sequential.inOrder().merging(), a, b)
            .listener(
                new TrainingListener() {
                  @Override
                  public void onStep(StepRecord step) {
                    events.add(step.stage() + step.step());
                  }

                  @Override
                  public void onEnd() {
                    events.add("end");
                  }
                });
    assertThatThrownBy(tuner::run)
        .isInstanceOf(TrainingException.class)
        .hasMessageContaining("stage 'b', step 4")
        .hasMessageContaining("'b'")
        .hasMessageContaining("the adapter's parameters had grown from")
        .hasMessageContaining("a lower learning rate may help");
    assertThat(events).endsWith("b1", "b2", "b3", "end");
    assertThat(output()).as("merges are undone").isEqualTo(before);
    Path run = temporary.resolve("run0");
    try (LoraAdapter first = PeftFormat.load(model, "first", run.resolve("stages/1-a/1-a"))) {
      assertThat(TinyRuns.weights(first)).isNotEmpty();
    }
    assertThat(run.resolve("stages/2-b")).doesNotExist();
    assertThat(run.resolve("adapters")).doesNotExist();
    assertThat(run.resolve("checkpoint/state.json")).exists();
    assertThatThrownBy(() -> tuner.resume().run()).isInstanceOf(TrainingException.class);
  }

  @Test
  void aModelThatGivesNoNumberIsNotBlamedOnTheLearningRate() {
    AdapterFactory broken =
        (on, name, seed) -> {
          LoraAdapter adapter = TinyRuns.LORA.create(on, name, seed);
          float[] none = TinyRuns.weights(adapter);
          Arrays.fill(none, Float.NaN);
          adapter.parameters().engine().write(adapter.parameters().flat(), none);
          return adapter;
        };
    Hyperparameters h = TinyRuns.hyperparameters().build();
    assertThatThrownBy(() -> tuner(h, MultiTask.uniform(), a).adapters(broken).run())
        .isInstanceOf(TrainingException.class)
        .hasMessageContaining("step 1: the loss of task 'a' is NaN. No step came before")
        .hasMessageNotContaining("may help");
  }

  private static float[] output() {
    return model.logits(Batch.of(new int[] {4, 7, 2}), Routing.BASE).data().asFloat();
  }

  @Test
  void unwritableOutputIsToldBeforeTraining() throws IOException {
    Path file = Files.writeString(temporary.resolve("file"), "x");
    List<StepRecord> steps = new ArrayList<>();
    assertThatThrownBy(
            () ->
                tuner(TinyRuns.hyperparameters().build(), MultiTask.uniform(), a)
                    .output(file.resolve("run"))
                    .listener(
                        new TrainingListener() {
                          @Override
                          public void onStep(StepRecord step) {
                            steps.add(step);
                          }
                        })
                    .run())
        .isInstanceOf(IOException.class)
        .hasMessageContaining(file.resolve("run").toString());
    assertThat(steps).isEmpty();
    assertThat(file).hasContent("x");
  }

  @Test
  void tooLittleMemoryIsToldBeforeTraining() {
    Hyperparameters large =
        TinyRuns.hyperparameters()
            .examplesPerStep(1_000_000_000)
            .tokensPerPass(Integer.MAX_VALUE)
            .build();
    assertThatThrownBy(() -> tuner(large, MultiTask.uniform(), a).run())
        .isInstanceOf(NotEnoughMemoryException.class)
        .hasMessageContaining("training needs about");
    AdapterFactory huge =
        new AdapterFactory() {
          @Override
          public Adapter create(AdaptableModel m, String name, long seed) {
            throw new AssertionError("it was estimated before");
          }

          @Override
          public long parameters(AdaptableModel m) {
            return 1L << 38;
          }
        };
    assertThatThrownBy(
            () ->
                tuner(TinyRuns.hyperparameters().build(), MultiTask.uniform(), a)
                    .adapters(huge)
                    .run())
        .isInstanceOf(NotEnoughMemoryException.class)
        .hasMessageContaining("adapters");
    assertThat(temporary).isEmptyDirectory();
  }

  @Test
  void adaptersAreCountedBeforeTheyAreMade() {
    try (LoraAdapter made = TinyRuns.LORA.toBuilder().dora(true).build().create(model, "x", 1)) {
      assertThat(made.config().parameters(model)).isEqualTo(made.parameters().size());
    }
  }

  @Test
  void longExamplesAreCountedAndReported() throws IOException {
    Hyperparameters h = TinyRuns.hyperparameters().maxLength(6).build();
    Task task = lengths("long", 10); // 3 to 12 tokens
    ByteArrayOutputStream console = new ByteArrayOutputStream();
    try (FineTuningResult result =
        tuner(h, MultiTask.uniform(), task)
            .listener(ConsoleProgress.lines(new PrintStream(console, true, UTF_8)))
            .run()) {
      EncodingReport report = result.training().encoded().get("long");
      assertThat(report.truncated()).isEqualTo(6);
      assertThat(report.skipped()).isZero();
    }
    assertThat(console.toString(UTF_8))
        .contains("long: too long for the context: 6 examples shortened, 0 left out, of 10");
    assertThatThrownBy(
            () ->
                tuner(
                        h.toBuilder().lengthPolicy(LengthPolicy.FAIL).build(),
                        MultiTask.uniform(),
                        task)
                    .run())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("task 'long', train example 5 has 7 tokens");
    assertThatThrownBy(
            () ->
                tuner(
                        h.toBuilder().lengthPolicy(LengthPolicy.SKIP).maxLength(2).build(),
                        MultiTask.uniform(),
                        task)
                    .run())
        .hasMessageContaining("all 10 training examples")
        .hasMessageContaining("2 tokens");
    assertThat(temporary.resolve("run1")).doesNotExist();
  }

  @Test
  void encodingTellsHowFarItIsAndCanBeCancelled() throws IOException {
    Hyperparameters h = TinyRuns.hyperparameters().examplesPerStep(64).build();
    Task many = TinyRuns.task("many", 1500, 600);
    List<Progress> told = new ArrayList<>();
    AtomicInteger ends = new AtomicInteger();
    TrainingListener listener =
        new TrainingListener() {
          @Override
          public void onProgress(Progress progress) {
            told.add(progress);
          }

          @Override
          public void onEnd() {
            ends.incrementAndGet();
          }
        };
    FineTuner tuner = tuner(h, MultiTask.uniform(), many).listener(listener);
    try (FineTuningResult result =
        tuner.cancelled(() -> told.contains(encoding("train", 1024, 1500))).run()) {
      assertThat(result.completed()).isFalse();
      assertThat(result.training().stages()).isEmpty();
      assertThat(result.training().adapters()).isEmpty();
    }
    assertThat(told).contains(encoding("train", 512, 1500)).endsWith(encoding("train", 1024, 1500));
    assertThat(ends).hasValue(1);
    told.clear();
    Thread.currentThread().interrupt();
    try (FineTuningResult result = tuner.cancelled(() -> false).resume().run()) {
      assertThat(result.completed()).isFalse();
      assertThat(told).hasSize(1);
    } finally {
      assertThat(Thread.interrupted()).as("the interruption is the caller's to see").isTrue();
    }
    told.clear();
    try (FineTuningResult result = tuner.resume().run()) {
      assertThat(result.completed()).isTrue();
      assertThat(told)
          .containsSubsequence(
              encoding("train", 512, 1500),
              encoding("train", 1024, 1500),
              encoding("train", 1500, 1500),
              encoding("validation", 512, 600),
              encoding("validation", 600, 600));
      assertThat(told)
          .as("steps are told in the same way")
          .endsWith(new Progress("training all-tasks", 24, 24, Progress.Unit.STEPS));
    }
    assertThat(ends).hasValue(3);
  }

  private static Progress encoding(String split, int done, int total) {
    return new Progress("encoding many (" + split + ")", done, total, Progress.Unit.EXAMPLES);
  }

  @Test
  void progressTellsRateLossesAndTimeLeft() throws IOException {
    ByteArrayOutputStream console = new ByteArrayOutputStream();
    Hyperparameters h = TinyRuns.hyperparameters().validateEvery(4).build();
    tuner(h, Sequential.inOrder(), a, b)
        .listener(ConsoleProgress.lines(new PrintStream(console, true, UTF_8)))
        .run()
        .close();
    List<String> lines = console.toString(UTF_8).lines().toList();
    assertThat(lines).hasSize(2);
    assertThat(lines.get(0))
        .matches(
            "a: step 8 of 8, [\\d,]+ tokens/s, a \\d+\\.\\d{3} \\(validation \\d+\\.\\d{3}\\), \\d+ (s|min) left");
    assertThat(lines.get(1)).startsWith("b: step 4 of 4").endsWith(" 0 s left");
  }

  @Test
  void nobodyUndoesTheCallersMerge() throws IOException {
    Hyperparameters h = TinyRuns.hyperparameters().build();
    Batch batch = Batch.of(new int[] {3, 4, 5, 6});
    try (LoraAdapter other =
        TinyRuns.LORA.toBuilder().initialisation(RANDOM).build().create(model, "other", 1)) {
      float[] base = model.logits(batch, Routing.BASE).data().asFloat();
      other.mergeIntoModel();
      float[] merged = model.logits(batch, Routing.BASE).data().asFloat();
      assertThat(merged).isNotEqualTo(base);
      for (Sequential s : List.of(Sequential.inOrder(), Sequential.inOrder().merging())) {
        tuner(h, s, a, b).run().close();
        assertThat(model.logits(batch, Routing.BASE).data().asFloat()).isEqualTo(merged);
      }
    } finally {
      model.groups().forEach(ProjectionGroup::restore);
    }
  }

  /** Where in a run something is closed. */
  enum Moment {
    BEFORE,
    STEP,
    VALIDATION,
    STAGE_START,
    STAGE_END
  }

  private static TrainingListener at(Moment moment, Runnable close) {
    return new TrainingListener() {
      private void now(Moment m) {
        if (m == moment) {
          close.run();
        }
      }

      @Override
      public void onStep(StepRecord step) {
        now(Moment.STEP);
      }

      @Override
      public void onValidation(Stage stage, int step, Map<String, Double> losses) {
        now(Moment.VALIDATION);
      }

      @Override
      public void onStageStart(Stage stage, int index, int steps) {
        now(Moment.STAGE_START);
      }

      @Override
      public void onStageEnd(StageResult result) {
        now(Moment.STAGE_END);
      }
    };
  }

  @ParameterizedTest
  @EnumSource(Moment.class)
  void aModelThatIsClosedMeanwhileEndsTrainingWithThatAlone(Moment moment) throws IOException {
    Hyperparameters h = TinyRuns.hyperparameters().validateEvery(2).checkpointEvery(1).build();
    for (Sequential s : List.of(Sequential.inOrder(), Sequential.inOrder().merging())) {
      LanguageModel own = TinyRuns.load(directory);
      FineTuner tuner =
          FineTuner.of(own)
              .tasks(a, b)
              .lora(TinyRuns.LORA)
              .strategy(s)
              .hyperparameters(h)
              .output(temporary.resolve("closed" + runs++))
              .listener(at(moment, own::close));
      if (moment == Moment.BEFORE) {
        own.close();
      }
      assertThatThrownBy(tuner::run)
          .isInstanceOf(IllegalStateException.class)
          .hasMessage("the model is closed")
          .hasNoCause()
          .hasNoSuppressedExceptions();
    }
  }

  @Test
  void anAdapterThatIsClosedMeanwhileEndsTraining() {
    Hyperparameters h = TinyRuns.hyperparameters().build();
    List<Adapter> made = new ArrayList<>();
    AdapterFactory keeping =
        (m, name, seed) -> {
          made.add(TinyRuns.LORA.create(m, name, seed));
          return made.get(0);
        };
    FineTuner tuner =
        tuner(h, MultiTask.uniform(), a)
            .adapters(keeping)
            .listener(at(Moment.STEP, () -> made.get(0).close()));
    assertThatThrownBy(tuner::run)
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("adapter 'multi-task' is closed");
  }

  @Test
  void plansThatDoNotFitAreRefused() {
    Hyperparameters h = TinyRuns.hyperparameters().build();
    TrainingStrategy unknown =
        new TrainingStrategy() {
          @Override
          public String name() {
            return "odd";
          }

          @Override
          public TrainingPlan plan(PlanContext context) {
            return TrainingPlan.of(
                name(), Stage.named("s").train("zzz", "x", 3).serve(context.names(), "x").build());
          }
        };
    assertThatThrownBy(() -> tuner(h, unknown, a).run())
        .hasMessageContaining("'odd'")
        .hasMessageContaining("'zzz'")
        .hasMessageContaining("[a]");
    TrainingStrategy forgetful =
        new TrainingStrategy() {
          @Override
          public String name() {
            return "forgetful";
          }

          @Override
          public TrainingPlan plan(PlanContext context) {
            return TrainingPlan.of(
                name(), Stage.named("s").train(context.examples(), "x").serve("a", "x").build());
          }
        };
    assertThatThrownBy(() -> tuner(h, forgetful, a, b).run())
        .hasMessageContaining("'forgetful'")
        .hasMessageContaining("[a]")
        .hasMessageContaining("[a, b]");
    assertThatThrownBy(() -> tuner(h, MultiTask.uniform(), a, a).run())
        .hasMessageContaining("two tasks are named 'a'");
    assertThatThrownBy(() -> FineTuner.of(model).run()).hasMessageContaining("no tasks");
    assertThat(temporary).isEmptyDirectory();
  }

  @Test
  void aFailingListenerEndsTheRunAndKeepsTheLastCheckpoint() throws IOException {
    Hyperparameters h = TinyRuns.hyperparameters().checkpointEvery(2).build();
    AtomicInteger ends = new AtomicInteger();
    FineTuner tuner =
        tuner(h, MultiTask.uniform(), a)
            .listener(
                new TrainingListener() {
                  @Override
                  public void onStep(StepRecord step) {
                    if (step.step() == 5) {
                      throw new IllegalStateException("the caller's");
                    }
                  }

                  @Override
                  public void onEnd() {
                    ends.incrementAndGet();
                  }
                });
    IllegalStateException e = catchThrowableOfType(IllegalStateException.class, tuner::run);
    assertThat(e).hasMessage("the caller's");
    assertThat(ends).hasValue(1);
    assertThat(temporary.resolve("run0/checkpoint/state.json")).exists();
  }
}
