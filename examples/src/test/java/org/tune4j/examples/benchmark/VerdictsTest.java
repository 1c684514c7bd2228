package org.tune4j.examples.benchmark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.ToDoubleBiFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.io.MalformedFileException;
import org.tune4j.eval.advice.StrategyRecommender.Level;
import org.tune4j.examples.benchmark.Kept.Measured;

/** What is made of measurements. */
class VerdictsTest {
  @TempDir Path directory;

  private static Measured measured(
      int number,
      ImmutableMap<String, Double> features,
      int seeds,
      ToDoubleBiFunction<String, Long> score) {
    Map<String, SortedMap<Long, Truth>> runs = new LinkedHashMap<>();
    for (String s : Contender.names()) {
      SortedMap<Long, Truth> bySeed = new TreeMap<>();
      for (long seed = 0; seed < seeds; seed++) {
        bySeed.put(
            seed,
            new Truth(
                "s" + number,
                "",
                s,
                seed,
                ImmutableMap.of("t", score.applyAsDouble(s, seed)),
                ImmutableMap.of(),
                1,
                10,
                "F32"));
      }
      runs.put(s, bySeed);
    }
    Scenario scenario =
        new Scenario(
            "s" + number,
            Scenario.Use.REPORT,
            "balanced",
            ImmutableList.of(Part.of("noun-category", 30)),
            1);
    return new Measured(scenario, features, runs);
  }

  private static Advised advised(int number, String strategy, double probability) {
    return advised(number, Level.RULES, 0, strategy, probability, 0.5);
  }

  private static Advised advised(
      int number, Level level, long seed, String strategy, double probability, double similarity) {
    boolean trained = level == Level.EXPERIMENT;
    return new Advised(
        "s" + number,
        "",
        level,
        seed,
        strategy,
        ImmutableMap.of(strategy, probability),
        ImmutableMap.of(strategy, 0.0),
        similarity,
        ImmutableMap.of(),
        trained ? 200 : 0,
        trained ? 100 : 0,
        1000,
        0.5,
        0.05);
  }

  /** Returns the same advice by rules and by experiments with three seeds. */
  private static List<Advised> everyLevel(
      int number, String strategy, double probability, double similarity) {
    List<Advised> all = new ArrayList<>();
    all.add(advised(number, Level.RULES, 0, strategy, probability, similarity));
    for (long seed = 0; seed < 3; seed++) {
      all.add(advised(number, Level.EXPERIMENT, seed, strategy, probability, similarity));
    }
    return all;
  }

  @Test
  void aStrategyThatIsBestByLuckIsNotTheBest() {
    Random random = new Random(1);
    List<Measured> all = new ArrayList<>();
    List<Advised> advised = new ArrayList<>();
    for (int i = 0; i < 400; i++) {
      Map<String, Double> drawn = new HashMap<>();
      all.add(
          measured(
              i,
              ImmutableMap.of(),
              3,
              (s, seed) ->
                  drawn.computeIfAbsent(s + seed, k -> 0.5 + 0.02 * random.nextGaussian())));
      advised.addAll(everyLevel(i, "multi-task", 0.2, 0.5));
    }
    for (Verdicts.Rule r : new Verdicts(all, advised).rules()) {
      if (r.name().startsWith("similarity")) {
        continue; // its threshold is chosen by the luck of these scenarios
      }
      assertThat(r.mean()).as(r.name()).isCloseTo(0, within(0.4));
      assertThat(r.right()).as(r.name()).isBetween(0.1, 0.3);
    }
  }

  @Test
  void regretIsWhatTheBestScoresMore() {
    List<Measured> all = new ArrayList<>();
    List<Advised> advised = new ArrayList<>();
    for (int i = 0; i < 10; i++) {
      all.add(measured(i, ImmutableMap.of(), 3, (s, seed) -> s.equals("independent") ? 0.8 : 0.7));
      advised.addAll(everyLevel(i, i < 5 ? "independent" : "replay", 0.7, i < 5 ? 0.1 : 0.9));
    }
    Verdicts verdicts = new Verdicts(all, advised);
    List<Verdicts.Rule> rules = verdicts.rules();
    assertThat(rules.get(0).mean()).isCloseTo(5, within(1e-9));
    assertThat(rules.get(0).right()).isCloseTo(0.5, within(1e-9));
    assertThat(rules)
        .filteredOn(r -> r.name().equals("always independent"))
        .allMatch(r -> Math.abs(r.mean()) < 1e-9 && r.right() == 1);
    assertThat(rules)
        .filteredOn(r -> r.name().equals("at random"))
        .allMatch(r -> Math.abs(r.mean() - 10 * 5 / 6.0) < 1e-9);
    assertThat(rules)
        .filteredOn(r -> r.name().startsWith("similarity"))
        .as("a threshold that puts all tasks apart is always right here")
        .allMatch(r -> Math.abs(r.mean()) < 1e-9);
    assertThat(verdicts.calibration())
        .contains(
            "| experiment | 0.6 to 0.8 | 30 | 0.70 | 0.50 |",
            "| rules | 0.6 to 0.8 | 10 | 0.70 | 0.50 |");
    assertThat(verdicts.cost())
        .contains("Rules took 5.0 % of the seconds", "on 20 % of the tokens", "on 10 % without it");
  }

