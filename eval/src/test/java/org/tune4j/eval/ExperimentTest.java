package org.tune4j.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.engine.DType;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.core.model.Batch;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.model.Routing;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StageResult;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.Combination;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.LoraConfig;
import org.tune4j.lora.PeftFormat;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;
import org.tune4j.strategies.PlanContext;
import org.tune4j.strategies.Sequential;
import org.tune4j.strategies.TrainingStrategy;

/** Experiments from end to end, with a model of a few thousand weights. */
class ExperimentTest {
  private static final Task A = TinyModel.letters("a", 0, 60, 40, 20);
  private static final Task B = TinyModel.letters("b", 1, 60, 30, 20);
  private static final Hyperparameters HYPERPARAMETERS =
      Hyperparameters.builder().learningRate(0.02).examplesPerStep(6).seed(5).build();

  /** A few steps, whatever the epochs. */
  private static final TrainingStrategy FEW =
      new TrainingStrategy() {
        @Override
        public String name() {
          return "few";
        }

        @Override
        public TrainingPlan plan(PlanContext context) {
          return TrainingPlan.of(
              name(),
              Stage.named("both")
                  .train(Map.of("a", 6, "b", 6), "few")
                  .serve(List.of("a", "b"), "few")
                  .build());
        }
      };

  @TempDir static Path directory;
  private static LanguageModel model;
  private static INDArray logits;
  private static long persistent;

  @BeforeAll
  static void load() throws IOException {
    model = TinyModel.create(directory.resolve("model"));
    logits = logits();
    peakOfFew("warm-up"); // engines keep some storage once they have trained
    persistent = model.engine().memory().persistent();
  }

