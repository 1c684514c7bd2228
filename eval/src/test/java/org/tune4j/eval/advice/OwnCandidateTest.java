package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.eval.report.Report;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.FineTuner;
import org.tune4j.strategies.FineTuningResult;
import org.tune4j.strategies.PlanContext;
import org.tune4j.strategies.TrainingStrategy;

/** Strategies of a user's are weighed, priced and explained like those of the library. */
class OwnCandidateTest {
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

  /** The first task has an adapter of its own, all others share one. */
  private record FirstApart() implements TrainingStrategy {
    @Override
    public String name() {
      return "first-apart";
    }

    @Override
    public TrainingPlan plan(PlanContext context) {
      Stage.Builder stage = Stage.named("two-lanes");
      String adapter = "first";
      for (String t : context.names()) {
        stage.train(t, adapter, context.examples().get(t)).serve(t, adapter);
        adapter = "others";
      }
      return TrainingPlan.of(name(), stage.build());
    }
  }

  private record Own(TrainingStrategy strategy, Estimate fixed, UnaryOperator<PlanPrice> cost)
      implements Candidate {
    static Own gaining(double mean) {
      return new Own(new FirstApart(), Estimate.of(mean, 0.01), plan -> plan);
    }

    @Override
    public boolean joint() {
      return true;
    }

    @Override
    public Estimate gain(Situation situation) {
      return fixed;
    }

    @Override
    public PlanPrice price(PlanPrice plan) {
      return cost.apply(plan);
    }

    @Override
    public String inFavour(Situation s) {
      return "the first of " + s.profiles().size() + " tasks is unlike the rest";
    }

    @Override
    public String against(Situation s, Assessment own, Assessment best) {
      return "the first task is like the rest, and " + best.name() + " has fewer parts";
    }

    @Override
    public ImmutableList<String> reasons(Situation s) {
      return ImmutableList.of("The first task is in another language.");
    }
  }

  private static Task[] tasks() {
    return new Task[] {
      WordModel.colours("colours", 0, 40, 1),
      WordModel.sizes("sizes", 40, 2),
      WordModel.colours("again", 0, 40, 3)
    };
  }

  private static StrategyRecommender recommender(Task... tasks) {
    return StrategyRecommender.of(model)
        .tasks(tasks)
        .lora(LoraConfig.rank(4))
        .hyperparameters(
            Hyperparameters.builder().learningRate(1e-2).examplesPerStep(8).epochs(2).build())
        .similarityExamples(16)
        .level(StrategyRecommender.Level.RULES)
        .costShare(Double.POSITIVE_INFINITY);
  }

