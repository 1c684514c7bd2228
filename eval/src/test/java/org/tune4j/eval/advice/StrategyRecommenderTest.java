package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.PlanContext;

class StrategyRecommenderTest {
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

  private static final Hyperparameters HYPERPARAMETERS =
      Hyperparameters.builder().learningRate(1e-2).examplesPerStep(8).epochs(2).build();

  private static StrategyRecommender recommender(Task... tasks) {
    return StrategyRecommender.of(model)
        .tasks(tasks)
        .lora(LoraConfig.rank(4))
        .hyperparameters(HYPERPARAMETERS)
        .costShare(Double.POSITIVE_INFINITY)
        .level(StrategyRecommender.Level.AFFINITY)
        .pilotExamples(384)
        .similarityExamples(48)
        .pilotSeconds(600);
  }

  private static Task[] halves() {
    return new Task[] {
      WordModel.colours("first", 0, 300, 1), WordModel.colours("second", 0, 300, 2)
    };
  }

  private static Task[] contradicting() {
    return new Task[] {
      WordModel.colours("first", 0, 300, 1), WordModel.colours("second", 1, 300, 2)
    };
  }

  private static Task[] few() {
    return new Task[] {WordModel.colours("colours", 0, 40, 1), WordModel.sizes("sizes", 40, 2)};
  }

  @Test
  void twoHalvesOfOneTaskAreTrainedTogether() throws Exception {
    Recommendation advice = recommender(halves()).recommend();
    assertThat(advice.recommended().name())
        .as("%s", advice)
        .isIn("multi-task", "multi-task-specialised");
    assertThat(advice.similarity().combined().get("first", "second")).isGreaterThan(0.9);
    assertThat(advice.pilot().orElseThrow().jointGain()).isPositive();
    assertThat(Stream.concat(Stream.of(advice.recommended()), advice.alternatives().stream()))
        .extracting(Assessment::name)
        .containsExactlyInAnyOrder(
            "multi-task",
            "independent",
            "multi-task-specialised",
            "sequential",
            "sequential-replay",
            "sequential-stacked");
    assertThat(advice.alternatives()).allMatch(a -> !a.verdict().isBlank());
  }

  @Test
  void contradictingTasksGetAdaptersOfTheirOwn() throws Exception {
    Recommendation advice = recommender(contradicting()).recommend();
    assertThat(advice.recommended().candidate().joint()).as("%s", advice).isFalse();
    Pilot pilot = advice.pilot().orElseThrow();
    assertThat(pilot.jointGain()).isNegative();
    assertThat(pilot.agreement().get("first", "second")).isLessThan(0.5);
    assertThat(pilot.forgetting()).isPositive();
    assertThat(pilot.transfer()[0][0]).as("a task helps itself").isPositive();
  }

  @Test
  void contradictionsAreReadOffTheDataWithoutAnyTraining() throws Exception {
    Recommendation advice =
        recommender(contradicting()).level(StrategyRecommender.Level.RULES).recommend();
    assertThat(advice.recommended().candidate().joint()).as("%s", advice).isFalse();
    assertThat(advice.reasons().get(0)).contains("answer the same prompts differently");
    Recommendation arriving =
        recommender(contradicting())
            .level(StrategyRecommender.Level.RULES)
            .arrivingOverTime()
            .recommend();
    assertThat(arriving.recommended().candidate().joint()).as("%s", arriving).isFalse();
  }

  @Test
  void similarTasksThatArriveOverTimeAreTrainedInTurnWithReplay() throws Exception {
    Recommendation advice = recommender(halves()).arrivingOverTime().recommend();
    assertThat(advice.recommended().name())
        .as("%s", advice)
        .isIn("sequential-replay", "sequential-stacked");
    assertThat(advice.strategy().plan(PlanContext.of(List.of(halves()), HYPERPARAMETERS)).stages())
        .extracting(s -> s.name())
        .containsExactly("first", "second");
  }

  @Test
  void theSameSeedGivesTheSameAdvice() throws Exception {
    ObjectNode first = recommender(few()).seed(5).recommend().toJson();
    ObjectNode again = recommender(few()).seed(5).recommend().toJson();
    forgetSeconds(first);
    forgetSeconds(again);
    assertThat(first).isEqualTo(again);
  }

  private static void forgetSeconds(JsonNode node) {
    for (JsonNode child : node) {
      if (child.isObject()) {
        ((ObjectNode) child).remove("seconds");
      }
      forgetSeconds(child);
    }
  }