  @Test
  void anExperimentIsJudgedByTheRunThatItHandsOver() {
    List<Measured> all =
        List.of(
            measured(
                0,
                ImmutableMap.of(),
                3,
                (s, seed) ->
                    s.equals("replay") && seed == 1 ? 0.9 : s.equals("multi-task") ? 0.7 : 0.6));
    List<Advised> advised = new ArrayList<>(everyLevel(0, "multi-task", 0.5, 0.5));
    advised.removeIf(a -> a.level() == Level.EXPERIMENT && a.seed() == 1);
    // on seed 1 and another replay is the best, and scores 10 less than multi-task on the third
    assertThat(new Verdicts(all, advised).rules().get(0).mean())
        .as("by the seeds that there is advice for")
        .isCloseTo(-10, within(1e-9));
    assertThat(new Verdicts(all, advised.subList(1, advised.size())).count())
        .as("a scenario without all of the advice is left out")
        .isZero();
    advised.add(advised(0, Level.EXPERIMENT, 1, "replay", 0.5, 0.5));
    List<Verdicts.Rule> rules = new Verdicts(all, advised).rules();
    // with seed 1 the best of the other two is multi-task training, and replay gains 20 on it
    assertThat(rules.get(0).mean() - rules.get(1).mean()).isCloseTo(-20 / 3.0, within(1e-9));
  }

  @Test
  void aLinearLawIsFittedAgain() {
    Random random = new Random(2);
    List<Measured> all = new ArrayList<>();
    for (int i = 0; i < 40; i++) {
      double steps = 8 * random.nextDouble();
      double noise = random.nextDouble();
      all.add(
          measured(
              i,
              ImmutableMap.of("steps", steps, "other", noise),
              1,
              (s, seed) ->
                  s.equals("independent")
                      ? 0.5 + 0.02 * (steps - 4)
                      : s.equals("stacked") ? 0.4 : 0.5));
    }
    JsonNode fitted = Fit.of(all);
    JsonNode line = fitted.get("gains").get("independent");
    double deviation = fitted.get("features").get("steps").get("deviation").doubleValue();
    assertThat(line.get("weights").get("steps").doubleValue() / deviation)
        .isCloseTo(0.02, within(0.002));
    assertThat(line.get("weights").get("other").doubleValue()).isCloseTo(0, within(0.002));
    assertThat(line.get("deviation").doubleValue()).isLessThan(0.005);
    assertThat(fitted.get("gains").get("sequential-stacked").get("intercept").doubleValue())
        .isCloseTo(-0.1, within(1e-4));
    assertThat(fitted.get("residuals")).hasSize(40);
    assertThatThrownBy(() -> Fit.of(all.subList(0, 5)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("5 scenarios");
  }

  @Test
  void aLineThatWasCutOffIsLeftOutAndOneThatIsBrokenIsNamed() throws IOException {
    Path file = directory.resolve("kept.jsonl");
    Lines.append(file, advised(1, "replay", 0.5));
    Lines.append(file, advised(2, "replay", 0.5));
    Files.writeString(file, Files.readString(file) + "{\"scenario\":\"s3\",");
    assertThat(Lines.read(file, Advised.class)).hasSize(2);
    Files.writeString(file, Files.readString(file) + "\n");
    assertThatThrownBy(() -> Lines.read(file, Advised.class))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("kept.jsonl")
        .hasMessageContaining("line 3");
    assertThat(Lines.read(directory.resolve("none"), Advised.class)).isEmpty();

    Files.writeString(file, Files.readString(file).replace("s3\",\n", "s3"));
    Lines.append(file, advised(4, "replay", 0.5));
    assertThat(Lines.read(file, Advised.class))
        .extracting(Advised::scenario)
        .containsExactly("s1", "s2", "s4");
  }
}
