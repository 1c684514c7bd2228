package org.tune4j.eval.report;

import static com.google.common.base.Preconditions.checkArgument;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;
import org.tune4j.eval.advice.Recommendation;
import org.tune4j.eval.advice.TaskSimilarity;

/**
 * A report of an experiment as a self-contained HTML page with charts. All numbers are in tables as
 * well, so that it can be read without scripts. All data is escaped, and the page is not allowed to
 * load anything.
 *
 * <pre>{@code
 * Report.titled("Support tickets")
 *     .summary("Which strategy serves our three queues best?")
 *     .fact("base model", "Llama, 135 million parameters")
 *     .experiment(result)
 *     .test(result.best().strategy(), experiment.test(result.best()))
 *     .write(Path.of("report.html"));
 * }</pre>
 *
 * <p>Sections without data are left out. Not thread-safe.
 */
public final class Report {
  private final String title;
  private String summary = "";
  private final Map<String, String> facts = new LinkedHashMap<>();
  private Recommendation recommendation;
  private ExperimentResult experiment;
  private final Map<String, ImmutableMap<String, Evaluation>> tests = new LinkedHashMap<>();
  private final List<SimilaritySection.Measure> similarities = new ArrayList<>();

  private Report(String title) {
    this.title = title;
  }

  /** Returns an empty report with a title. */
  public static Report titled(String title) {
    return new Report(title);
  }

  /** Sets the sentences under the title. */
  public Report summary(String text) {
    summary = text;
    return this;
  }

  /** Adds a fact about the run, such as the model, shown under the title. */
  public Report fact(String name, String value) {
    facts.put(name, value);
    return this;
  }

  /**
   * Sets the recommendation made before training, and shows the similarities that it is based on.
   */
  public Report recommendation(Recommendation value) {
    recommendation = value;
    if (value.profiles().size() > 1) {
      TaskSimilarity s = value.similarity();
      List<String> tasks = s.combined().tasks();
      similarity("combined", "The weighted mean of the three.", tasks, s.combined().values());
      similarity(
          "gradients",
          "Cosine of the adapter's gradients at initialisation, corrected for noise.",
          tasks,
          s.gradient().values());
      similarity(
          "hidden states",
          "Similarity of the prompts' mean hidden states.",
          tasks,
          s.hiddenStates().values());
      similarity(
          "vocabulary",
          "Weighted Jaccard index of token frequencies.",
          tasks,
          s.vocabulary().values());
    }
    return this;
  }

  /** Sets the experiment whose strategies are compared. */
  public Report experiment(ExperimentResult result) {
    checkArgument(!result.outcomes().isEmpty(), "the experiment has no finished strategy");
    experiment = result;
    return this;
  }

  /**
   * Adds a strategy's scores on the test splits, as {@link org.tune4j.eval.Experiment#test} returns
   * them.
   */
  public Report test(String strategy, ImmutableMap<String, Evaluation> byTask) {
    tests.put(strategy, byTask);
    return this;
  }

  /** Adds the untuned model's scores on the test splits, with which predictions are compared. */
  public Report untunedTest(ImmutableMap<String, Evaluation> byTask) {
    return test(Chart.UNTUNED, byTask);
  }

  /**
   * Adds a matrix of similarities between tasks.
   *
   * @param name what is compared
   * @param meaning sentence on how to read it
   * @param values in [-1, 1], one row per task
   */
  public Report similarity(String name, String meaning, List<String> tasks, double[][] values) {
    checkArgument(
        values.length == tasks.size(), "%s rows for %s tasks", values.length, tasks.size());
    similarities.add(
        new SimilaritySection.Measure(name, meaning, ImmutableList.copyOf(tasks), values));
    return this;
  }

  /**
   * Writes the page atomically.
   *
   * @throws IOException if it cannot be written
   */
  public void write(Path file) throws IOException {
    AtomicFiles.writeString(file, html());
  }

  /** Returns the page as HTML, about 1 MB including the chart library. */
  public String html() {
    ObjectNode data = JsonNodeFactory.instance.objectNode();
    Map<String, Object> view = new HashMap<>();
    view.put("title", title);
    view.put("summary", summary);
    view.put(
        "facts",
        facts.entrySet().stream()
            .map(f -> Map.of("name", f.getKey(), "value", f.getValue()))
            .toList());
    boolean compared = experiment != null;
    view.put(
        "result",
        compared || !tests.isEmpty()
            ? new ResultSection(experiment, tests, recommendation).view(data)
            : null);
    view.put("comparison", compared ? ComparisonSection.view(experiment, data) : null);
    view.put("advice", recommendation != null ? AdviceSection.view(recommendation) : null);
    view.put("stages", compared ? StagesSection.view(experiment, data) : null);
    view.put("losses", compared ? LossesSection.view(experiment, data) : null);
    view.put(
        "similarity", similarities.isEmpty() ? null : SimilaritySection.view(similarities, data));
    view.put("predictions", PredictionsSection.view(experiment, tests));
    view.put("adapters", compared ? adapters() : null);
    return Page.of(view, data);
  }

  private Map<String, Object> adapters() {
    Table table = Table.ofTexts(List.of("strategy", "task", "adapters"));
    for (Outcome o : experiment.outcomes()) {
      for (String task : experiment.untuned().keySet()) {
        table
            .row(o.strategy())
            .text(task, "text")
            .code(o.adaptersFor(task).stream().map(Path::toString).toList());
      }
    }
    return table.view();
  }
}