  @Test
  void aTokenBudgetCutsThePlanToFit() throws Exception {
    Recommendation whole = recommender(few()).level(StrategyRecommender.Level.RULES).recommend();
    long tokens = whole.price().tokens();
    Recommendation cut =
        recommender(few())
            .level(StrategyRecommender.Level.RULES)
            .budget(ComputeBudget.ofTokens(tokens * 6 / 10))
            .recommend();
    assertThat(cut.price().tokens()).isLessThanOrEqualTo(tokens * 6 / 10);
    assertThat(cut.recommended().share()).isLessThan(1);
    assertThat(cut.hyperparameters().epochs()).isLessThan(HYPERPARAMETERS.epochs());
    assertThat(cut.reasons()).anyMatch(r -> r.contains("pays"));
    try (FineTuningResult run = cut.fineTuner().output(directory.resolve("cut")).run()) {
      assertThat((double) run.training().tokens())
          .isBetween(0.9 * cut.price().tokens(), 1.1 * cut.price().tokens());
      assertThat(run.adapterBytes()).isEqualTo(cut.price().adapterBytes());
      assertThat((long) run.training().steps().size()).isEqualTo(cut.price().steps());
    }
  }

  @Test
  void plansAreWeighedAtEqualTokensIfWanted() throws Exception {
    Recommendation byEpochs =
        recommender(halves()).level(StrategyRecommender.Level.RULES).recommend();
    Recommendation byTokens =
        recommender(halves()).level(StrategyRecommender.Level.RULES).equalTokens().recommend();
    long once = plan(byEpochs, "multi-task").price().tokens();
    assertThat(plan(byEpochs, "sequential-replay").price().tokens()).isGreaterThan(once);
    for (String name : List.of("multi-task", "sequential-replay", "multi-task-specialised")) {
      Assessment a = plan(byTokens, name);
      assertThat(a.feasible()).isTrue();
      assertThat((double) a.price().tokens()).as(name).isBetween(0.8 * once, 1.01 * once);
    }
    assertThat(plan(byTokens, "multi-task").share()).isEqualTo(1);
    assertThat(plan(byTokens, "multi-task-specialised").share()).isCloseTo(2 / 3.0, within(0.05));
  }

