package org.tune4j.eval.report;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.tune4j.core.data.Task;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.Stage;
import org.tune4j.core.train.StepRecord;
import org.tune4j.core.train.StepRecords;
import org.tune4j.core.train.TrainingPlan;
import org.tune4j.eval.Bootstrap;
import org.tune4j.eval.ConfidenceInterval;
import org.tune4j.eval.Cost;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;
import org.tune4j.eval.Prediction;
import org.tune4j.eval.StageMatrix;
import org.tune4j.eval.advice.Assessment;
import org.tune4j.eval.advice.Candidate;
import org.tune4j.eval.advice.Candidates;
import org.tune4j.eval.advice.ComputeBudget;
import org.tune4j.eval.advice.Estimate;
import org.tune4j.eval.advice.Pilot;
import org.tune4j.eval.advice.PlanPrice;
import org.tune4j.eval.advice.Recommendation;
import org.tune4j.eval.advice.Scorecard;
import org.tune4j.eval.advice.SimilarityMatrix;
import org.tune4j.eval.advice.StrategyRecommender;
import org.tune4j.eval.advice.TaskProfile;
import org.tune4j.eval.advice.TaskSimilarity;
import org.tune4j.eval.advice.Trial;
import org.tune4j.strategies.Independent;
import org.tune4j.strategies.MultiTask;

/** Results of experiments that were never run, drawn by a seed. */
final class Synthetic {
  private final Random random;
  private final List<String> tasks;
  private final int examples;

  /** What prompts, completions and predictions hold beside a number. */
  private final String content;

  Synthetic(long seed, List<String> tasks, int examples, String content) {
    this.random = new Random(seed);
    this.tasks = tasks;
    this.examples = examples;
    this.content = content;
  }

  ExperimentResult result(String... strategies) {
    ImmutableMap<String, Evaluation> untuned = evaluations(Task.Split.VALIDATION, 0.2);
    List<Outcome> outcomes = new ArrayList<>();
    for (String s : strategies) {
      outcomes.add(outcome(s, untuned, s.startsWith("sequential")));
    }
    return new ExperimentResult(untuned, ImmutableList.copyOf(outcomes), true, 1);
  }

  ImmutableMap<String, Evaluation> evaluations(Task.Split split, double share) {
    ImmutableMap.Builder<String, Evaluation> all = ImmutableMap.builder();
    for (String t : tasks) {
      List<Prediction> predictions = new ArrayList<>();
      for (int i = 0; i < examples; i++) {
        boolean right = random.nextDouble() < share;
        String expected = " right " + i;
        predictions.add(
            new Prediction(
                t + " prompt " + i + content,
                expected,
                right ? expected : " wrong " + i + content,
                right ? 1 : 0));
      }
      double score = predictions.stream().mapToDouble(Prediction::score).average().orElseThrow();
      all.put(
          t,
          new Evaluation(
              t,
              Task.Type.GENERATION,
              split,
              ImmutableList.of(),
              "exact match",
              ImmutableMap.of("exact match", score),
              ImmutableList.copyOf(predictions),
              1));
    }
    return all.buildOrThrow();
  }

  /** An adapter each is recommended, before training. */
  static Recommendation recommendation(List<String> names) {
    return recommendation(names, ImmutableList.of());
  }

  /** The same after an experiment with it and multi-task training. */
  Recommendation tried() {
    return recommendation(
        tasks,
        ImmutableList.of(
            new Trial(
                "independent",
                evaluations(Task.Split.VALIDATION, 0.6),
                12_345,
                6.7,
                Path.of("advised", "independent")),
            new Trial(
                "multi-task",
                evaluations(Task.Split.VALIDATION, 0.5),
                12_345,
                6.7,
                Path.of("advised", "multi-task"))));
  }

