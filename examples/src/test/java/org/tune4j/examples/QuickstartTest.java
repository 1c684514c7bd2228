package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.eval.Evaluation;
import org.tune4j.eval.Evaluator;
import org.tune4j.examples.common.Bundled;
import org.tune4j.lora.PeftFormat;

class QuickstartTest {
  private static final int TEST_EXAMPLES = 6;

  @TempDir private Path output;

  /** From the bundled files to the report, with few examples. */
  @Test
  void trainsComparesAndReports() throws IOException {
    Cli run =
        Cli.run(
            "quickstart",
            "--train",
            "16",
            "--validation",
            "4",
            "--test",
            String.valueOf(TEST_EXAMPLES),
            "--output",
            output.toString());
    assertThat(run.status()).as(run.err()).isZero();

    String table = run.out().substring(run.out().indexOf("Test scores"));
    double[] untuned = row(table, "(untuned)");
    try (LanguageModel model = LanguageModel.load(Bundled.baseModel())) {
      Evaluator evaluator = Evaluator.of(model).limit(TEST_EXAMPLES);
      for (int i = 0; i < Bundled.TASKS.size(); i++) {
        Evaluation e =
            evaluator.evaluate(Bundled.task(Bundled.TASKS.get(i)), Task.Split.TEST, List.of());
        assertThat(untuned[i]).as(e.task()).isCloseTo(e.score(), within(0.0005));
      }
    }
    for (String strategy : List.of("multi-task", "sequential", "independent")) {
      double[] row = row(table, strategy);
      assertThat(row).hasSize(Bundled.TASKS.size() + 4);
      double average = Arrays.stream(row, 0, Bundled.TASKS.size()).average().orElseThrow();
      assertThat(row[Bundled.TASKS.size()]).isCloseTo(average, within(0.001));
      assertThat(row[row.length - 1]).as("tokens/s").isPositive();
    }
    assertThat(PeftFormat.readConfig(output.resolve("multi-task/adapters/multi-task")).rank())
        .isEqualTo(8);
    for (String task : Bundled.TASKS) {
      assertThat(output.resolve("independent/adapters/" + task + "/adapter_model.safetensors"))
          .exists();
    }
    assertThat(output.resolve("recommendation.json")).exists();
    assertThat(Files.readString(output.resolve("report.html")))
        .contains("Recommended before training")
        .contains("Predictions before and after");
    assertThat(run.out()).contains("Recommended:").contains("Best on validation:");
  }

  @Test
  void countsMustBePositive() {
    Cli run = Cli.run("quickstart", "--train", "0");
    assertThat(run.status()).isEqualTo(2);
    assertThat(run.err()).contains("--train");
  }

  /** The numbers of a table's row. */
  private static double[] row(String table, String name) {
    String line = table.lines().filter(l -> l.startsWith(name)).findFirst().orElseThrow();
    return Arrays.stream(line.substring(name.length()).trim().split("\\s+"))
        .mapToDouble(v -> Double.parseDouble(v.replace(",", "")))
        .toArray();
  }
}
