package org.tune4j.strategies;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.engine.Engine;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import org.tune4j.core.model.Adapter;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Gain;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StageResult;
import org.tune4j.core.train.Trainer;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.lora.LoraAdapter;
import org.tune4j.lora.LoraConfig;
import org.tune4j.testing.TinyRuns;

/** A shared adapter, then one for each task on top, kept where it gains. */
class SpecialisedTest {
  private static final LoraConfig LORA = LoraConfig.builder().rank(4).alpha(8).build();

  @TempDir static Path models;
  private static LanguageModel model;

  @TempDir Path directory;

  @BeforeAll
  static void load() {
    model = TinyRuns.load(TinyRuns.writeModel(models.resolve("model")));
  }

  @AfterAll
  static void close() {
    model.close();
  }

  /** A task of eight prompts, whose answers are {@code shift} words on. */
  private static Task answering(String name, int shift) {
    List<Example> examples = new ArrayList<>();
    for (int i = 0; i < 48; i++) {
      examples.add(Example.of("w" + i % 8 + " w30", " w" + (10 + (i + shift) % 8)));
    }
    return Task.builder(name).train(examples).validation(examples.subList(0, 16)).build();
  }

  /** Two tasks that answer the same prompts differently. */
  private static final List<Task> OPPOSED = List.of(answering("one", 0), answering("other", 3));

  private FineTuner tuner(List<Task> tasks, TrainingStrategy strategy, String output) {
    return FineTuner.of(model)
        .tasks(tasks)
        .lora(LORA)
        .strategy(strategy)
        .hyperparameters(hyperparameters().build())
        .output(directory.resolve(output));
  }

  private static Hyperparameters.Builder hyperparameters() {
    return TinyRuns.hyperparameters().epochs(4);
  }

  private static List<String> serving(FineTuningResult result, String task) {
    return result.adaptersFor(task).stream().map(Adapter::name).toList();
  }

  @Test
  void whatTasksDoAgainstOneAnotherEachGetsByItself() throws IOException {
    try (FineTuningResult shared = tuner(OPPOSED, MultiTask.proportional(), "shared").run();
        FineTuningResult result =
            tuner(OPPOSED, MultiTask.proportional().thenSpecialise(), "own").run()) {
      assertThat(result.training().stages()).hasSize(2);
      StageResult first = result.training().stages().get(0);
      StageResult last = result.training().stages().get(1);
      assertThat(first.validationLoss())
          .isEqualTo(shared.training().stages().get(0).validationLoss());
      assertThat(last.gains()).containsOnlyKeys("own-one", "own-other");
      for (Task t : OPPOSED) {
        Gain gain = last.gains().get("own-" + t.name());
        assertThat(gain.kept()).as("%s", gain).isTrue();
        assertThat(gain.examples()).isEqualTo(16);
        assertThat(last.validationLoss().get(t.name()))
            .isLessThan(first.validationLoss().get(t.name()));
        assertThat(serving(result, t.name())).containsExactly("multi-task", "own-" + t.name());
        LoraAdapter own = (LoraAdapter) result.adaptersFor(t.name()).get(1);
        assertThat(own.config().rank()).isEqualTo(1);
        assertThat(own.config().scaleOf("q_proj")).isEqualTo(LORA.scaleOf("q_proj"));
      }
      assertThat(result.adapterBytes()).isLessThan(shared.adapterBytes() * 3 / 2 + 1);
      assertThat(result.directoriesFor("one"))
          .containsExactly(
              directory.resolve("own/adapters/multi-task"),
              directory.resolve("own/adapters/own-one"));
    }
  }

  /** The adapters on top learn answers by heart that are those of no validation example. */
  private static Task misleading(String name) {
    List<Example> train = new ArrayList<>();
    List<Example> validation = new ArrayList<>();
    for (int i = 0; i < 48; i++) {
      train.add(Example.of("w" + i % 8 + " w30", " w" + (10 + i % 8)));
      validation.add(Example.of("w" + i % 8 + " w30", " w" + (10 + (i + 5) % 8)));
    }
    return Task.builder(name).train(train).validation(validation.subList(0, 16)).build();
  }

