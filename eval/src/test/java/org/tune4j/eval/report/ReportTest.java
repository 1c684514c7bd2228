package org.tune4j.eval.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.jsoup.Jsoup;
import org.jsoup.nodes.Document;
import org.jsoup.nodes.Element;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Task;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;

class ReportTest {
  private static final List<String> TASKS = List.of("colours", "shapes", "sounds");

  @TempDir private Path directory;

  private static Report whole(Synthetic s, ExperimentResult result) {
    Report report =
        Report.titled("Three tasks")
            .summary("Which strategy?")
            .fact("base model", "tiny")
            .experiment(result)
            .untunedTest(s.evaluations(Task.Split.TEST, 0.2))
            .similarity(
                "gradients",
                "Cosine.",
                TASKS,
                new double[][] {{1, 0.25, -0.75}, {0.25, 1, 0}, {-0.75, 0, 1}});
    for (Outcome o : result.outcomes()) {
      report.test(o.strategy(), s.evaluations(Task.Split.TEST, 0.6));
    }
    return report;
  }

  /**
   * Whatever text is in the data comes out as that text: no tag, no attribute, no end of script.
   */
  @Property(tries = 12)
  void textIsOnlyText(@ForAll String drawn) {
    // control characters cannot be in HTML at all
    String text = drawn.replaceAll("[\\p{Cntrl}\\p{Cs}\\uFFFE\\uFFFF]", "");
    String hostile = "</script><script>alert(1)</script><img src=x onerror='a'>\"&amp;" + text;
    Synthetic s = new Synthetic(3, List.of("a" + hostile, "b"), 8, hostile);
    Report report =
        Report.titled(hostile)
            .summary(hostile)
            .fact(hostile, hostile)
            .experiment(s.result("sequential" + hostile, "multi" + hostile));
    Document page = Jsoup.parse(report.html());

    assertThat(page.select("img, iframe, link")).isEmpty();
    assertThat(page.select("script")).hasSize(3);
    assertThat(page.selectFirst("h1").wholeText()).isEqualTo(hostile);
    assertThat(page.select("section td.prompt").first().wholeText()).endsWith(hostile);
  }

  @Test
  void loadsNothingFromAnywhere() {
    Synthetic s = new Synthetic(1, TASKS, 40, "");
    Document page = Jsoup.parse(whole(s, s.result("multi-task", "sequential")).html());

    assertThat(page.select("[src], [href], [srcset], [action], link, iframe, object")).isEmpty();
    assertThat(page.selectFirst("style").data()).doesNotContain("url(").doesNotContain("@import");
    assertThat(page.selectFirst("meta[http-equiv=Content-Security-Policy]").attr("content"))
        .startsWith("default-src 'none'");
    assertThat(page.select("script").get(1).data()).contains("Apache License");
  }

  @Test
  void everyScoreIsInATableAndInTheCharts() throws IOException {
    Synthetic s = new Synthetic(2, TASKS, 40, "");
    ExperimentResult result = s.result("multi-task", "sequential", "independent");
    Document page = Jsoup.parse(whole(s, result).html());
    JsonNode data = new ObjectMapper().readTree(page.getElementById("data").data());

    List<String> cells = page.select("td").eachText();
    for (int k = 0; k < result.outcomes().size(); k++) {
      Outcome o = result.outcomes().get(k);
      assertThat(cells).contains(number(o.average().mean()));
      assertThat(cells).contains(String.format(Locale.ROOT, "%.1f", o.cost().seconds()));
      o.intervals().values().forEach(v -> assertThat(cells).contains(number(v.mean())));
      JsonNode heat = data.get("stages").get(k);
      for (int i = 0; i < o.matrix().stages().size(); i++) {
        for (int j = 0; j < TASKS.size(); j++) {
          assertThat(heat.get("values").get(i + 1).get(j).asDouble())
              .isEqualTo(o.matrix().score(i, j));
          assertThat(cells).contains(number(o.matrix().score(i, j)));
        }
      }
      assertThat(data.get("costs").get(k).get("score").asDouble()).isEqualTo(o.average().mean());
    }
    assertThat(data.get("similarity").get(0).get("values").get(0).get(2).asDouble())
        .isEqualTo(-0.75);
    assertThat(cells).contains("-0.750");
    assertThat(page.select("tr.best th").eachText()).containsOnly(result.best().strategy());
  }

  /** Each place of a chart names something that the script draws, and data for it. */
  @Test
  void chartsHaveTheirData() throws IOException {
    Synthetic s = new Synthetic(2, TASKS, 40, "");
    Document page = Jsoup.parse(whole(s, s.result("multi-task", "sequential")).html());
    JsonNode data = new ObjectMapper().readTree(page.getElementById("data").data());
    List<String> places = page.select(".chart").eachAttr("data-chart");

    assertThat(places)
        .containsExactly(
            "scores 0", "costs 0", "heat 0", "heat 1", "losses 0", "losses 1", "similarity 0");
    assertThat(data.get("stages")).hasSize(2);
    assertThat(data.get("losses")).hasSize(2);
    assertThat(data.get("losses").get(1).get("stageEnds")).hasSize(TASKS.size() - 1);
    for (Element chart : page.select(".chart")) {
      assertThat(chart.attr("role")).isEqualTo("img");
      assertThat(chart.attr("aria-label")).isNotBlank();
    }
  }

  @Test
  void predictionsShowFailuresToo() {
    Synthetic s = new Synthetic(4, TASKS, 40, "");
    Document page = Jsoup.parse(whole(s, s.result("multi-task")).html());

    assertThat(page.select("td.right")).isNotEmpty();
    assertThat(page.select("td.wrong")).isNotEmpty();
    assertThat(page.select("td.prompt").size()).isBetween(TASKS.size(), 4 * TASKS.size());
  }

