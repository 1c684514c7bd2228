package org.tune4j.eval.report;

import static com.google.common.base.Preconditions.checkArgument;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableMap;
import com.google.common.collect.ImmutableSet;
import com.google.common.io.Resources;
import java.io.IOException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.tune4j.core.io.AtomicFiles;
import org.tune4j.eval.Bootstrap;
import org.tune4j.eval.ConfidenceInterval;
import org.tune4j.eval.Cost;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;
import org.tune4j.eval.Prediction;
import org.tune4j.eval.StageMatrix;
import org.tune4j.eval.advice.Assessment;
import org.tune4j.eval.advice.Pilot;
import org.tune4j.eval.advice.Recommendation;
import org.tune4j.eval.advice.Scorecard;
import org.tune4j.eval.advice.TaskProfile;
import org.tune4j.eval.advice.TaskSimilarity;

/**
 * A report of an experiment: one HTML page that needs nothing else, with charts, and every number
 * in tables as well, so that it can be read without scripts. Everything that comes from data is
 * escaped, and the page may load nothing from anywhere.
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
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String ECHARTS =
      "META-INF/resources/webjars/echarts/5.3.1/dist/echarts.min.js";
  private static final String UNTUNED = "untuned";

  /** Probability from which a strategy is said to be clearly better. */
  private static final double CLEAR = 0.95;

  private static final int IMPROVED = 3;
  private static final int NOT_IMPROVED = 1;

  private final String title;
  private String summary = "";
  private final Map<String, String> facts = new LinkedHashMap<>();
  private Recommendation recommendation;
  private ExperimentResult experiment;
  private final Map<String, ImmutableMap<String, Evaluation>> tests = new LinkedHashMap<>();
  private final List<Similarity> similarities = new ArrayList<>();

  private record Similarity(
      String name, String meaning, ImmutableList<String> tasks, double[][] values) {}

  private Report(String title) {
    this.title = title;
  }

  /** Returns an empty report. */
  public static Report titled(String title) {
    return new Report(title);
  }

  /** Sets the sentences under the title. */
  public Report summary(String text) {
    summary = text;
    return this;
  }

  /** Adds something to know about the run, such as the model, shown under the title. */
  public Report fact(String name, String value) {
    facts.put(name, value);
    return this;
  }

  /**
   * Sets what was recommended before training; the similarities that it rests on are shown, too.
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
          "What the prompts' mean hidden states have in common.",
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

  /** Adds the untuned model's scores on the test splits: what predictions are compared with. */
  public Report untunedTest(ImmutableMap<String, Evaluation> byTask) {
    return test(UNTUNED, byTask);
  }

  /**
   * Adds a matrix of similarities between tasks.
   *
   * @param name what is compared
   * @param meaning a sentence on how to read it
   * @param values in [-1, 1], a row for each task
   */
  public Report similarity(String name, String meaning, List<String> tasks, double[][] values) {
    checkArgument(
        values.length == tasks.size(), "%s rows for %s tasks", values.length, tasks.size());
    similarities.add(new Similarity(name, meaning, ImmutableList.copyOf(tasks), values));
    return this;
  }

  /**
   * Writes the page, whole or not at all.
   *
   * @throws IOException if it cannot be written
   */
  public void write(Path file) throws IOException {
    AtomicFiles.writeString(file, html());
  }

  /** Returns the page as HTML, about 1 MB with the charts' library in it. */
  public String html() {
    ObjectNode data = JSON.createObjectNode();
    Html body = new Html();
    header(body);
    body.raw("<main>\n");
    // what came out first, then why
    if (experiment != null || !tests.isEmpty()) {
      result(body, data);
    }
    if (experiment != null) {
      comparison(body, data);
    }
    if (recommendation != null) {
      recommendation(body);
    }
    if (experiment != null) {
      stages(body, data);
      losses(body, data);
    }
    if (!similarities.isEmpty()) {
      similarity(body, data);
    }
    predictions(body);
    if (experiment != null) {
      adapters(body);
    }
    body.raw("</main>\n<footer>Made by Tune4J. Charts by Apache ECharts (Apache-2.0).</footer>\n");
    return page(body, data);
  }

  private String page(Html body, ObjectNode data) {
    Html page = new Html();
    page.raw("<!DOCTYPE html>\n<html lang=\"en\" class=\"no-js\">\n<head>\n");
    page.raw("<meta charset=\"utf-8\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ");
    page.raw("style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n");
    page.element("title", title);
    page.raw("<style>\n").raw(resource("report.css")).raw("</style>\n</head>\n<body>\n");
    page.raw(body.toString());
    page.raw("<script type=\"application/json\" id=\"data\">");
    page.raw(script(data.toString())).raw("</script>\n");
    page.raw("<script>").raw(echarts()).raw("</script>\n");
    page.raw("<script>\n").raw(resource("report.js")).raw("</script>\n</body>\n</html>\n");
    return page.toString();
  }

  /** JSON inside a script element must not be able to end it. */
  private static String script(String json) {
    return json.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029");
  }

  private static String echarts() {
    return read(Resources.getResource(ECHARTS));
  }

  private static String resource(String name) {
    return read(Resources.getResource(Report.class, name));
  }

  private static String read(URL resource) {
    try {
      return Resources.toString(resource, StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new IllegalStateException(resource + ", a part of this library, cannot be read", e);
    }
  }

  private void header(Html out) {
    out.raw("<header>\n").element("p class=\"kicker\"", "Tune4J report").element("h1", title);
    if (!summary.isEmpty()) {
      out.element("p class=\"lead\"", summary);
    }
    if (!facts.isEmpty()) {
      out.raw("<dl class=\"facts\">\n");
      facts.forEach(
          (name, value) ->
              out.raw("<div>").element("dt", name).element("dd", value).raw("</div>\n"));
      out.raw("</dl>\n");
    }
    out.raw("</header>\n");
  }

  // ---- recommendation

  private void recommendation(Html out) {
    Recommendation r = recommendation;
    out.raw("<section class=\"advice\">\n").element("h2", "Recommended before training");
    out.element("p class=\"verdict\"", r.strategy().toString());
    String confidence = String.format(Locale.ROOT, "%.2f", r.confidence());
    out.raw("<p class=\"confidence\"><span>Confidence " + confidence + "</span>");
    out.raw("<meter min=\"0.5\" max=\"1\" value=\"" + confidence + "\">");
    out.text(confidence).raw("</meter><span class=\"note\">");
    out.text(
        "0.5: the evidence does not tell it from the next best plan; 1: it is clear. At most 0.75 where no short training got beyond the form of answers.");
    out.raw("</span></p>\n").element("p", sentence(r.recommended().verdict()));
    out.raw("<ul class=\"reasons\">\n");
    r.reasons().forEach(reason -> out.element("li", reason));
    out.raw("</ul>\n");
    r.warnings().forEach(w -> out.element("p class=\"warning\"", "Warning: " + w));
    if (!r.worthTrying().isEmpty()) {
      out.element(
          "p",
          "Worth trying side by side: "
              + String.join(", ", r.worthTrying().stream().map(Object::toString).toList())
              + ".");
    }
    out.element(
        "p class=\"note\"",
        "A plan's rating says how well it suits the evidence and the budget, from about -1 to 1. It was made before training.");
    plans(out, r);
    out.fold("Evidence, tasks and pilot");
    evidence(out, r.scorecard());
    profiles(out, r.profiles());
    r.pilot().ifPresent(p -> pilot(out, p));
    out.raw("</details>\n</section>\n");
  }

  private static String sentence(String text) {
    return text.isEmpty() ? text : Character.toUpperCase(text.charAt(0)) + text.substring(1);
  }

  private static void plans(Html out, Recommendation r) {
    out.raw("<div class=\"scroll\"><table>");
    out.head(
        List.of("plan", "rating", "tokens", "seconds", "memory, MiB", "adapters, KiB", "verdict"));
    out.raw("<tbody>\n");
    plan(out, r.recommended(), true);
    r.alternatives().forEach(a -> plan(out, a, false));
    out.raw("</tbody></table></div>\n");
  }

  private static void plan(Html out, Assessment a, boolean recommended) {
    out.raw(recommended ? "<tr class=\"best\">" : "<tr>");
    out.heading(a.name());
    out.element(
        "td", a.feasible() ? String.format(Locale.ROOT, "%+.2f", a.score()) : "not possible");
    out.cell("%,d", a.price().tokens())
        .cell("%.1f", a.price().seconds())
        .cell("%,d", a.price().memoryBytes() >> 20)
        .cell("%,d", a.price().adapterBytes() >> 10);
    out.element("td class=\"text verdicts\"", a.verdict()).raw("</tr>\n");
  }

  private static void evidence(Html out, Scorecard scorecard) {
    out.raw("<div class=\"scroll\"><table>");
    out.head(List.of("evidence", "value", "from -1 to 1", "weight", "favours", "what was found"));
    out.raw("<tbody>\n");
    for (Scorecard.Factor f : scorecard.factors()) {
      out.raw("<tr>").heading(f.name());
      out.cell("%.3f", f.value()).cell("%+.2f", f.evidence()).cell("%.1f", f.weight());
      out.element("td", f.favours().name().toLowerCase(Locale.ROOT).replace('_', '-'));
      out.element("td class=\"text verdicts\"", f.sentence()).raw("</tr>\n");
    }
    out.raw("</tbody></table></div>\n");
  }

  private static void profiles(Html out, List<TaskProfile> profiles) {
    out.raw("<div class=\"scroll\"><table>");
    out.head(
        List.of(
            "task",
            "kind",
            "examples",
            "mean tokens",
            "95 % up to",
            "learned tokens",
            "labels",
            "balance",
            "untuned loss"));
    out.raw("<tbody>\n");
    for (TaskProfile p : profiles) {
      out.raw("<tr>").heading(p.name());
      out.element("td", p.type().name().toLowerCase(Locale.ROOT));
      out.cell("%,d", p.examples())
          .cell("%.1f", p.meanTokens())
          .cell("%d", p.p95Tokens())
          .cell("%.1f", p.lossTokens())
          .cell("%d", p.labels().size())
          .cell("%.2f", p.labelBalance())
          .number("%.3f", p.untunedLoss())
          .raw("</tr>\n");
    }
    out.raw("</tbody></table></div>\n");
  }

  private static void pilot(Html out, Pilot p) {
    out.element(
        "p class=\"note\"",
        "Pilot: validation losses after short trainings, in nats per learned token.");
    out.raw("<div class=\"scroll\"><table>");
    out.head(List.of("task", "examples", UNTUNED, "alone", "all tasks together", "in turn"));
    out.raw("<tbody>\n");
    for (String t : p.tasks()) {
      out.raw("<tr>").heading(t).cell("%,d", p.examples().get(t));
      losses(out, p.untuned().get(t), p.alone().get(t), p.joint().get(t), p.sequential().get(t));
    }
    out.raw("</tbody></table></div>\n");
  }

  private static void losses(Html out, double... values) {
    for (double v : values) {
      out.cell("%.3f", v);
    }
    out.raw("</tr>\n");
  }

  // ---- final scores

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

  private void result(Html out, ObjectNode data) {
    out.raw("<section class=\"result\">\n").element("h2", "Result");
    if (experiment != null) {
      Outcome best = experiment.best();
      out.element("p class=\"verdict\"", best.strategy());
      out.element("p", verdict(best));
      if (recommendation != null) {
        out.element("p class=\"foreseen\"", foreseen(best));
      }
    }
    out.element("p class=\"note\"", meaningOfScores());
    if (!tests.isEmpty()) {
      scores(out, data);
    } else {
      List<Scored> all = new ArrayList<>();
      all.add(scored(UNTUNED, experiment.untuned()));
      experiment
          .outcomes()
          .forEach(o -> all.add(new Scored(o.strategy(), o.intervals(), o.average())));
      scoresChart(out, data, all, experiment.untuned().keySet());
    }
    out.raw("</section>\n");
  }

  private String verdict(Outcome best) {
    boolean tested = tests.containsKey(best.strategy());
    ImmutableMap<String, Evaluation> untuned =
        tested ? tests.get(UNTUNED) : experiment.untuned(); // may be null
    double score = tested ? average(tests.get(best.strategy())) : best.average().mean();
    StringBuilder said =
        new StringBuilder(
            String.format(
                Locale.ROOT,
                "Its average score is %.3f on the %s splits",
                score,
                tested ? "test" : "validation"));
    if (untuned != null) {
      said.append(String.format(Locale.ROOT, ", that of the untuned model %.3f", average(untuned)));
    }
    said.append('.');
    if (experiment.outcomes().size() > 1) {
      said.append(
          tested
              ? " It was chosen by the validation splits, where it had the best average of all."
              : " That is the best average of all.");
    }
    return said.toString();
  }

  /** Says how the result goes with what was recommended. */
  private String foreseen(Outcome best) {
    String recommended = recommendation.strategy().name();
    if (recommended.equals(best.strategy())) {
      return "It is what was recommended before training.";
    }
    boolean tried = experiment.outcomes().stream().anyMatch(o -> o.strategy().equals(recommended));
    if (!tried) {
      return "Recommended before training was %s, which was not tried.".formatted(recommended);
    }
    double probability = experiment.winProbability(best.strategy(), recommended);
    return String.format(
        Locale.ROOT,
        "Recommended before training was %s, with a confidence of %.2f; it came to %.3f on the validation splits, where %s came to %.3f: %s (probability that it is better: %.2f).",
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

  /** Says what a score is, of the kinds of tasks that there are. */
  private String meaningOfScores() {
    ImmutableMap<String, Evaluation> any =
        experiment != null ? experiment.untuned() : tests.values().iterator().next();
    Set<String> kinds = new LinkedHashSet<>();
    for (Evaluation e : any.values()) {
      kinds.add(
          switch (e.type()) {
            case CLASSIFICATION -> "the accuracy of a classification";
            case GENERATION -> "the " + e.primary().replace('-', ' ') + " of a generation";
            case TEXT -> "the mean probability of a token of text";
          });
    }
    return "Scores are from 0 to 1, higher is better: " + String.join(", ", kinds) + ".";
  }

  private void scores(Html out, ObjectNode data) {
    List<Scored> all = new ArrayList<>();
    if (tests.containsKey(UNTUNED)) {
      all.add(scored(UNTUNED, tests.get(UNTUNED)));
    }
    tests.forEach(
        (name, byTask) -> {
          if (!name.equals(UNTUNED)) {
            all.add(scored(name, byTask));
          }
        });
    ImmutableSet<String> tasks = all.get(0).byTask().keySet();
    int examples =
        tests.values().iterator().next().values().stream().mapToInt(Evaluation::count).sum();
    out.element(
        "p class=\"note\"",
        String.format(
            Locale.ROOT,
            "On the test splits, %,d examples in all, which nothing was decided by. Lines mark 95 %%"
                + " intervals over the examples.",
            examples));
    scoresChart(out, data, all, tasks);
    out.raw("<div class=\"scroll\"><table>");
    List<String> headings = new ArrayList<>(List.of("strategy"));
    headings.addAll(tasks);
    headings.add("average");
    headings.add("95 %");
    out.head(headings).raw("<tbody>\n");
    for (Scored s : all) {
      boolean best = experiment != null && s.name().equals(experiment.best().strategy());
      out.raw(best ? "<tr class=\"best\">" : "<tr>").heading(s.name());
      tasks.forEach(t -> out.number("%.3f", s.byTask().get(t).mean()));
      out.number("%.3f", s.average().mean())
          .cell("%.3f to %.3f", s.average().low(), s.average().high());
      out.raw("</tr>\n");
    }
    out.raw("</tbody></table></div>\n");
  }

  private static void scoresChart(
      Html out, ObjectNode data, List<Scored> all, ImmutableSet<String> tasks) {
    ObjectNode scores = data.putObject("scores");
    scores.put("untuned", all.get(0).name().equals(UNTUNED));
    ArrayNode categories = scores.putArray("categories");
    tasks.forEach(categories::add);
    categories.add("average");
    ArrayNode series = scores.putArray("series");
    for (Scored s : all) {
      ObjectNode one = series.addObject().put("name", s.name());
      one.put("untuned", s.name().equals(UNTUNED));
      ArrayNode values = one.putArray("values");
      tasks.forEach(t -> add(values, s.byTask().get(t)));
      add(values, s.average());
    }
    out.raw("<div class=\"charts wide\">");
    out.chart(
            "Score of each task by strategy",
            "scores",
            0,
            "",
            true,
            legend(all.stream().map(Scored::name).toList()))
        .raw("</div>\n");
  }

  /**
   * Gives names their colours by number, as the script does; those of the untuned model are grey.
   */
  private static ImmutableMap<String, Integer> legend(List<String> names) {
    ImmutableMap.Builder<String, Integer> colours = ImmutableMap.builder();
    int next = 0;
    for (String name : names) {
      colours.put(name, name.equals(UNTUNED) ? Html.GREY : next++ % Html.COLOURS);
    }
    return colours.buildOrThrow();
  }

  private static void add(ArrayNode values, ConfidenceInterval v) {
    ArrayNode interval = values.addArray();
    add(interval, v.mean());
    add(interval, v.low());
    add(interval, v.high());
  }

  /** JSON has no NaN; the script leaves out what is null. */
  private static void add(ArrayNode values, double v) {
    if (Double.isFinite(v)) {
      values.add(v);
    } else {
      values.addNull();
    }
  }

  // ---- comparison on validation

  private void comparison(Html out, ObjectNode data) {
    ImmutableList<Outcome> outcomes = experiment.outcomes();
    Outcome best = experiment.best();
    out.raw("<section>\n").element("h2", "Strategies compared");
    note(out, best);
    ArrayNode costs = data.putArray("costs");
    for (Outcome o : outcomes) {
      costs
          .addObject()
          .put("name", o.strategy())
          .put("score", o.average().mean())
          .put("low", o.average().low())
          .put("high", o.average().high())
          .put("seconds", o.cost().seconds());
    }
    compared(out, best);
    costs(out, best);
    for (Outcome o : outcomes) {
      if (!o.strategy().equals(best.strategy())) {
        out.element(
            "p class=\"note\"",
            String.format(
                Locale.ROOT,
                "%s is better than %s with probability %.2f, by the paired bootstrap over examples.",
                best.strategy(),
                o.strategy(),
                experiment.winProbability(best.strategy(), o.strategy())));
      }
    }
    out.raw("<div class=\"charts wide\">");
    out.chart(
        "Average score against training time",
        "costs",
        0,
        "Higher and further to the left is better.",
        false,
        legend(outcomes.stream().map(Outcome::strategy).toList()));
    out.raw("</div>\n</section>\n");
  }

  private void compared(Html out, Outcome best) {
    out.raw("<div class=\"scroll\"><table>");
    List<String> headings = new ArrayList<>(List.of("strategy"));
    headings.addAll(experiment.untuned().keySet());
    headings.addAll(List.of("average", "95 %", "BWT", "forgetting"));
    out.head(headings).raw("<tbody>\n<tr>").heading(UNTUNED);
    experiment.untuned().values().forEach(e -> out.cell("%.3f", e.score()));
    out.cell(
        "%.3f",
        experiment.untuned().values().stream().mapToDouble(Evaluation::score).average().orElse(0));
    out.raw("<td colspan=\"3\"></td></tr>\n");
    for (Outcome o : experiment.outcomes()) {
      begin(out, o, best);
      experiment.untuned().keySet().forEach(t -> out.cell("%.3f", o.intervals().get(t).mean()));
      out.cell("%.3f", o.average().mean())
          .cell("%.3f to %.3f", o.average().low(), o.average().high())
          .cell("%+.3f", o.matrix().backwardTransfer())
          .cell("%.3f", o.matrix().forgetting())
          .raw("</tr>\n");
    }
    out.raw("</tbody></table></div>\n");
  }

  private void costs(Html out, Outcome best) {
    out.raw("<div class=\"scroll\"><table>");
    out.head(
        List.of(
            "strategy",
            "tokens",
            "examples",
            "seconds",
            "tokens/s",
            "peak memory, MiB",
            "adapters, KiB"));
    out.raw("<tbody>\n");
    for (Outcome o : experiment.outcomes()) {
      Cost c = o.cost();
      begin(out, o, best);
      out.cell("%,d", c.tokens())
          .cell("%,d", c.examples())
          .cell("%.1f", c.seconds())
          .cell("%,.0f", c.tokensPerSecond())
          .cell("%,d", c.peakBytes() >> 20)
          .cell("%,d", c.adapterBytes() >> 10)
          .raw("</tr>\n");
    }
    out.raw("</tbody></table></div>\n");
  }

  private static void begin(Html out, Outcome o, Outcome best) {
    boolean isBest = o.strategy().equals(best.strategy());
    out.raw(isBest ? "<tr class=\"best\">" : "<tr>").heading(o.strategy());
  }

  private static void note(Html out, Outcome best) {
    int examples = best.evaluations().values().stream().mapToInt(Evaluation::count).sum();
    out.element(
        "p class=\"note\"",
        String.format(
            Locale.ROOT,
            "On the validation splits, %,d examples in all, at an equal budget of tokens; the best"
                + " average is %s. BWT is backward transfer: what later stages did to earlier tasks.",
            examples,
            best.strategy()));
  }

  // ---- stages

  private void stages(Html out, ObjectNode data) {
    ArrayNode stages = data.putArray("stages");
    double most = 0;
    out.raw("<section>\n").element("h2", "Every task after every stage");
    out.element(
        "p class=\"note\"",
        "Scores on the validation splits. A score that falls further down its column is of something"
            + " that later stages make the model forget.");
    out.raw("<div class=\"charts\">");
    Html tables = new Html();
    int index = 0;
    for (Outcome o : experiment.outcomes()) {
      StageMatrix m = o.matrix();
      ObjectNode heat = stages.addObject();
      ArrayNode columns = heat.putArray("columns");
      m.tasks().forEach(columns::add);
      ArrayNode rows = heat.putArray("rows").add(UNTUNED);
      ArrayNode values = heat.putArray("values");
      ArrayNode first = values.addArray();
      m.untuned().forEach(v -> add(first, v));
      List<String> headings = new ArrayList<>(List.of(o.strategy() + ", after"));
      headings.addAll(m.tasks());
      tables.raw("<div class=\"scroll\"><table>").head(headings).raw("<tbody>\n");
      row(tables, UNTUNED, m.untuned());
      for (int i = 0; i < m.stages().size(); i++) {
        rows.add(m.stages().get(i));
        ArrayNode row = values.addArray();
        m.scores().get(i).forEach(v -> add(row, v));
        row(tables, m.stages().get(i), m.scores().get(i));
        most = Math.max(most, m.scores().get(i).stream().mapToDouble(v -> v).max().orElse(0));
      }
      tables.raw("</tbody></table></div>\n");
      out.chart(o.strategy(), "heat", index++, transfer(m), false, ImmutableMap.of());
    }
    data.put("mostScore", most > 0 ? most : 1);
    out.raw("</div>\n").fold("Numbers").raw(tables.toString()).raw("</details>\n</section>\n");
  }

  private static String transfer(StageMatrix m) {
    return m.stages().size() == 1
        ? "One stage: nothing is learned before or after anything."
        : String.format(
            Locale.ROOT,
            "Backward transfer %+.3f, forward transfer %+.3f, forgetting %.3f.",
            m.backwardTransfer(),
            m.forwardTransfer(),
            m.forgetting());
  }

  private static void row(Html out, String name, List<Double> values) {
    out.raw("<tr>").heading(name);
    values.forEach(v -> out.number("%.3f", v));
    out.raw("</tr>\n");
  }

  // ---- losses

  private void losses(Html out, ObjectNode data) {
    ArrayNode all = data.putArray("losses");
    ArrayNode names = data.putArray("tasks");
    experiment.untuned().keySet().forEach(names::add);
    out.raw("<section>\n").element("h2", "Training losses");
    out.element(
        "p class=\"note\"",
        "Cross-entropy of the completions, in nats a token, averaged over neighbouring steps."
            + " Dashed lines part stages.");
    out.raw("<div class=\"charts\">");
    Html tables = new Html();
    double most = 0;
    int index = 0;
    for (Outcome o : experiment.outcomes()) {
      Losses losses = Losses.of(o.steps());
      most = Math.max(most, losses.most());
      ObjectNode run = all.addObject().put("tokens", losses.tokens());
      ArrayNode ends = run.putArray("stageEnds");
      losses.stageEnds().forEach(ends::add);
      ArrayNode series = run.putArray("series");
      tables.raw("<div class=\"scroll\"><table>");
      tables.head(List.of(o.strategy() + ", task", "first loss", "last loss", "least loss"));
      tables.raw("<tbody>\n");
      losses
          .byTask()
          .forEach(
              (task, points) -> {
                ArrayNode xy = series.addObject().put("task", task).putArray("points");
                points.forEach(p -> xy.addArray().add(p[0]).add(p[1]));
                tables.raw("<tr>").heading(task);
                tables.cell("%.3f", points.get(0)[1]);
                tables.cell("%.3f", points.get(points.size() - 1)[1]);
                tables.cell("%.3f", points.stream().mapToDouble(p -> p[1]).min().orElseThrow());
                tables.raw("</tr>\n");
              });
      tables.raw("</tbody></table></div>\n");
      ImmutableMap<String, Integer> colours = legend(experiment.untuned().keySet().asList());
      ImmutableMap.Builder<String, Integer> drawn = ImmutableMap.builder();
      losses.byTask().keySet().forEach(t -> drawn.put(t, colours.get(t)));
      out.chart(o.strategy(), "losses", index++, "", false, drawn.buildOrThrow());
    }
    data.put("mostLoss", Math.ceil(most));
    out.raw("</div>\n").fold("Numbers").raw(tables.toString()).raw("</details>\n</section>\n");
  }

  // ---- similarity

  private void similarity(Html out, ObjectNode data) {
    ArrayNode all = data.putArray("similarity");
    out.raw("<section>\n").element("h2", "How similar the tasks are");
    out.element(
        "p class=\"note\"", "From -1, opposed, by 0, unrelated, to 1, the same. Blue is similar.");
    out.raw("<div class=\"charts\">");
    Html tables = new Html();
    int index = 0;
    for (Similarity s : similarities) {
      ObjectNode heat = all.addObject().put("diverging", true);
      ArrayNode rows = heat.putArray("rows");
      ArrayNode columns = heat.putArray("columns");
      s.tasks().forEach(rows::add);
      s.tasks().forEach(columns::add);
      ArrayNode values = heat.putArray("values");
      List<String> headings = new ArrayList<>(List.of(s.name()));
      headings.addAll(s.tasks());
      tables.raw("<div class=\"scroll\"><table>").head(headings).raw("<tbody>\n");
      for (int i = 0; i < s.tasks().size(); i++) {
        ArrayNode row = values.addArray();
        List<Double> cells = new ArrayList<>();
        for (double v : s.values()[i]) {
          add(row, v);
          cells.add(v);
        }
        row(tables, s.tasks().get(i), cells);
      }
      tables.raw("</tbody></table></div>\n");
      out.chart(s.name(), "similarity", index++, s.meaning(), false, ImmutableMap.of());
    }
    out.raw("</div>\n").fold("Numbers").raw(tables.toString()).raw("</details>\n</section>\n");
  }

  // ---- predictions

  private void predictions(Html out) {
    Map<String, ImmutableMap<String, Evaluation>> after = new LinkedHashMap<>(tests);
    ImmutableMap<String, Evaluation> before = after.remove(UNTUNED);
    if (before == null && experiment != null) {
      before = experiment.untuned();
      after.clear();
      experiment.outcomes().forEach(o -> after.put(o.strategy(), o.evaluations()));
    }
    if (before == null || after.isEmpty()) {
      return;
    }
    out.raw("<section>\n").element("h2", "Predictions before and after");
    out.element(
        "p class=\"note\"",
        String.format(
            Locale.ROOT,
            "Of each task the first %d examples that training put right for some strategy, and the"
                + " first that it did not.",
            IMPROVED));
    List<String> headings = new ArrayList<>(List.of("prompt", "expected", UNTUNED));
    headings.addAll(after.keySet());
    for (Map.Entry<String, Evaluation> e : before.entrySet()) {
      String task = e.getKey();
      List<Evaluation> runs = new ArrayList<>();
      after.values().forEach(byTask -> runs.add(byTask.get(task)));
      List<Integer> chosen = chosen(e.getValue(), runs);
      if (chosen.isEmpty() || e.getValue().type() == org.tune4j.core.data.Task.Type.TEXT) {
        continue;
      }
      out.element("h3", task).raw("<div class=\"scroll\"><table class=\"texts\">");
      out.head(headings).raw("<tbody>\n");
      for (int i : chosen) {
        Prediction untuned = e.getValue().predictions().get(i);
        out.raw("<tr>").element("td class=\"text prompt\"", untuned.prompt());
        out.element("td class=\"text\"", untuned.expected().strip());
        predicted(out, untuned);
        runs.forEach(r -> predicted(out, r.predictions().get(i)));
        out.raw("</tr>\n");
      }
      out.raw("</tbody></table></div>\n");
    }
    out.raw("</section>\n");
  }

  private static void predicted(Html out, Prediction p) {
    boolean right = p.score() == 1;
    out.raw("<td class=\"text ").raw(right ? "right\">✓ " : "wrong\">✗ ");
    out.text(p.predicted().isBlank() ? "(nothing)" : p.predicted().strip()).raw("</td>\n");
  }

  /** The examples shown of a task, by a rule that takes failures in as well. */
  private static List<Integer> chosen(Evaluation before, List<Evaluation> after) {
    List<Integer> improved = new ArrayList<>();
    List<Integer> not = new ArrayList<>();
    for (int i = 0; i < before.count(); i++) {
      double was = before.predictions().get(i).score();
      int at = i;
      double is = after.stream().mapToDouble(a -> a.predictions().get(at).score()).max().orElse(0);
      if (is > was && improved.size() < IMPROVED) {
        improved.add(i);
      } else if (is < 1 && not.size() < NOT_IMPROVED) {
        not.add(i);
      }
    }
    improved.addAll(not);
    return improved;
  }

  // ---- adapters

  private void adapters(Html out) {
    out.raw("<section>\n").element("h2", "Adapters");
    out.element("p class=\"note\"", "In PEFT's format, to be applied in the order given.");
    out.raw("<div class=\"scroll\"><table class=\"texts\">")
        .head(List.of("strategy", "task", "adapters"));
    out.raw("<tbody>\n");
    for (Outcome o : experiment.outcomes()) {
      for (String task : experiment.untuned().keySet()) {
        out.raw("<tr>").heading(o.strategy());
        out.element("td class=\"text\"", task).raw("<td class=\"text\">");
        String separator = "";
        for (Path p : o.adaptersFor(task)) {
          out.raw(separator).element("code", p.toString());
          separator = "<br>";
        }
        out.raw("</td></tr>\n");
      }
    }
    out.raw("</tbody></table></div>\n</section>\n");
  }
}