  @Test
  void whatDoesNotGainIsLeftOutAndStaysOutWhenResumed() throws IOException {
    List<Task> tasks = List.of(OPPOSED.get(0), OPPOSED.get(1), misleading("misleading"));
    Specialised strategy = MultiTask.proportional().thenSpecialise().size(0.5).examples(1);
    int stop;
    Map<String, List<Float>> bits;
    Map<String, Gain> gains;
    try (FineTuningResult result = tuner(tasks, strategy, "run").run()) {
      StageResult last = result.training().stages().get(1);
      gains = last.gains();
      assertThat(gains.get("own-misleading").kept()).as("%s", gains).isFalse();
      assertThat(serving(result, "misleading")).containsExactly("multi-task");
      assertThat(serving(result, "one")).containsExactly("multi-task", "own-one");
      assertThat(last.validationLoss().get("misleading"))
          .as("with what serves it")
          .isEqualTo(result.training().stages().get(0).validationLoss().get("misleading"));
      assertThat(result.training().adapters())
          .containsOnlyKeys("multi-task", "own-one", "own-other");
      assertThat(directory.resolve("run/adapters/own-misleading")).doesNotExist();
      assertThat(last.saved().get("own-misleading")).as("to be looked at").isDirectory();
      bits = TinyRuns.bits(result.training());
      stop = result.training().steps().size() - 1;
    }
    // complete: nothing is trained or measured again
    try (FineTuningResult again = tuner(tasks, strategy, "run").resume().run()) {
      assertThat(again.training().stages().get(1).gains()).isEqualTo(gains);
      assertThat(serving(again, "misleading")).containsExactly("multi-task");
      assertThat(TinyRuns.bits(again.training())).isEqualTo(bits);
    }
    AtomicInteger asked = new AtomicInteger();
    tuner(tasks, strategy, "parts").cancelled(() -> asked.getAndIncrement() == stop).run().close();
    try (FineTuningResult rest = tuner(tasks, strategy, "parts").resume().run()) {
      assertThat(rest.training().stages().get(1).gains()).isEqualTo(gains);
      assertThat(TinyRuns.bits(rest.training())).isEqualTo(bits);
    }
  }

  /** A stage after the decision serves by what was kept. */
  record GoingOn() implements TrainingStrategy {
    @Override
    public String name() {
      return "going-on";
    }

    @Override
    public TrainingPlan plan(PlanContext context) {
      List<Stage> stages =
          new ArrayList<>(MultiTask.uniform().thenSpecialise().plan(context).stages());
      Stage second = stages.get(1);
      Stage.Builder third = Stage.named("third").train(context.names().get(0), "third", 8);
      second.serving().forEach(third::serve);
      stages.add(third.build());
      return TrainingPlan.of(name(), stages);
    }
  }

  @Test
  void laterStagesLeaveItOutToo() throws IOException {
    List<Task> tasks = List.of(misleading("misleading"), answering("fine", 1));
    AtomicInteger asked = new AtomicInteger();
    int steps;
    try (FineTuningResult result = tuner(tasks, new GoingOn(), "run").run()) {
      assertThat(serving(result, "misleading")).containsExactly("multi-task");
      steps = result.training().steps().size();
    }
    tuner(tasks, new GoingOn(), "parts")
        .cancelled(() -> asked.getAndIncrement() == steps - 1)
        .run()
        .close();
    try (FineTuningResult rest = tuner(tasks, new GoingOn(), "parts").resume().run()) {
      assertThat(serving(rest, "misleading")).containsExactly("multi-task");
      assertThat(rest.training().stages()).hasSize(3);
    }
  }

  @Test
  void whatCannotBeDecidedIsRefusedBeforeTraining() throws IOException {
    Specialised strategy = MultiTask.proportional().thenSpecialise();
    List<Task> unvalidated = List.of(OPPOSED.get(0), TinyRuns.task("b", 8, 1));
    assertThatThrownBy(() -> tuner(unvalidated, strategy, "refused").run())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage(
            "adapter 'own-b' is kept if it gains on validation examples of task 'b', which has 1; it needs at least 2");
    try (Engine engine = Engines.create(Precision.F32);
        BagOfWords network = BagOfWords.random(engine, 1)) {
      assertThatThrownBy(
              () ->
                  Trainer.builder(
                          network,
                          OPPOSED,
                          strategy.plan(PlanContext.of(OPPOSED, hyperparameters().build())),
                          (m, name, seed) -> BagOfWords.adapter(m, name))
                      .output(directory.resolve("network"))
                      .build()
                      .run())
          .isInstanceOf(UnsupportedOperationException.class)
          .hasMessageContaining("adapters of 0.25 times the size cannot be created");
    }
    assertThatThrownBy(() -> strategy.size(0)).hasMessageContaining("is 0.0; it must be positive");
    assertThatThrownBy(() -> strategy.examples(Double.NaN)).hasMessageContaining("is NaN");
  }

  @Test
  void costsWhatThePlanSays() {
    PlanContext context = PlanContext.of(OPPOSED, hyperparameters().epochs(1).build());
    TrainingPlan plan = MultiTask.uniform().thenSpecialise().plan(context);
    assertThat(plan.strategy()).isEqualTo("multi-task-specialised");
    assertThat(plan.examples()).isEqualTo(96 + 48);
    assertThat(MultiTask.uniform().thenSpecialise().examples(2).plan(context).examples())
        .isEqualTo(96 + 192);
    assertThat(plan.describe())
        .contains("on top of frozen multi-task, own-one of size 0.25, own-other of size 0.25")
        .contains("kept if they gain: own-one, own-other");
  }
}