  private static Assessment own(Recommendation advice) {
    return advice.alternatives().stream()
        .filter(a -> a.name().equals("first-apart"))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void isRecommendedInItsOwnWordsAtThePriceOfItsPlan() throws Exception {
    List<String> activities = new ArrayList<>();
    Recommendation advice =
        recommender(tasks())
            .candidates(Own.gaining(2))
            .progress(p -> activities.add(p.work()))
            .recommend();
    assertThat(advice.recommended().name()).isEqualTo("first-apart");
    assertThat(advice.strategy()).isEqualTo(new FirstApart());
    assertThat(advice.recommended().score()).isEqualTo(2);
    assertThat(advice.confidence()).isGreaterThan(0.99);
    assertThat(advice.recommended().verdict()).isEqualTo("the first of 3 tasks is unlike the rest");
    assertThat(advice.reasons()).contains("The first task is in another language.");
    assertThat(advice.alternatives())
        .hasSize(6)
        .allMatch(a -> !a.verdict().isBlank())
        .allMatch(a -> a.verdict().contains("less than first-apart"));
    assertThat(activities)
        .as("its two lanes are timed, beside one, three, and one or three above another")
        .filteredOn("price of a step"::equals)
        .hasSize(5);
    assertThat(advice.toJson().path("recommended").path("kind").asText()).isEqualTo("first-apart");
    assertThat(Report.titled("own").recommendation(advice).html()).contains("first-apart");
    try (FineTuningResult run =
        FineTuner.of(model)
            .tasks(tasks())
            .lora(LoraConfig.rank(4))
            .strategy(advice.strategy())
            .hyperparameters(advice.hyperparameters())
            .output(directory.resolve("run"))
            .run()) {
      assertThat(run.adapterBytes()).isEqualTo(advice.price().adapterBytes());
      assertThat((long) run.training().steps().size()).isEqualTo(advice.price().steps());
    }
  }

  @Test
  void isRejectedInItsOwnWordsAndElseNothingChanges() throws Exception {
    Recommendation without = recommender(tasks()).recommend();
    Recommendation with = recommender(tasks()).candidates(Own.gaining(-2)).recommend();
    assertThat(own(with).verdict())
        .isEqualTo(
            "the first task is like the rest, and "
                + without.recommended().name()
                + " has fewer parts");
    assertThat(own(with).score()).isEqualTo(-2);
    assertThat(with.recommended().name()).isEqualTo(without.recommended().name());
    assertThat(with.recommended().verdict()).isEqualTo(without.recommended().verdict());
    assertThat(withoutProbabilities(with)).isEqualTo(withoutProbabilities(without));
    assertThat(with.alternatives().subList(0, 5))
        .extracting(Assessment::name, Assessment::score, Assessment::verdict)
        .containsExactlyElementsOf(
            without.alternatives().stream()
                .map(a -> org.assertj.core.groups.Tuple.tuple(a.name(), a.score(), a.verdict()))
                .toList());
  }

  /** Returns the reasons without what depends on draws, which another candidate changes. */
  private static List<String> withoutProbabilities(Recommendation advice) {
    return advice.reasons().stream().map(r -> r.replaceAll("probability of [0-9.]+", "?")).toList();
  }

  @Test
  void isCutToTheBudgetAndRefusedByIt() throws Exception {
    Recommendation whole = recommender(tasks()).candidates(Own.gaining(2)).recommend();
    long half = whole.price().tokens() / 2;
    Recommendation cut =
        recommender(tasks())
            .candidates(Own.gaining(2))
            .budget(ComputeBudget.ofTokens(half))
            .recommend();
    assertThat(cut.recommended().name()).isEqualTo("first-apart");
    assertThat(cut.price().tokens()).isBetween(half / 2, half);
    assertThat(cut.recommended().score())
        .isEqualTo(Forecast.standard().cut(Estimate.of(2, 0), cut.recommended().share()).mean());

    long bytes = 1L << 60;
    Own teacher =
        new Own(
            new FirstApart(),
            Estimate.of(2, 0.01),
            p ->
                new PlanPrice(
                    p.examples(), p.tokens(), p.steps(), p.seconds(), bytes, p.adapterBytes()));
    Recommendation refused = recommender(tasks()).candidates(teacher).recommend();
    assertThat(own(refused).feasible()).isFalse();
    assertThat(own(refused).price().memoryBytes()).isEqualTo(bytes);
    assertThat(own(refused).verdict()).startsWith("needs ").contains(PlanPrice.bytes(bytes));
  }

  @Test
  void isWeighedForASingleTask() throws Exception {
    Task one = WordModel.sizes("sizes", 60, 1);
    Recommendation advice = recommender(one).candidates(Own.gaining(1)).recommend();
    assertThat(advice.recommended().verdict()).contains("first of 1 tasks");
    assertThat(advice.alternatives()).hasSize(1);
    assertThat(advice.alternatives().get(0).verdict())
        .startsWith("expected to score")
        .endsWith("points of 100 less than first-apart");
    assertThat(advice.reasons()).noneMatch(r -> r.contains("every strategy trains one adapter"));
    assertThat(advice.confidence()).isGreaterThan(0.99);
  }

  @Test
  void needsANameOfItsOwnAndAnEstimateOfNumbers() {
    assertThatThrownBy(
            () -> recommender(tasks()).candidates(Own.gaining(1), Own.gaining(0)).recommend())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("two candidates are named 'first-apart'");
    assertThatThrownBy(() -> recommender(tasks()).candidates(Candidates.independent()).recommend())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("two candidates are named 'independent'");
    assertThatThrownBy(() -> Own.gaining(Double.NaN))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("an estimate of NaN");
  }
}
