package org.tune4j.eval.report;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.tune4j.eval.Bootstrap;
import org.tune4j.eval.ConfidenceInterval;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;
import org.tune4j.eval.advice.Recommendation;

/**
 * The result: the best strategy, and the scores of all.
 *
 * @param experiment null if there was none
 * @param tests scores on the test splits by strategy
 * @param recommendation null if there is none
 */
record ResultSection(
    ExperimentResult experiment,
    Map<String, ImmutableMap<String, Evaluation>> tests,
    Recommendation recommendation) {
  /** Probability from which a strategy counts as clearly better. */
  private static final double CLEAR = 0.95;

  /** A column of the final scores. */
  private record Scored(
      String name, ImmutableMap<String, ConfidenceInterval> byTask, ConfidenceInterval average) {}

  private Scored scored(String name, ImmutableMap<String, Evaluation> byTask) {
    Bootstrap bootstrap = Bootstrap.seeded(experiment == null ? 0 : experiment.seed());
    ImmutableMap.Builder<String, ConfidenceInterval> intervals = ImmutableMap.builder();
    byTask.forEach((task, e) -> intervals.put(task, bootstrap.interval(e.scores())));
    return new Scored(
        name,
        intervals.buildOrThrow(),
        bootstrap.interval(byTask.values().stream().map(Evaluation::scores).toList()));
  }

  Map<String, Object> view(ObjectNode data) {
    Map<String, Object> view = new HashMap<>();
    view.put("best", null);
    view.put("foreseen", null);
    if (experiment != null) {
      Outcome best = experiment.best();
      view.put("best", best.strategy());
      view.put("verdict", verdict(best));
      if (recommendation != null) {
        view.put("foreseen", comparedWithAdvice(best));
      }
    }
    view.put("meaning", meaningOfScores());
    view.put("examples", null);
    view.put("scores", null);
    List<Scored> all = new ArrayList<>();
    if (tests.isEmpty()) {
      all.add(scored(Chart.UNTUNED, experiment.untuned()));
      experiment
          .outcomes()
          .forEach(o -> all.add(new Scored(o.strategy(), o.intervals(), o.average())));
      view.put("chart", chart(data, all, experiment.untuned().keySet()));
    } else {
      if (tests.containsKey(Chart.UNTUNED)) {
        all.add(scored(Chart.UNTUNED, tests.get(Chart.UNTUNED)));
      }
      tests.forEach(
          (name, byTask) -> {
            if (!name.equals(Chart.UNTUNED)) {
              all.add(scored(name, byTask));
            }
          });
      ImmutableSet<String> tasks = all.get(0).byTask().keySet();
      int examples =
          tests.values().iterator().next().values().stream().mapToInt(Evaluation::count).sum();
      view.put("examples", String.format(Locale.ROOT, "%,d", examples));
      view.put("chart", chart(data, all, tasks));
      view.put("scores", scores(all, tasks));
    }
    return view;
  }

  private String verdict(Outcome best) {
    boolean tested = tests.containsKey(best.strategy());
    ImmutableMap<String, Evaluation> untuned =
        tested ? tests.get(Chart.UNTUNED) : experiment.untuned(); // may be null
    double score = tested ? average(tests.get(best.strategy())) : best.average().mean();
    StringBuilder text =
        new StringBuilder(
            String.format(
                Locale.ROOT,
                "Its average score is %.3f on the %s splits",
                score,
                tested ? "test" : "validation"));
    if (untuned != null) {
      text.append(
          String.format(
              Locale.ROOT, ", compared with %.3f for the untuned model", average(untuned)));
    }
    text.append('.');
    if (experiment.outcomes().size() > 1) {
      text.append(
          tested
              ? " It was chosen on the validation splits, where it had the best average."
              : " That is the best average.");
    }
    return text.toString();
  }

  /** Compares the result with the recommendation. */
  private String comparedWithAdvice(Outcome best) {
    String recommended = recommendation.strategy().name();
    if (recommended.equals(best.strategy())) {
      return "It was also recommended before training.";
    }
    boolean tried = experiment.outcomes().stream().anyMatch(o -> o.strategy().equals(recommended));
    if (!tried) {
      return "%s was recommended before training, but not tried.".formatted(recommended);
    }
    double probability = experiment.winProbability(best.strategy(), recommended);
    return String.format(
        Locale.ROOT,
        "%s was recommended before training, with a confidence of %.2f. It scored %.3f on the validation splits, where %s scored %.3f: %s (probability that the latter is better: %.2f).",
        recommended,
        recommendation.confidence(),
        experiment.outcome(recommended).average().mean(),
        best.strategy(),
        best.average().mean(),
        probability < CLEAR ? "a difference that may be chance" : "a clear difference",
        probability);
  }

  private static double average(ImmutableMap<String, Evaluation> byTask) {
    return byTask.values().stream().mapToDouble(Evaluation::score).average().orElse(Double.NaN);
  }

  /** Explains the scores of the types of tasks present. */
  private String meaningOfScores() {
    ImmutableMap<String, Evaluation> any =
        experiment != null ? experiment.untuned() : tests.values().iterator().next();
    Set<String> meanings = new LinkedHashSet<>();
    for (Evaluation e : any.values()) {
      meanings.add(
          switch (e.type()) {
            case CLASSIFICATION -> "the accuracy of a classification";
            case GENERATION -> "the " + e.primary().replace('-', ' ') + " of a generation";
            case TEXT -> "the mean probability of a token of text";
          });
    }
    return "Scores are from 0 to 1, higher is better: " + String.join(", ", meanings) + ".";
  }

  private Map<String, Object> scores(List<Scored> all, ImmutableSet<String> tasks) {
    List<String> headings = new ArrayList<>(List.of("strategy"));
    headings.addAll(tasks);
    headings.addAll(List.of("average", "95 %"));
    Table table = Table.of(headings);
    for (Scored s : all) {
      boolean best = experiment != null && s.name().equals(experiment.best().strategy());
      Table.Row row = table.row(s.name()).best(best);
      tasks.forEach(t -> row.number("%.3f", s.byTask().get(t).mean()));
      row.number("%.3f", s.average().mean())
          .cell("%.3f to %.3f", s.average().low(), s.average().high());
    }
    return table.view();
  }

  private static Map<String, Object> chart(
      ObjectNode data, List<Scored> all, ImmutableSet<String> tasks) {
    ObjectNode scores = data.putObject("scores");
    scores.put("untuned", all.get(0).name().equals(Chart.UNTUNED));
    ArrayNode categories = scores.putArray("categories");
    tasks.forEach(categories::add);
    categories.add("average");
    ArrayNode series = scores.putArray("series");
    for (Scored s : all) {
      ObjectNode one = series.addObject().put("name", s.name());
      one.put("untuned", s.name().equals(Chart.UNTUNED));
      ArrayNode values = one.putArray("values");
      tasks.forEach(t -> Chart.add(values, s.byTask().get(t)));
      Chart.add(values, s.average());
    }
    return Chart.of(
        "Score of each task by strategy",
        "scores",
        0,
        "",
        true,
        Chart.legend(all.stream().map(Scored::name).toList()));
  }
}