  private static Assessment plan(Recommendation advice, String name) {
    return Stream.concat(Stream.of(advice.recommended()), advice.alternatives().stream())
        .filter(a -> a.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void aBudgetForNothingUsefulIsSaidAndSpentAsWellAsCanBe() throws Exception {
    Recommendation few = recommender(few()).budget(ComputeBudget.ofTokens(30)).recommend();
    assertThat(few.recommended().feasible()).isTrue();
    assertThat(few.price().tokens()).isLessThanOrEqualTo(30);
    assertThat(few.price().steps()).isLessThan(StrategyRecommender.LEAST_STEPS);
    assertThat(few.warnings())
        .anyMatch(w -> w.contains("30 tokens") && w.contains("too small") && w.contains("steps"));
    try (FineTuningResult run =
        FineTuner.of(model)
            .tasks(few())
            .lora(LoraConfig.rank(4))
            .strategy(few.strategy())
            .hyperparameters(few.hyperparameters())
            .output(directory.resolve("few"))
            .run()) {
      assertThat(run.training().completed()).isTrue();
    }
    for (ComputeBudget nothing :
        List.of(
            ComputeBudget.ofTokens(1), ComputeBudget.ofSeconds(1e-9), ComputeBudget.ofMemory(1))) {
      Recommendation none = recommender(few()).budget(nothing).recommend();
      assertThat(none.recommended().feasible()).as("%s", nothing).isFalse();
      assertThat(none.recommended().verdict()).contains("nothing fits the limits");
      assertThat(none.confidence()).isZero();
      assertThat(none.warnings()).anyMatch(w -> w.contains("too small for any plan"));
      assertThat(none.worthTrying()).isEmpty();
      assertThat(none.toString()).contains("Recommended: ");
    }
  }

  @Test
  void littleMemoryMakesPassesSmaller() throws Exception {
    long wanted =
        recommender(few()).level(StrategyRecommender.Level.RULES).recommend().price().memoryBytes();
    Recommendation tight =
        recommender(few())
            .level(StrategyRecommender.Level.RULES)
            .budget(ComputeBudget.ofMemory(wanted * 8 / 10))
            .recommend();
    assertThat(tight.price().memoryBytes()).isLessThanOrEqualTo(wanted * 8 / 10);
    assertThat(
            tight.hyperparameters().tokensPerPass() < HYPERPARAMETERS.tokensPerPass()
                || tight.hyperparameters().activationCheckpointing())
        .isTrue();
    assertThat(tight.warnings()).anyMatch(w -> w.contains("memory"));
  }

  @Test
  void lowConfidenceWithinBudgetIsWorthAnExperiment() throws Exception {
    Recommendation advice = recommender(few()).level(StrategyRecommender.Level.RULES).recommend();
    if (advice.confidence() < StrategyRecommender.TRY_BELOW) {
      assertThat(advice.worthTrying()).hasSizeGreaterThan(1).contains(advice.strategy());
    } else {
      assertThat(advice.worthTrying()).isEmpty();
    }
    Recommendation poor =
        recommender(few())
            .level(StrategyRecommender.Level.RULES)
            .budget(ComputeBudget.ofTokens(advice.price().tokens() * 3 / 2))
            .recommend();
    assertThat(poor.worthTrying()).isEmpty();
  }

  @Test
  void aShortPilotIsGivenUpAndSaidSo() throws Exception {
    Recommendation advice = recommender(halves()).pilotSeconds(1e-6).recommend();
    assertThat(advice.pilot()).isEmpty();
    assertThat(advice.warnings()).anyMatch(w -> w.contains("no pilot"));
  }

  @Test
  void oneTaskGetsItsAdapter() throws Exception {
    Recommendation advice = recommender(WordModel.sizes("sizes", 60, 1)).recommend();
    assertThat(advice.recommended().name()).isEqualTo("independent");
    assertThat(advice.confidence()).isEqualTo(1);
    assertThat(advice.reasons()).anyMatch(r -> r.contains("one task"));
    assertThat(advice.alternatives()).isEmpty();
    assertThat(advice.toString()).contains("independent");
  }

  @Test
  void warnsOfSmallSkewedUnvalidatedTasks() throws Exception {
    List<Example> skewed = new ArrayList<>();
    for (int i = 0; i < 40; i++) {
      skewed.add(Example.of("place" + i % 20 + " size is ", i == 0 ? "small" : "large"));
    }
    Task task =
        Task.builder("skewed")
            .labels(java.util.Set.of("small", "large", "red"))
            .train(skewed)
            .build();
    Recommendation advice =
        recommender(WordModel.colours("colours", 0, 400, 1), task)
            .level(StrategyRecommender.Level.RULES)
            .recommend();
    assertThat(advice.warnings())
        .anyMatch(w -> w.contains("skewed") && w.contains("40 training examples"))
        .anyMatch(w -> w.contains("skewed") && w.contains("no validation"))
        .anyMatch(w -> w.contains("skewed") && w.contains("balance"))
        .anyMatch(w -> w.contains("skewed") && w.contains("'red'"));
    assertThat(
            Stream.concat(Stream.of(advice.recommended()), advice.alternatives().stream())
                .filter(a -> a.name().equals("multi-task"))
                .map(a -> a.strategy().toString()))
        .containsExactly("multi-task (temperature 2.0)");
  }

  @Test
  void jsonAndTextTellEverything() throws Exception {
    Recommendation advice = recommender(few()).recommend();
    Path file = directory.resolve("advice.json");
    advice.writeJson(file);
    JsonNode json = new ObjectMapper().readTree(file.toFile());
    assertThat(json.path("confidence").asDouble()).isEqualTo(advice.confidence());
    assertThat(json.path("recommended").path("strategy").asText())
        .isEqualTo(advice.strategy().toString());
    assertThat(json.path("alternatives")).hasSize(5);
    assertThat(json.path("similarity").path("combined").path(0).path(1).asDouble())
        .isEqualTo(advice.similarity().combined().get("colours", "sizes"));
    assertThat(json.path("pilot").path("alone").path("sizes").asDouble())
        .isEqualTo(advice.pilot().orElseThrow().alone().get("sizes"));
    assertThat(json.path("tasks").path(0).path("labels").path("red").asInt())
        .isEqualTo(advice.profiles().get(0).labels().get("red"));
    assertThat(advice.toString())
        .contains(
            "Recommended: ", "Why", "Evidence", "Alternatives", "Tasks", "Similarity", "Pilot")
        .contains("colours", "sizes");
  }

  @Test
  void reportsProgressThatNeverFalls() throws Exception {
    List<Long> done = new ArrayList<>();
    recommender(few())
        .progress(
            p -> {
              assertThat(p.unit()).isEqualTo(Progress.Unit.PERCENT);
              assertThat(p.total()).isEqualTo(100);
              done.add(p.done());
            })
        .recommend();
    assertThat(done).isSorted().startsWith(0L).endsWith(100L);
    // the last activity but one begins near the end: weights are those of what is done
    assertThat(done.get(done.size() - 2)).isGreaterThan(80);
  }

  @Test
  void stopsWhenCancelledAndLeavesNothing() throws Exception {
    for (int after : new int[] {0, 3, 12, 30}) {
      int[] asked = {0};
      long before = temporaries();
      assertThatThrownBy(() -> recommender(few()).cancelled(() -> asked[0]++ >= after).recommend())
          .isInstanceOf(CancellationException.class);
      assertThat(temporaries()).isEqualTo(before);
    }
  }

  private static long temporaries() throws Exception {
    try (Stream<Path> files = Files.list(Path.of(System.getProperty("java.io.tmpdir")))) {
      return files.filter(f -> f.getFileName().toString().startsWith("tune4j-advice")).count();
    }
  }
}
