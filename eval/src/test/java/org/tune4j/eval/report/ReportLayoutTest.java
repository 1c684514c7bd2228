package org.tune4j.eval.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jsoup.Jsoup;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.tune4j.core.data.Task;
import org.tune4j.eval.ExperimentResult;
import org.tune4j.eval.Outcome;

/**
 * Lays the page out in a real browser at the width of a telephone and of a desk: nothing overlaps,
 * is cut off or sticks out. A run with {@code -Dtune4j.browser=PATH} must have that one; without
 * it, and without one on the PATH, the test says that it was not run.
 */
class ReportLayoutTest {
  private static final List<String> BROWSERS =
      List.of("chromium", "chromium-browser", "google-chrome", "google-chrome-stable");

  /**
   * Tells the page around it what is wrong. Frames have the width that is wanted, which windows
   * have not.
   */
  private static final String MEASURE =
      """
      <script>
      const report = (wrong) => parent.postMessage(JSON.stringify({ width: innerWidth, wrong }), "*");
      addEventListener("error", (e) => report([e.message]));
      addEventListener("load", () => setTimeout(() => {
        // without a screen there are no frames to draw in
        document.querySelectorAll(".chart").forEach((c) => echarts.getInstanceByDom(c).getZr().flush());
        const wrong = [];
        const root = document.documentElement;
        if (root.scrollWidth > root.clientWidth + 1) {
          wrong.push("the page is " + root.scrollWidth + " wide");
        }
        document.querySelectorAll("h1, h2, h3, p, li, dd, figcaption, ul.legend li, dl.key div").forEach((e) => {
          if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline") {
            wrong.push("cut off: " + e.textContent.slice(0, 30));
          }
        });
        document.querySelectorAll(".chart").forEach((chart) => {
          const name = chart.dataset.chart;
          const frame = chart.getBoundingClientRect();
          const texts = [...chart.querySelectorAll("svg text")].filter((t) => t.textContent.trim());
          if (!texts.length) { wrong.push(name + " is not drawn"); }
          const boxes = texts.map((t) => [t.textContent, t.getBoundingClientRect()]);
          boxes.forEach(([text, b], i) => {
            if (b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1 || b.bottom > frame.bottom + 1) {
              wrong.push(name + ": '" + text + "' sticks out");
            }
            boxes.slice(i + 1).forEach(([other, o]) => {
              if (Math.min(b.right, o.right) - Math.max(b.left, o.left) > 1
                  && Math.min(b.bottom, o.bottom) - Math.max(b.top, o.top) > 4) {
                wrong.push(name + ": '" + text + "' over '" + other + "'");
              }
            });
          });
        });
        report(wrong);
      }, 500));
      </script>
      """;

  private static final String FRAME =
      """
      <!DOCTYPE html><title>waiting</title>
      <script>addEventListener("message", (e) => { document.title = e.data; });</script>
      <iframe src="page.html" style="width: %dpx; height: 8000px; border: 0"></iframe>
      """;

  @TempDir private Path directory;

  private static Path browser() {
    String named = System.getProperty("tune4j.browser");
    if (named != null) {
      assertThat(Path.of(named)).as("the browser of -Dtune4j.browser").isExecutable();
      return Path.of(named);
    }
    Optional<Path> found =
        Stream.of(System.getenv().getOrDefault("PATH", "").split(File.pathSeparator))
            .flatMap(d -> BROWSERS.stream().map(b -> Path.of(d, b)))
            .filter(Files::isExecutable)
            .findFirst();
    String none = "no browser of " + BROWSERS + " on the PATH to lay the report out in";
    assumeTrue(found.isPresent(), none);
    return found.orElseThrow();
  }

  /** Names of tasks: as they come, 300 letters without a break, and many. */
  private static List<String> names(String kind) {
    return switch (kind) {
      case "ordinary" -> List.of("noun-category", "verb-category", "part-of-speech", "hypernym");
      case "long" -> List.of("x".repeat(300), "part-of-speech", "y".repeat(299) + " z");
      default -> IntStream.range(0, 14).mapToObj(i -> "language pair " + i).toList();
    };
  }

  @ParameterizedTest
  @CsvSource({
    "ordinary, 390",
    "ordinary, 1280",
    "long, 390",
    "long, 1280",
    "many, 390",
    "many, 1280"
  })
  void nothingOverlapsOrIsCutOff(String kind, int width) throws Exception {
    Path kept = Files.createDirectories(Path.of("target", "reports")); // to be looked at
    Files.writeString(kept.resolve(kind + ".html"), html(kind));
    Path page = directory.resolve("page.html");
    String html = html(kind);
    int end = html.lastIndexOf("</body>"); // scripts may have some, too
    Files.writeString(page, html.substring(0, end) + MEASURE + html.substring(end));
    Path frame = directory.resolve("frame.html");
    Files.writeString(frame, FRAME.formatted(width));
    JsonNode measured = new ObjectMapper().readTree(title(frame));
    assertThat(measured.get("width").asInt()).isEqualTo(width);
    List<String> wrong = new ArrayList<>();
    measured.get("wrong").forEach(w -> wrong.add(w.textValue()));
    assertThat(wrong).isEmpty();
  }

  private static String html(String kind) {
    List<String> tasks = names(kind);
    Synthetic s = new Synthetic(3, tasks, 20, "");
    ExperimentResult result = s.result("multi-task", "sequential-stacked", "independent");
    Report report =
        Report.titled("One model, " + tasks.size() + " tasks: " + tasks.get(0))
            .fact("base model", "Llama, 8.0 million parameters")
            .fact(tasks.get(0), tasks.get(0))
            .recommendation(s.tried())
            .experiment(result)
            .untunedTest(s.evaluations(Task.Split.TEST, 0.2));
    for (Outcome o : result.outcomes()) {
      report.test(o.strategy(), s.evaluations(Task.Split.TEST, 0.6));
    }
    return report.html();
  }

  private String title(Path page) throws IOException, InterruptedException {
    Path out = directory.resolve("dom.html");
    Process process =
        new ProcessBuilder(
                browser().toString(),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--user-data-dir=" + directory.resolve("profile"),
                "--window-size=1400,8200",
                "--virtual-time-budget=20000",
                "--dump-dom",
                page.toUri().toString())
            .redirectOutput(out.toFile())
            .redirectError(directory.resolve("browser.log").toFile())
            .start();
    try {
      assertThat(process.waitFor(120, TimeUnit.SECONDS)).as("the browser ended").isTrue();
    } finally {
      process.destroyForcibly();
    }
    return Jsoup.parse(Files.readString(out)).title();
  }
}
