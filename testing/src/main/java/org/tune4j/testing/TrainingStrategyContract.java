package org.tune4j.testing;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.Sets;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.PlanContext;
import org.tune4j.strategies.TrainingStrategy;

/**
 * The contract of every strategy. The test of a custom strategy extends this and implements {@link
 * #strategy}; it plans for tasks of many sizes and names, and trains, stops and resumes on a tiny
 * model.
 */
public abstract class TrainingStrategyContract {
  private static Path directory;
  private static LanguageModel model;

  /** Returns the strategy under test; it may depend on the tasks. */
  protected abstract TrainingStrategy strategy(List<Task> tasks);

  /**
   * Returns the total number of examples that the strategy promises to draw; by default that of the
   * epochs.
   */
  protected long promisedExamples(PlanContext context) {
    return context.examples().values().stream().mapToLong(Integer::longValue).sum();
  }

  /**
   * Returns whether the strategy needs validation examples of every task; by default one of the
   * tasks has none.
   */
  protected boolean needsValidation() {
    return false;
  }

  @BeforeContainer
  static void loadModel() throws IOException {
    directory = Files.createTempDirectory("contract");
    model = TinyRuns.load(TinyRuns.writeModel(directory.resolve("model")));
  }

  @AfterContainer
  static void closeModel() throws IOException {
    model.close();
    AtomicFiles.deleteRecursively(directory);
  }

  /** Generates contexts of one to five tasks with different names and sizes, and epochs. */
  @Provide
  Arbitrary<PlanContext> contexts() {
    Arbitrary<Integer> sizes = Arbitraries.integers().between(1, 300);
    Arbitrary<List<String>> names =
        Arbitraries.of("sentiment", "b", "a/b", "..", "two words", "数", "shared", "multi-task")
            .list()
            .uniqueElements()
            .ofMinSize(1)
            .ofMaxSize(5);
    return names.flatMap(
        n ->
            Combinators.combine(sizes.list().ofSize(n.size()), Arbitraries.of(0.1, 1.0, 2.5))
                .as(
                    (s, epochs) -> {
                      List<Task> tasks = new ArrayList<>();
                      for (int i = 0; i < n.size(); i++) {
                        tasks.add(
                            Task.builder(n.get(i))
                                .train(Collections.nCopies(s.get(i), Example.of("w1", "w2")))
                                .build());
                      }
                      return PlanContext.of(
                          tasks, Hyperparameters.builder().epochs(epochs).build());
                    }));
  }

  private TrainingPlan plan(PlanContext context) {
    return strategy(context.tasks()).plan(context);
  }

  @Property(tries = 40)
  void drawsEveryTaskAsOftenAsPromised(@ForAll("contexts") PlanContext context) {
    TrainingPlan plan = plan(context);
    Set<String> drawn = new LinkedHashSet<>();
    plan.stages().forEach(s -> drawn.addAll(s.examples().keySet()));
    assertThat(drawn).containsExactlyInAnyOrderElementsOf(context.names());
    assertThat(plan.examples()).isEqualTo(promisedExamples(context));
  }

  @Property(tries = 40)
  void servesEveryTaskByWhatItTrained(@ForAll("contexts") PlanContext context) {
    Map<String, Set<String>> trainedBy = new HashMap<>();
    Set<String> merged = new LinkedHashSet<>();
    for (Stage s : plan(context).stages()) {
      merged.addAll(s.mergedBefore());
      s.routes().forEach((t, a) -> trainedBy.computeIfAbsent(t, k -> new LinkedHashSet<>()).add(a));
      for (Stage.Combined c :
          s.combined()) { // a combined adapter has learned what its sources learned
        trainedBy
            .values()
            .forEach(
                by -> {
                  if (by.stream().anyMatch(c.weights()::containsKey)) {
                    by.add(c.name());
                  }
                });
      }
      assertThat(s.serving().keySet())
          .as("stage '%s' serves every task, also those to come", s.name())
          .containsExactlyInAnyOrderElementsOf(context.names());
      trainedBy.forEach(
          (task, adapters) -> {
            Set<String> used = Sets.union(merged, Set.copyOf(s.serving().get(task)));
            assertThat(Sets.intersection(used, adapters))
                .as("after '%s', '%s' is served by something that learned it", s.name(), task)
                .isNotEmpty();
          });
    }
  }

  @Property(tries = 30)
  void plansTheSameAgain(@ForAll("contexts") PlanContext context) {
    TrainingStrategy strategy = strategy(context.tasks());
    TrainingPlan plan = strategy.plan(context);
    assertThat(strategy.plan(context)).isEqualTo(plan);
    assertThat(strategy(context.tasks()).plan(context).describe()).isEqualTo(plan.describe());
    assertThat(plan.strategy()).isEqualTo(strategy.name()).isNotBlank();
  }

  @Property(tries = 30)
  void canBePrintedAndPriced(@ForAll("contexts") PlanContext context) {
    TrainingPlan plan = plan(context);
    assertThat(plan.describe().lines()).hasSize(1 + plan.stages().size());
    assertThat(plan.describe()).contains(plan.strategy()).contains(context.names());
    plan.stages().forEach(s -> assertThat(plan.describe()).contains(s.name()));
    Map<String, Double> mean = new LinkedHashMap<>();
    long expected = 0;
    for (int i = 0; i < context.names().size(); i++) {
      String task = context.names().get(i);
      mean.put(task, 10.0 + i);
      for (Stage s : plan.stages()) {
        expected += s.examples().getOrDefault(task, 0) * (10L + i);
      }
    }
    assertThat(plan.tokens(mean)).isEqualTo(expected + plan.tokensAtEnds(mean));
    String last = context.names().get(context.names().size() - 1);
    mean.remove(last);
    assertThatThrownBy(() -> plan.tokens(mean))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'" + last + "'");
  }

  @net.jqwik.api.Example
  void trainsStopsAndGoesOnWithTheSameBits() throws IOException {
    List<Task> tasks =
        List.of(
            TinyRuns.task("two words", 10, needsValidation() ? 4 : 0),
            TinyRuns.task("a/b", 7, 4),
            TinyRuns.task("..", 3, 4));
    FineTuner tuner =
        FineTuner.of(model)
            .tasks(tasks)
            .lora(TinyRuns.LORA)
            .strategy(strategy(tasks))
            .hyperparameters(TinyRuns.hyperparameters().build());
    Map<String, List<Float>> whole;
    int steps;
    try (FineTuningResult result = tuner.output(directory.resolve("whole")).run()) {
      assertThat(result.training().stages().stream().map(s -> s.stage()))
          .isEqualTo(tuner.plan().stages());
      assertThat(result.training().examples()).isEqualTo(tuner.plan().examples());
      for (Task t : tasks) {
        assertThat(result.adaptersFor(t.name())).isNotEmpty();
        assertThat(result.directoriesFor(t.name())).isNotEmpty().allMatch(Files::isDirectory);
      }
      whole = TinyRuns.bits(result.training());
      steps = result.training().steps().size();
    }
    AtomicInteger asked = new AtomicInteger();
    tuner
        .output(directory.resolve("stopped"))
        .cancelled(() -> asked.getAndIncrement() == steps / 2)
        .run()
        .close();
    try (FineTuningResult result = tuner.resume().cancelled(() -> false).run()) {
      assertThat(TinyRuns.bits(result.training())).isEqualTo(whole);
    }
    AtomicFiles.deleteRecursively(directory.resolve("whole"));
    AtomicFiles.deleteRecursively(directory.resolve("stopped"));
  }
}
