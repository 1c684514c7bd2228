package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the commands do, one building on the other's files, with few examples. */
class CommandsTest {
  @TempDir private Path directory;

  @Test
  void trainedAdapterIsScoredAndContinuesPrompts() throws IOException {
    Path task = directory.resolve("colours.csv");
    StringBuilder rows = new StringBuilder("text,label\n");
    for (int i = 0; i < 40; i++) {
      rows.append(i % 2 == 0 ? "the sky is, blue\n" : "the grass is, green\n");
    }
    Files.writeString(task, rows);
    String run = directory.resolve("run").toString();

    Cli train =
        Cli.run(
            "train", "--task", task.toString(), "--epochs", "6", "--output", run, "--batch", "8");
    assertThat(train.err()).isEmpty();
    assertThat(train.status()).isZero();
    assertThat(train.out())
        .contains("colours (classification, 2 labels; 32 train, 4 validation, 4 test)")
        .contains("192 of colours -> multi-task");
    Path adapter = Path.of(run, "adapters", "multi-task");
    assertThat(adapter.resolve("adapter_model.safetensors")).exists();

    Path json = directory.resolve("scores.json");
    Cli evaluate =
        Cli.run(
            "evaluate",
            "--task",
            task.toString(),
            "--adapter",
            adapter.toString(),
            "--split",
            "test",
            "--json",
            json.toString());
    assertThat(evaluate.status()).isZero();
    JsonNode scores = new ObjectMapper().readTree(json.toFile()).get(0);
    // two prompts, learned by heart
    assertThat(scores.get("metrics").get("accuracy").asDouble()).isEqualTo(1);
    assertThat(scores.get("predictions")).hasSize(4);
    assertThat(evaluate.out()).contains("accuracy 1.000");

    String prompt = scores.get("predictions").get(0).get("prompt").asText();
    String expected = scores.get("predictions").get(0).get("expected").asText();
    Cli generate = Cli.run("generate", "--adapter", adapter.toString(), prompt);
    assertThat(generate.status()).isZero();
    assertThat(generate.out().strip()).isEqualTo(expected.strip());
    assertThat(generate.err()).contains("ended by end token");
  }

  @Test
  void drawsAreThoseOfTheSeed() {
    String[] args = {
      "generate", "--temperature", "1", "--max-tokens", "12", "--seed", "4", "a tree"
    };
    String first = Cli.run(args).out();
    assertThat(first).isNotBlank();
    assertThat(Cli.run(args).out()).isEqualTo(first);
    args[6] = "5";
    assertThat(Cli.run(args).out()).isNotEqualTo(first);
  }

  @Test
  void groupsShareAnAdapter() throws IOException {
    List<String> args = new ArrayList<>(List.of("train", "--plan", "--strategy", "grouped"));
    args.addAll(List.of("--group", "c, a"));
    for (String name : List.of("a", "b", "c")) {
      Path task = directory.resolve(name + ".csv");
      Files.writeString(task, "text,label\n" + "x,y\nz,w\n".repeat(8));
      args.addAll(List.of("--task", task.toString()));
    }
    Cli plan = Cli.run(args.toArray(new String[0]));
    assertThat(plan.status()).as(plan.err()).isZero();
    assertThat(plan.out()).contains(" of c -> c+a", " of a -> c+a", " of b -> b");
  }

  @Test
  void conflictsAndWeightsArePrinted() {
    List<String> args = new ArrayList<>(List.of("train", "--gradient-surgery"));
    args.addAll(List.of("--uncertainty-weighting", "--train", "24", "--batch", "8"));
    args.addAll(List.of("--task", "part-of-speech", "--task", "noun-category"));
    args.addAll(List.of("--output", directory.resolve("surgery").toString()));
    Cli train = Cli.run(args.toArray(new String[0]));
    assertThat(train.status()).as(train.err()).isZero();
    assertThat(train.out())
        .contains("multi-task-uncertainty-surgery", "gradients through gradient surgery (PCGrad")
        .containsPattern("gradients of part-of-speech and noun-category: in conflict in \\d+ % of")
        .containsPattern("weight of part-of-speech: \\d\\.\\d{3}");
  }

