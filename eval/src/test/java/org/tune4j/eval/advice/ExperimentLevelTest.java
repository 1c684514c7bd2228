package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Task;
import org.tune4j.core.data.Task.Split;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.TrainingListener;
import org.tune4j.eval.Evaluator;
import org.tune4j.eval.advice.StrategyRecommender.Level;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.FineTuningResult;

/** The likeliest strategies are trained to the end, and the winner is handed over. */
class ExperimentLevelTest {
  @TempDir static Path directory;
  private static LanguageModel model;

  @BeforeAll
  static void load() throws Exception {
    model = WordModel.create(Files.createDirectory(directory.resolve("model")));
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static Task[] contradicting() {
    return new Task[] {
      WordModel.colours("first", 0, 200, 1), WordModel.colours("second", 1, 200, 2)
    };
  }

  private static StrategyRecommender recommender(Path output, Task... tasks) {
    return StrategyRecommender.of(model)
        .tasks(tasks)
        .lora(LoraConfig.rank(4))
        .hyperparameters(
            Hyperparameters.builder().learningRate(1e-2).examplesPerStep(8).epochs(3).build())
        .similarityExamples(16)
        .experimentSeconds(1e6) // machines differ
        .output(output);
  }

  @Test
  void trainsTheLikeliestAndHandsTheWinnerOver() throws Exception {
    Path output = directory.resolve("winner");
    Recommendation advice = recommender(output, contradicting()).recommend();
    assertThat(advice.level()).isEqualTo(Level.EXPERIMENT);
    assertThat(advice.trials()).hasSizeGreaterThan(1);
    Trial winner =
        advice.trials().stream()
            .filter(t -> t.name().equals(advice.recommended().name()))
            .findFirst()
            .orElseThrow();
    assertThat(advice.trained()).contains(winner.output());
    assertThat(winner.output()).startsWith(output);
    assertThat(advice.recommended().expected().mean())
        .as("what was measured, but for what was believed before")
        .isBetween(winner.score() - 0.1, winner.score() + 0.1);
    assertThat(advice.worthTrying()).isEmpty();
    assertThat(advice.reasons().get(0)).startsWith("Trained to the end, " + winner.name());
    assertThat(advice.reasons())
        .as("no budget was given")
        .noneMatch(r -> r.contains("budget does not pay"));
    assertThat(advice.toString()).contains("Trained to find out", winner.output().toString());
    assertThat(advice.toJson().path("trials")).hasSameSizeAs(advice.trials());
    assertThat(advice.toJson().path("level").asText()).isEqualTo("EXPERIMENT");

    List<StepRecord> steps = new ArrayList<>();
    try (FineTuningResult taken =
        advice
            .fineTuner()
            .listener(
                new TrainingListener() {
                  @Override
                  public void onStep(StepRecord step) {
                    steps.add(step);
                  }
                })
            .run()) {
      assertThat(steps).as("nothing is trained again").isEmpty();
      assertThat(taken.completed()).isTrue();
      Evaluator evaluator = Evaluator.of(taken.model());
      for (Task t : contradicting()) {
        assertThat(evaluator.evaluate(t, Split.VALIDATION, taken.adaptersFor(t.name())).scores())
            .containsExactly(winner.evaluations().get(t.name()).scores());
      }
    }
  }

  @Test
  void oneAdapterForContradictingTasksIsFoundOut() throws Exception {
    Recommendation advice =
        recommender(directory.resolve("all"), contradicting())
            .level(Level.EXPERIMENT)
            .experimentShare(Double.POSITIVE_INFINITY)
            .recommend();
    assertThat(advice.recommended().name())
        .as("%s", advice)
        .isIn("independent", "sequential-stacked", "multi-task-specialised");
    Trial winner = advice.trials().get(0);
    for (Trial t : advice.trials()) {
      winner = t.name().equals(advice.recommended().name()) ? t : winner;
    }
    for (Trial t : advice.trials()) {
      assertThat(t.score()).isLessThan(winner.score() + 0.05);
    }
    assertThat(advice.confidence()).isGreaterThan(0.3);
    assertThat(advice.warnings()).noneMatch(w -> w.contains("sharing an adapter"));
  }

  @Test
  void whatItCostsIsBounded() throws Exception {
    Recommendation advice =
        recommender(directory.resolve("bounded"), contradicting())
            .level(Level.EXPERIMENT)
            .experimentShare(0.25)
            .recommend();
    long all = advice.price().tokens();
    for (Assessment a : advice.alternatives()) {
      all += a.feasible() ? a.price().tokens() : 0;
    }
    long spent = 0;
    long dearest = 0;
    for (Trial t : advice.trials()) {
      spent += t.tokens();
      dearest = Math.max(dearest, t.tokens());
    }
    assertThat((double) (spent - dearest)).isLessThanOrEqualTo(0.26 * all);
  }

  @Test
  void whereTrainingTakesLongNothingIsTrainedUnlessAskedFor() throws Exception {
    Path output = directory.resolve("long");
    Recommendation advice =
        recommender(output, contradicting()).experimentSeconds(1e-3).recommend();
    assertThat(advice.level()).isEqualTo(Level.RULES);
    assertThat(advice.trials()).isEmpty();
    assertThat(advice.trained()).isEmpty();
    assertThat(output).doesNotExist();
    advice.fineTuner().run().close();
    assertThat(output.resolve(advice.recommended().name()).resolve("adapters"))
        .isNotEmptyDirectory();
    Recommendation rules = recommender(output, contradicting()).level(Level.RULES).recommend();
    assertThat(rules.recommended().name()).isEqualTo(advice.recommended().name());
    assertThat(rules.confidence()).isEqualTo(advice.confidence());
  }

  @Test
  void aBudgetForOneTrainingIsNotSpentOnTwo() throws Exception {
    Path output = directory.resolve("budget");
    long one = recommender(output, contradicting()).level(Level.RULES).recommend().price().tokens();
    Recommendation advice =
        recommender(output, contradicting())
            .level(Level.EXPERIMENT)
            .budget(ComputeBudget.ofTokens(one * 3 / 2))
            .recommend();
    assertThat(advice.level()).isEqualTo(Level.RULES);
    assertThat(output).doesNotExist();
  }

  @Test
  void withoutValidationExamplesNothingCanBeCompared() throws Exception {
    Task[] tasks = contradicting();
    Task blind = Task.builder("blind").labels(tasks[0].labels()).train(tasks[0].train()).build();
    Path output = directory.resolve("blind");
    Recommendation asked = recommender(output, blind, tasks[1]).level(Level.EXPERIMENT).recommend();
    assertThat(asked.level()).isEqualTo(Level.RULES);
    assertThat(asked.warnings())
        .anyMatch(w -> w.contains("No experiment") && w.contains("task blind has no validation"));
    Recommendation left = recommender(output, blind, tasks[1]).recommend();
    assertThat(left.warnings()).noneMatch(w -> w.contains("No experiment"));
    assertThat(left.alternatives())
        .filteredOn(a -> a.name().equals("multi-task-specialised"))
        .allMatch(a -> a.verdict().contains("of which blind has none"));
  }

  @Test
  void whatWasCancelledIsContinuedAndComesToTheSame() throws Exception {
    Path whole = directory.resolve("whole");
    Recommendation expected = recommender(whole, contradicting()).recommend();
    Path stopped = directory.resolve("stopped");
    int[] asked = {0};
    assertThatThrownBy(
            () ->
                recommender(stopped, contradicting())
                    .cancelled(() -> Files.exists(stopped) && asked[0]++ > 30)
                    .recommend())
        .isInstanceOf(CancellationException.class);
    assertThat(stopped).isNotEmptyDirectory();
    Recommendation again = recommender(stopped, contradicting()).recommend();
    assertThat(again.recommended().name()).isEqualTo(expected.recommended().name());
    assertThat(again.confidence()).isEqualTo(expected.confidence());
    assertThat(again.trials())
        .extracting(Trial::score)
        .containsExactlyElementsOf(expected.trials().stream().map(Trial::score).toList());
  }

  @Test
  void progressNeverFallsAndReachesTheEnd() throws Exception {
    List<Long> done = new ArrayList<>();
    List<String> works = new ArrayList<>();
    recommender(directory.resolve("progress"), contradicting())
        .progress(
            p -> {
              done.add(p.done());
              works.add(p.work());
            })
        .recommend();
    assertThat(done).isSorted().startsWith(0L).endsWith(100L);
    assertThat(works).anyMatch(w -> w.startsWith("training by "));
    assertThat(new ArrayList<>(new java.util.TreeSet<>(done))).hasSizeGreaterThan(20);
  }
}
