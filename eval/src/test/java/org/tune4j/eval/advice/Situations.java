package org.tune4j.eval.advice;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.util.Optional;
import org.tune4j.core.data.Task;

/** Situations that were not measured. */
final class Situations {
  static final ImmutableList<String> TASKS = ImmutableList.of("a", "b", "c");
  static final ImmutableList<Candidate> CANDIDATES = Candidates.all(TASKS, 1);

  private Situations() {}

  /** Returns three tasks with a lean, and losses that show as much forgetting. */
  static Situation of(double lean, boolean arriving, double forgetting) {
    return of(
        card(lean),
        arriving,
        pilot(
            losses(1, 1, 1),
            losses(1, 1, 1),
            losses(1, 1, 1).entrySet().stream()
                .collect(ImmutableMap.toImmutableMap(e -> e.getKey(), e -> 1 + forgetting))));
  }

  static Situation of(Scorecard card, boolean arriving, Pilot pilot) {
    SimilarityMatrix m =
        new SimilarityMatrix(TASKS, new double[][] {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}});
    return new Situation(
        TASKS.stream().map(Situations::profile).collect(ImmutableList.toImmutableList()),
        new TaskSimilarity(m, m, losses(0.9, 0.9, 0.9), m, m, m),
        new AnswerConflicts(1, 1, ImmutableList.of(), ImmutableList.of()),
        features(),
        card,
        Optional.of(pilot),
        arriving);
  }

  /** Returns three tasks of 100 examples, of which nothing else is known. */
  static Features features() {
    return new Features(
        ImmutableMap.<String, Double>builder()
            .put(Features.STEPS, 3.0)
            .put(Features.TASKS, 1.58)
            .put(Features.IMBALANCE, 0.0)
            .put(Features.OPPOSITION, 0.0)
            .put(Features.KINSHIP, 0.0)
            .buildOrThrow());
  }

  /** Returns evidence of one kind that leans as given, in points. */
  static Scorecard card(double lean) {
    return new Scorecard(ImmutableList.of(new Scorecard.Factor("all", lean, lean, "?")));
  }

  static ImmutableMap<String, Double> losses(double a, double b, double c) {
    return ImmutableMap.of("a", a, "b", b, "c", c);
  }

  static Pilot pilot(
      ImmutableMap<String, Double> alone,
      ImmutableMap<String, Double> joint,
      ImmutableMap<String, Double> sequential) {
    return new Pilot(
        TASKS,
        ImmutableMap.of("a", 100, "b", 100, "c", 100),
        losses(3, 3, 3),
        losses(1, 1, 1),
        alone,
        joint,
        sequential,
        new double[3][3],
        new SimilarityMatrix(
            TASKS, new double[][] {{1, -0.6, 0.5}, {-0.6, 1, 0.5}, {0.5, 0.5, 1}}));
  }

  private static TaskProfile profile(String task) {
    return new TaskProfile(
        task, Task.Type.GENERATION, 100, 20, 0, 0, 10, 12, 15, 2, ImmutableMap.of(), 1, 3, 20);
  }
}