  @Test
  void mergingAndSpecialisingArePlanned() {
    String[] tasks = {"--task", "part-of-speech", "--task", "hypernym", "--train", "8"};
    assertThat(planned("--strategy merged --merge-method dare-ties --density 0.3", tasks))
        .contains("then merged = dare_ties_svd of density 0.3, seed 0 of {")
        .contains("part-of-speech=1.0");
    assertThat(planned("--strategy merged", tasks)).contains("merged = cat of {part-of-speech=0.5");
    assertThat(planned("--then-specialise --specialist-size 0.5", tasks))
        .contains("4 of hypernym -> own-hypernym")
        .contains("on top of frozen multi-task")
        .contains("own-hypernym of size 0.5")
        .contains("kept if they gain: own-part-of-speech, own-hypernym");
  }

  private static String planned(String options, String... tasks) {
    List<String> args = new ArrayList<>(List.of("train", "--plan"));
    args.addAll(List.of(options.split(" ")));
    args.addAll(List.of(tasks));
    Cli plan = Cli.run(args.toArray(new String[0]));
    assertThat(plan.status()).as(plan.err()).isZero();
    return plan.out();
  }

  @Test
  void planIsPrintedAndNothingTrained() {
    Path output = directory.resolve("none");
    Cli plan =
        Cli.run(
            "train",
            "--plan",
            "--strategy",
            "sequential",
            "--order",
            "hypernym,part-of-speech",
            "--task",
            "part-of-speech",
            "--task",
            "hypernym",
            "--train",
            "8",
            "--replay",
            "0.5",
            "--output",
            output.toString());
    assertThat(plan.status()).isZero();
    assertThat(plan.out()).contains("1. hypernym: 8 of hypernym", "2. part-of-speech");
    assertThat(output).doesNotExist();
  }

  @Test
  void recommendationIsPrintedAndWritten() throws IOException {
    Path json = directory.resolve("advice.json");
    Cli recommend =
        Cli.run(
            "recommend",
            "--task",
            "part-of-speech",
            "--task",
            "noun-category",
            "--train",
            "16",
            "--validation",
            "4",
            "--json",
            json.toString());
    assertThat(recommend.status()).as(recommend.err()).isZero();
    JsonNode advice = new ObjectMapper().readTree(json.toFile());
    assertThat(recommend.out())
        .contains(advice.get("recommended").get("strategy").asText())
        .contains("Alternatives");
    assertThat(advice.get("pilot")).isNull();
    assertThat(advice.get("tasks")).hasSize(2);
  }

  @Test
  void aRunIsReplacedOnlyIfAskedFor() throws IOException {
    String run = directory.resolve("run").toString();
    String[] args = {
      "train",
      "--task",
      "part-of-speech",
      "--train",
      "8",
      "--strategy",
      "sequential",
      "--output",
      run
    };
    assertThat(Cli.run(args).status()).isZero();
    Path adapter = Path.of(run, "adapters/sequential/adapter_model.safetensors");
    byte[] before = Files.readAllBytes(adapter);

    Cli again = Cli.run(args);
    assertThat(again.status()).isNotZero();
    assertThat(again.err()).contains(run).contains("--resume").contains("--overwrite");
    assertThat(Files.readAllBytes(adapter)).isEqualTo(before);

    String[] resume = Arrays.copyOf(args, args.length + 1);
    resume[args.length] = "--resume";
    assertThat(Cli.run(resume).status()).isZero();
    String[] overwrite = Arrays.copyOf(args, args.length + 3);
    System.arraycopy(new String[] {"--overwrite", "--seed", "3"}, 0, overwrite, args.length, 3);
    assertThat(Cli.run(overwrite).status()).isZero();
    assertThat(Files.readAllBytes(adapter)).isNotEqualTo(before);
  }

  @Test
  void servingBesideTrainingIsMeasured() throws IOException {
    Cli bench = Cli.run("bench", "--workload", "bundled", "--examples", "40", "--serving", "0,0.6");
    assertThat(bench.status()).as(bench.err()).isZero();
    JsonNode result = new ObjectMapper().readTree(bench.out());
    assertThat(result.get("seconds_of_40_tokens_alone").asDouble()).isPositive();
    assertThat(result.get("beside")).hasSize(2);
    assertThat(result.get("beside").get(1).get("share").asDouble()).isEqualTo(0.6);
    assertThat(result.get("beside").get(1).get("seconds_of_40_tokens").asDouble()).isPositive();
  }
}