  @Test
  void sectionsWithoutDataAreLeftOut() {
    Document page = Jsoup.parse(Report.titled("Nothing yet").html());
    assertThat(page.select("section")).isEmpty();
    assertThat(page.select(".chart")).isEmpty();
  }

  @Test
  void experimentWithoutOutcomeIsRefused() {
    ExperimentResult none =
        new ExperimentResult(
            new Synthetic(1, TASKS, 4, "").evaluations(Task.Split.VALIDATION, 0.5),
            ImmutableList.of(),
            false,
            0);
    assertThatThrownBy(() -> Report.titled("x").experiment(none))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("no finished strategy");
  }

  @Test
  void unwritablePlaceLeavesNothing() throws IOException {
    Path file = directory.resolve("file");
    Files.writeString(file, "in the way");
    Report report = Report.titled("x");
    assertThatThrownBy(() -> report.write(file.resolve("report.html")))
        .isInstanceOf(IOException.class)
        .hasMessageContaining("report.html");
    assertThat(directory).isDirectoryNotContaining(p -> !p.equals(file));
  }

  @Test
  void isWrittenAsItIsReturned() throws IOException {
    Synthetic s = new Synthetic(5, TASKS, 10, "");
    Report report = whole(s, s.result("multi-task", "sequential", "independent"));
    Path file = directory.resolve("report.html");
    report.write(file);
    assertThat(file).hasContent(report.html());
  }

  @Test
  void whatCameOutStandsBeforeWhatWasExpected() {
    Synthetic s = new Synthetic(6, TASKS, 40, "");
    ExperimentResult result = s.result("multi-task", "sequential", "independent");
    Document page =
        Jsoup.parse(whole(s, result).recommendation(Synthetic.recommendation(TASKS)).html());
    assertThat(page.select("section > h2").eachText())
        .containsSubsequence("Result", "Strategies compared", "Recommended before training");
    assertThat(page.selectFirst("section.result p.verdict").text())
        .isEqualTo(result.best().strategy());
    String foreseen = page.selectFirst("section.result p.foreseen").text();
    if (result.best().strategy().equals("independent")) {
      assertThat(foreseen).isEqualTo("It was also recommended before training.");
    } else {
      assertThat(foreseen)
          .contains("independent was recommended before training")
          .contains("probability that the latter is better");
    }
    Document expected =
        Jsoup.parse(
            Report.titled("x")
                .recommendation(Synthetic.recommendation(List.of("multi-task", "b")))
                .html());
    assertThat(expected.select("section > h2").eachText())
        .startsWith("Recommended before training");
  }

  @Test
  void aScoreIsOfPredictionsAndAPlanHasAForecast() {
    Synthetic s = new Synthetic(6, TASKS, 40, "");
    Document page =
        Jsoup.parse(
            whole(s, s.result("multi-task", "independent"))
                .recommendation(Synthetic.recommendation(TASKS))
                .html());
    Element advice = page.selectFirst("section.advice");
    assertThat(advice.text()).contains("was forecast from what is known");
    assertThat(advice.select("th").eachText())
        .contains("expected score", "probability of being best");
    assertThat(page.selectFirst("section.result").text())
        .contains("Scores are from 0 to 1, higher is better: the exact match of a generation.");
  }

  @Test
  void whatWasTrainedToFindOutIsShown() {
    Synthetic s = new Synthetic(6, TASKS, 40, "");
    Document page = Jsoup.parse(Report.titled("x").recommendation(s.tried()).html());
    Element advice = page.selectFirst("section.advice");
    assertThat(advice.selectFirst("h2").text()).isEqualTo("Recommended");
    assertThat(advice.text()).contains("trained to the end to find out");
    Element table = advice.select("table").get(0);
    assertThat(table.select("th").eachText())
        .contains("trained", "average", "90 %")
        .containsAll(TASKS);
    assertThat(table.select("tbody tr")).hasSize(2);
    assertThat(table.select("tbody tr").get(0).text()).startsWith("independent").contains("12,345");
    Document before =
        Jsoup.parse(Report.titled("x").recommendation(Synthetic.recommendation(TASKS)).html());
    assertThat(before.selectFirst("section.advice").text()).doesNotContain("to find out");
  }

  @Test
  void legendsAreTextWithTheColoursOfTheChart() {
    Synthetic s = new Synthetic(7, TASKS, 40, "");
    Document page = Jsoup.parse(whole(s, s.result("multi-task", "independent")).html());
    Element scores = page.selectFirst("figure:has([data-chart=scores 0]) ul.legend");
    assertThat(scores.select("li").eachText())
        .containsExactly("untuned", "multi-task", "independent");
    assertThat(scores.select("i").eachAttr("class")).containsExactly("grey", "c0", "c1");
    assertThat(page.select("figure:has([data-chart=losses 1]) ul.legend li").eachText())
        .containsExactlyElementsOf(TASKS);
    assertThat(page.select("figure:has([data-chart^=heat]) ul.legend")).isEmpty();
  }

  @Test
  void whatIsNoNumberIsADash() throws IOException {
    Document page =
        Jsoup.parse(
            Report.titled("x")
                .similarity(
                    "gradients",
                    "Cosine.",
                    List.of("a", "b"),
                    new double[][] {{1, Double.NaN}, {Double.NaN, 1}})
                .html());
    JsonNode data = new ObjectMapper().readTree(page.getElementById("data").data());
    assertThat(data.get("similarity").get(0).get("values").get(0).get(1).isNull()).isTrue();
    assertThat(page.select("td").eachText()).containsExactly("1.000", "–", "–", "1.000");
  }

  private static String number(double v) {
    return String.format(Locale.ROOT, "%.3f", v);
  }
}