  /** Checks that the base is as it was loaded, and that no adapters are held. */
  @AfterEach
  void nothingIsLeft() {
    assertThat(logits().equals(logits)).isTrue();
    assertThat(model.engine().memory().persistent()).isEqualTo(persistent);
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static Experiment experiment(Path output) {
    return Experiment.of(model)
        .tasks(A, B)
        .lora(LoraConfig.rank(4))
        .hyperparameters(HYPERPARAMETERS)
        .strategies(MultiTask.proportional(), Sequential.inOrder(A, B), Independent.perTask())
        .output(output);
  }

  /** Long enough to learn what there is to learn. */
  private static Experiment longer(Path output) {
    return experiment(output).hyperparameters(HYPERPARAMETERS.toBuilder().epochs(4).build());
  }

  private static INDArray logits() {
    return model.logits(Batch.of(new int[] {5, 9, 23, 2}), Routing.BASE);
  }

  /** Counts what is trained. */
  private static final class Steps implements TrainingListener {
    final List<StepRecord> all = new ArrayList<>();
    final List<String> strategies = new ArrayList<>();

    @Override
    public void onStart(
        TrainingPlan plan, Map<String, org.tune4j.core.data.EncodingReport> encoded) {
      strategies.add(plan.strategy());
    }

    @Override
    public void onStep(StepRecord step) {
      all.add(step);
    }
  }

  @Test
  void comparesStrategiesFromEndToEnd() throws IOException {
    Path output = directory.resolve("comparison");
    Steps steps = new Steps();
    Experiment experiment = longer(output).listener(steps);
    ExperimentResult result = experiment.run();

    assertThat(result.completed()).isTrue();
    assertThat(result.outcomes().stream().map(Outcome::strategy))
        .containsExactly("multi-task", "sequential", "independent");
    assertThat(steps.strategies).containsExactly("multi-task", "sequential", "independent");
    nothingIsLeft();
    for (Outcome o : result.outcomes()) {
      assertConsistent(o, result);
    }

    // what is known: both tasks can be learned side by side, and the second makes the first
    // forgotten
    Outcome sequential = result.outcome("sequential");
    Outcome independent = result.outcome("independent");
    assertThat(independent.average().mean()).isGreaterThan(0.7);
    assertThat(sequential.matrix().stages()).containsExactly("a", "b");
    assertThat(sequential.matrix().backwardTransfer()).isLessThan(-0.2);
    assertThat(sequential.matrix().forgetting()).isGreaterThan(0.2);
    assertThat(sequential.evaluations().get("b").score()).isGreaterThan(0.7);
    assertThat(result.winProbability("independent", "sequential")).isGreaterThan(0.95);
    assertThat(result.best().average().mean()).isGreaterThanOrEqualTo(independent.average().mean());
    assertThat(result.toString())
        .contains("strategy", "BWT", "tokens/s", "multi-task", "independent is better than");

    // test scores by the saved adapters, only now
    assertThat(result.outcomes().stream().flatMap(o -> o.evaluations().values().stream()))
        .allMatch(e -> e.split() == Split.VALIDATION);
    ImmutableMap<String, Evaluation> test = experiment.test(independent);
    assertThat(test.keySet()).containsExactly("a", "b");
    assertThat(test.get("a").split()).isEqualTo(Split.TEST);
    assertThat(test.get("a").count()).isEqualTo(20);
    assertThat(test.get("a").score()).isGreaterThan(0.6);

    // run again, it is not replaced by accident
    for (Experiment other : List.of(longer(output), longer(output).strategies(FEW))) {
      assertThatThrownBy(other::run)
          .isInstanceOf(FileAlreadyExistsException.class)
          .hasMessageContaining(output.toString())
          .hasMessageContaining("--resume");
      assertThatThrownBy(other::requireFree).isInstanceOf(FileAlreadyExistsException.class);
    }
    assertThatThrownBy(() -> longer(output).resume().overwrite().run())
        .isInstanceOf(IllegalArgumentException.class);

    // resumed, everything is taken over
    Steps again = new Steps();
    assertThat(longer(output).resume().listener(again).run()).isEqualTo(result);
    assertThat(again.all).isEmpty();

    // and nothing of another experiment
    assertThatThrownBy(() -> longer(output).resume().lora(LoraConfig.rank(2)).run())
        .isInstanceOf(IOException.class)
        .hasMessageContaining("outcome.json")
        .hasMessageContaining("belongs to another experiment");
    assertThatThrownBy(() -> longer(output).resume().tasks(A.limit(60, 10, 0), B).run())
        .isInstanceOf(IOException.class)
        .hasMessageContaining("untuned.json");
    Path file = output.resolve("sequential").resolve("outcome.json");
    String kept = Files.readString(file);
    String seconds = "(\"cost\"[^}]*\"tokens\" : )[0-9]+";
    for (String altered :
        List.of(
            kept.replaceFirst(seconds, "$1null"),
            kept.replaceFirst(seconds, "$12.5"),
            kept.replaceFirst(seconds + ",", "\"cost\" : {"),
            kept + " {}")) {
      assertThat(altered).isNotEqualTo(kept);
      Files.writeString(file, altered);
      assertThatThrownBy(() -> longer(output).resume().run())
          .isInstanceOf(MalformedFileException.class)
          .hasMessageContaining(file.toString());
    }
    Files.writeString(file, kept.substring(0, 1000));
    assertThatThrownBy(() -> longer(output).resume().run())
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining("line");

    // replaced, nothing of it is taken over
    Steps anew = new Steps();
    Experiment replacing =
        longer(output).strategies(Sequential.inOrder(A, B)).overwrite().listener(anew);
    replacing.requireFree();
    replacing.run();
    assertThat(anew.strategies).containsExactly("sequential");
    assertThat(anew.all.get(0).step()).isEqualTo(1);
  }

  private static void assertConsistent(Outcome o, ExperimentResult result) throws IOException {
    assertThat(o.evaluations().keySet()).containsExactly("a", "b");
    assertThat(o.matrix().averageAccuracy()).isCloseTo(o.average().mean(), Offset.offset(1e-12));
    assertThat(o.matrix().untuned())
        .containsExactly(result.untuned().get("a").score(), result.untuned().get("b").score());
    for (Evaluation e : o.evaluations().values()) {
      assertThat(o.intervals().get(e.task()).mean()).isCloseTo(e.score(), Offset.offset(1e-12));
    }
    assertThat(o.cost().tokens())
        .isEqualTo(o.steps().list().stream().mapToLong(StepRecord::tokens).sum())
        .isBetween(
            (long) (0.98 * result.outcomes().get(0).cost().tokens()),
            (long) (1.02 * result.outcomes().get(0).cost().tokens()));
    assertThat(o.cost().examples()).isEqualTo(480);
    assertThat(o.cost().peakBytes()).isPositive();
    long adapters = o.strategy().equals("independent") ? 2 : 1;
    try (LoraAdapter a = LoraConfig.rank(4).create(model, "x", 0)) {
      assertThat(o.cost().adapterBytes()).isEqualTo(adapters * 4 * a.parameters().size());
    }
    // the saved adapters are those that were evaluated
    for (Task t : List.of(A, B)) {
      assertThat(o.adaptersFor(t.name())).hasSize(1);
      try (LoraAdapter a = PeftFormat.load(model, "saved", o.adaptersFor(t.name()).get(0))) {
        assertThat(Evaluator.of(model).evaluate(t, List.of(a)).predictions())
            .isEqualTo(o.evaluations().get(t.name()).predictions());
      }
    }
  }

  @Test
  void resumesWhereItWasCancelled() throws IOException {
    Path output = directory.resolve("cancelled");
    // stops in the second stage of the second strategy
    Steps seen = new Steps();
    Experiment stopped =
        experiment(output)
            .strategies(Independent.perTask(), Sequential.inOrder(A, B))
            .listener(seen)
            .cancelled(() -> seen.all.size() == 10 + 10 + 4);
    ExperimentResult partial = stopped.run();
    assertThat(partial.completed()).isFalse();
    assertThat(partial.outcomes().stream().map(Outcome::strategy)).containsExactly("independent");
    nothingIsLeft();

    Steps rest = new Steps();
    ExperimentResult resumed =
        experiment(output)
            .strategies(Independent.perTask(), Sequential.inOrder(A, B))
            .listener(rest)
            .resume()
            .run();
    assertThat(resumed.completed()).isTrue();
    assertThat(rest.strategies).containsExactly("sequential");
    assertThat(rest.all).hasSize(6);
    ExperimentResult whole =
        experiment(directory.resolve("uninterrupted"))
            .strategies(Independent.perTask(), Sequential.inOrder(A, B))
            .run();
    assertThat(resumed.outcome("sequential").matrix())
        .isEqualTo(whole.outcome("sequential").matrix());
    assertThat(resumed.outcome("sequential").steps().list())
        .hasSameSizeAs(whole.outcome("sequential").steps().list());
    assertThat(resumed.outcome("independent").matrix())
        .isEqualTo(whole.outcome("independent").matrix());
  }

  /** Task a, tested on what it is validated on. */
  private static final Task VALIDATED_ON_TEST =
      A.withExamples(A.train(), A.validation(), A.validation());

  @Test
  void whatIsMergedIsMergedForTestingToo() throws IOException {
    Experiment experiment =
        experiment(directory.resolve("merging"))
            .tasks(VALIDATED_ON_TEST, B)
            .strategies(Sequential.inOrder(A, B).merging(), Sequential.inOrder(A, B).stacked());
    ExperimentResult result = experiment.run();
    nothingIsLeft();
    Outcome merging = result.outcome("sequential-merging");
    assertThat(merging.merged()).hasSize(1);
    assertThat(merging.adaptersFor("a")).hasSize(1);
    assertThat(experiment.test(merging).get("a").predictions())
        .isEqualTo(merging.evaluations().get("a").predictions());
    nothingIsLeft();
    Outcome stacked = result.outcome("sequential-stacked");
    assertThat(stacked.adaptersFor("b")).hasSize(2);
    assertThat(stacked.matrix().backwardTransfer()).isZero(); // a is served by its own stage
    assertThat(experiment.test(stacked).get("a").predictions())
        .isEqualTo(stacked.evaluations().get("a").predictions());
    assertThatThrownBy(() -> stacked.adaptersFor("c")).hasMessageContaining("no task is named 'c'");
  }

  @Test
  void whatServesIsTestedWhatWasNotKeptIsNot() throws IOException {
    Experiment experiment =
        experiment(directory.resolve("kept"))
            .tasks(VALIDATED_ON_TEST, B)
            .strategies(
                MultiTask.proportional().thenSpecialise(),
                Independent.merged(Combination.dareTiesSvd(0.5, 1)));
    experiment.run();
    ExperimentResult again = experiment.resume().run(); // as it was read
    for (Outcome o : again.outcomes()) {
      assertThat(o.adaptersFor("a"))
          .containsExactlyElementsOf(
              o.serving().get("a").stream()
                  .map(name -> o.output().resolve("adapters").resolve(name))
                  .toList())
          .allMatch(Files::isDirectory);
      assertThat(experiment.test(o).get("a").predictions())
          .isEqualTo(o.evaluations().get("a").predictions());
      nothingIsLeft();
    }
    Outcome merged = again.outcome("merged-dare-ties-svd");
    assertThat(merged.serving()).isEqualTo(Map.of("a", List.of("merged"), "b", List.of("merged")));
    assertThat(merged.plan().describe()).contains("dare_ties_svd of density 0.5, seed 1");
    Outcome own = again.outcome("multi-task-specialised");
    own.serving()
        .forEach(
            (task, adapters) ->
                assertThat(List.of("multi-task", "own-" + task))
                    .startsWith(adapters.get(0))
                    .containsAll(adapters));
  }

  @Test
  void nothingIsLeftWhenTrainingFails() {
    TrainingListener failing =
        new TrainingListener() {
          @Override
          public void onStageStart(Stage stage, int index, int steps) {
            if (index == 1) {
              throw new IllegalStateException("on purpose");
            }
          }
        };
    assertThatThrownBy(
            () ->
                experiment(directory.resolve("failing"))
                    .strategies(Sequential.inOrder(A, B).merging())
                    .listener(failing)
                    .run())
        .hasMessageContaining("on purpose");
  }

  @Test
  void everyStrategyGetsTheSameTokens() throws IOException {
    ExperimentResult result =
        experiment(directory.resolve("budget"))
            .tokenBudget(1500)
            .strategies(
                MultiTask.proportional(),
                MultiTask.temperature(3),
                Sequential.inOrder(A, B).replay(0.4))
            .run();
    assertThat(result.outcomes().stream().map(Outcome::strategy))
        .containsExactly("multi-task", "multi-task-2", "sequential-replay");
    for (Outcome o : result.outcomes()) {
      assertThat(o.cost().tokens()).as(o.strategy()).isBetween(1450L, 1550L);
    }
  }

  @Test
  void aPlanThatIgnoresTheEpochsIsRunAsItIs() throws IOException {
    Outcome o = experiment(directory.resolve("fixed")).strategies(FEW).run().outcome("few");
    assertThat(o.cost().examples()).isEqualTo(12);
    assertThat(o.steps().list()).hasSize(2);
  }

  private static long peakOfFew(String name) throws IOException {
    return experiment(directory.resolve(name))
        .strategies(FEW)
        .run()
        .outcome("few")
        .cost()
        .peakBytes();
  }

  /** Makes the engine reserve 100 MB. */
  private static void useMuch() {
    model.engine().lock().lock();
    try {
      for (int i = 0; i < 100; i++) {
        model.engine().allocate(1 << 10, 1 << 8, DType.F32);
      }
      model.engine().resetArena();
    } finally {
      model.engine().lock().unlock();
    }
  }

  private static long peakOfSequential(String name, Runnable betweenStages) throws IOException {
    return experiment(directory.resolve(name))
        .strategies(Sequential.inOrder(A, B))
        .listener(
            new TrainingListener() {
              @Override
              public void onStageEnd(StageResult stage) {
                betweenStages.run();
              }
            })
        .run()
        .outcome("sequential")
        .cost()
        .peakBytes();
  }

  /** As evaluations do, which the quickstart's peaks once were mostly made of. */
  @Test
  void whatOthersTakeBetweenStagesIsNotTheStrategysPeak() throws IOException {
    assertThat(peakOfSequential("much-between", ExperimentTest::useMuch))
        .isEqualTo(peakOfSequential("little-between", () -> {}));
  }

  @Test
  void aStrategysPeakIsItsOwn() throws IOException {
    long alone = peakOfFew("alone");
    useMuch();
    assertThat(peakOfFew("after-much")).isEqualTo(alone);
  }

  @Test
  void theListenerEvaluatesAfterEveryStage() throws IOException {
    StageMatrixListener stages =
        StageMatrixListener.of(Evaluator.of(model).limit(10), List.of(A, B));
    List<Double> live = new ArrayList<>();
    TrainingListener own =
        new TrainingListener() {
          @Override
          public void onStageEnd(StageResult result) {
            live.add(Evaluator.of(model).limit(10).evaluate(B, result.serving().get("b")).score());
          }
        };
    assertThatThrownBy(stages::matrix).isInstanceOf(IllegalStateException.class);
    org.tune4j.strategies.FineTuner.of(model)
        .tasks(A, B)
        .lora(LoraConfig.rank(4))
        .hyperparameters(HYPERPARAMETERS)
        .strategy(Sequential.inOrder(B, A))
        .output(directory.resolve("listened"))
        .listener(stages)
        .listener(own)
        .run()
        .close();
    StageMatrix m = stages.matrix();
    assertThat(m.tasks()).containsExactly("a", "b");
    assertThat(m.stages()).containsExactly("b", "a");
    assertThat(m.learnedIn()).containsExactly(1, 0);
    assertThat(List.of(m.score(0, 1), m.score(1, 1))).isEqualTo(live);
    assertThat(m.untuned().get(0))
        .isEqualTo(Evaluator.of(model).limit(10).evaluate(A, ImmutableList.of()).score());
  }

  @Test
  void refusesWhatCannotBeCompared() {
    Path output = directory.resolve("refused");
    assertThatThrownBy(() -> experiment(output).strategies(List.of()).run())
        .hasMessageContaining("no strategies were given");
    assertThatThrownBy(() -> experiment(output).tasks(A, A).run())
        .hasMessageContaining("two tasks are named 'a'");
    assertThatThrownBy(
            () -> experiment(output).tasks(A, Task.builder("b").train(B.train()).build()).run())
        .hasMessageContaining("task 'b' has no validation examples");
    assertThat(output).doesNotExist();
  }
}