  private static Recommendation recommendation(List<String> names, ImmutableList<Trial> trials) {
    ImmutableList<String> tasks = ImmutableList.copyOf(names);
    int n = tasks.size();
    double[][] alike = new double[n][n];
    ImmutableMap.Builder<String, Double> numbers = ImmutableMap.builder();
    ImmutableMap.Builder<String, Integer> counts = ImmutableMap.builder();
    ImmutableList.Builder<TaskProfile> profiles = ImmutableList.builder();
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        alike[i][j] = i == j ? 1 : -0.3 + 0.1 * ((i + j) % 5);
      }
      String t = tasks.get(i);
      numbers.put(t, 1.0 + i);
      counts.put(t, 300);
      profiles.add(
          new TaskProfile(
              t,
              Task.Type.GENERATION,
              1500,
              200,
              0,
              0,
              22.4,
              41,
              60,
              3.2,
              ImmutableMap.of(),
              1,
              5.4,
              64));
    }
    SimilarityMatrix m = new SimilarityMatrix(tasks, alike);
    ImmutableMap<String, Double> losses = numbers.buildOrThrow();
    List<Assessment> plans = new ArrayList<>();
    for (Candidate candidate :
        List.of(
            Candidates.independent(),
            Candidates.multiTask(MultiTask.proportional()),
            Candidates.stacked(names),
            Candidates.replay(names),
            Candidates.sequential(names))) {
      plans.add(
          new Assessment(
              candidate,
              Hyperparameters.defaults(),
              Estimate.of(-0.01 * plans.size(), 0.02),
              Estimate.of(0.6 - 0.01 * plans.size(), 0.1),
              0.4 - 0.1 * plans.size(),
              true,
              1,
              new PlanPrice(6000, 123_456, 375, 61.5, 400L << 20, 2L << 20),
              "the evidence leans to task-specific training (-3.1 points)"));
    }
    return new Recommendation(
        plans.get(0),
        0.72,
        ImmutableList.of("The untrained model sees the tasks as unlike: combined similarity 0.10."),
        ImmutableList.copyOf(plans.subList(1, plans.size())),
        ImmutableList.of(
            "Task " + tasks.get(0) + " has 40 training examples: too few to judge by."),
        ImmutableList.of(Independent.perTask(), MultiTask.proportional()),
        new Scorecard(
            ImmutableList.of(
                new Scorecard.Factor(
                    "conflicts", 0.1, -3.1, "The tasks answer the same prompts differently."))),
        profiles.build(),
        new TaskSimilarity(m, m, losses, m, m, m),
        Optional.of(
            new Pilot(
                tasks,
                counts.buildOrThrow(),
                losses,
                losses,
                losses,
                losses,
                losses,
                new double[n][n],
                m)),
        ComputeBudget.unlimited(),
        trials.isEmpty()
            ? StrategyRecommender.Level.AFFINITY
            : StrategyRecommender.Level.EXPERIMENT,
        trials,
        () -> {
          throw new IllegalStateException("nothing was asked for");
        });
  }

  private Outcome outcome(String name, ImmutableMap<String, Evaluation> untuned, boolean staged) {
    ImmutableMap<String, Evaluation> last =
        evaluations(Task.Split.VALIDATION, 0.5 + 0.2 * random.nextDouble());
    List<Stage> stages = new ArrayList<>();
    List<ImmutableList<Double>> rows = new ArrayList<>();
    List<ImmutableMap<String, Integer>> draws = new ArrayList<>();
    if (staged) {
      tasks.forEach(t -> draws.add(ImmutableMap.of(t, 160)));
    } else {
      ImmutableMap.Builder<String, Integer> draw = ImmutableMap.builder();
      tasks.forEach(t -> draw.put(t, 160));
      draws.add(draw.buildOrThrow());
    }
    List<StepRecord> steps = new ArrayList<>();
    for (int i = 0; i < draws.size(); i++) {
      String stage = staged ? tasks.get(i) : "all-tasks";
      stages.add(Stage.named(stage).train(draws.get(i), name).serve(tasks, name).build());
      boolean end = i + 1 == draws.size();
      List<Double> row = new ArrayList<>();
      for (String t : tasks) {
        row.add(end ? last.get(t).score() : 0.2 + 0.5 * random.nextDouble());
      }
      rows.add(ImmutableList.copyOf(row));
      int count = staged ? 40 : 160;
      for (int k = 1; k <= count; k++) {
        Map<String, Double> losses = new LinkedHashMap<>();
        for (String t : draws.get(i).keySet()) {
          losses.put(t, 1 + 4 * Math.exp(-k / 15.0) + 0.3 * random.nextDouble());
        }
        steps.add(
            new StepRecord(
                stage,
                i,
                k,
                count,
                ImmutableMap.copyOf(losses),
                1e-3,
                ImmutableMap.of(name, 1.0),
                16,
                400,
                40,
                0.1));
      }
    }
    TrainingPlan plan = TrainingPlan.of(name, stages);
    StageMatrix matrix =
        new StageMatrix(
            stages.stream().map(Stage::name).collect(ImmutableList.toImmutableList()),
            ImmutableList.copyOf(tasks),
            StageMatrix.learnedIn(stages, tasks),
            untuned.values().stream()
                .map(Evaluation::score)
                .collect(ImmutableList.toImmutableList()),
            ImmutableList.copyOf(rows));
    ImmutableMap.Builder<String, ConfidenceInterval> intervals = ImmutableMap.builder();
    Bootstrap bootstrap = Bootstrap.seeded(1);
    last.forEach((t, e) -> intervals.put(t, bootstrap.interval(e.scores())));
    return new Outcome(
        name,
        plan,
        stages.get(stages.size() - 1).serving(),
        matrix,
        last,
        intervals.buildOrThrow(),
        bootstrap.interval(last.values().stream().map(Evaluation::scores).toList()),
        new Cost(64_000, 640, 10 + 10 * random.nextDouble(), 200 << 20, 800 << 10),
        written(steps),
        Path.of("out", name));
  }

  /** Writes steps as a run does. */
  private static StepRecords written(List<StepRecord> steps) {
    ObjectMapper json = new ObjectMapper();
    StringBuilder lines = new StringBuilder();
    for (StepRecord s : steps) {
      ObjectNode line = json.createObjectNode();
      line.put("stage", s.stage())
          .put("stageIndex", s.stageIndex())
          .put("step", s.step())
          .put("steps", s.steps())
          .put("lr", s.learningRate())
          .put("examples", s.examples())
          .put("tokens", s.tokens())
          .put("lossTokens", s.lossTokens())
          .put("seconds", s.seconds());
      s.lossByTask().forEach(line.putObject("loss")::put);
      s.gradientNorm().forEach(line.putObject("gradientNorm")::put);
      lines.append(line).append('\n');
    }
    try {
      Path directory = Files.createTempDirectory("steps");
      directory.toFile().deleteOnExit();
      Path file = Files.writeString(directory.resolve("steps.jsonl"), lines);
      file.toFile().deleteOnExit();
      return StepRecords.in(directory);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
