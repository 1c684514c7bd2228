package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;

class MainTest {
  @TempDir private Path directory;

  static Stream<String> commands() {
    return Main.commandLine().getSubcommands().keySet().stream().filter(n -> !n.equals("help"));
  }

  @ParameterizedTest
  @MethodSource("commands")
  void helpDescribesEveryOption(String command) {
    CommandLine line = Main.commandLine().getSubcommands().get(command);
    Cli help = Cli.run(command, "--help");

    assertThat(help.status()).isZero();
    assertThat(help.err()).isEmpty();
    assertThat(line.getCommandSpec().options()).isNotEmpty();
    for (OptionSpec option : line.getCommandSpec().options()) {
      String name = option.longestName().substring(2);
      assertThat(help.out()).contains(option.negatable() ? "--[no-]" + name : option.longestName());
      assertThat(option.description()).as(option.longestName()).isNotEmpty();
    }
  }

  @Test
  void everyCommandIsListed() {
    assertThat(Cli.run("--help").out()).contains(commands().toList());
  }

  @Test
  void usageErrorsEndWithTheMessage() {
    Cli run = Cli.run("train", "--no-such-option", "x");
    assertThat(run.status()).isEqualTo(2);
    assertThat(run.out()).isEmpty();
    List<String> lines = run.err().lines().toList();
    assertThat(lines).hasSizeLessThan(5);
    assertThat(lines.get(0)).contains("tune4j train --help");
    assertThat(lines.get(lines.size() - 1)).startsWith("error:").contains("--no-such-option");
    assertThat(Cli.run("trian").err())
        .contains("train")
        .endsWith("error: Unmatched argument at index 0: 'trian'" + System.lineSeparator());
  }

  @Test
  void wrongArgumentsFailWithStatus2() {
    assertThat(Cli.run("nothing-of-that-name").status()).isEqualTo(2);
    Cli unknown = Cli.run("train", "--no-such-option");
    assertThat(unknown.status()).isEqualTo(2);
    assertThat(unknown.err()).contains("--no-such-option").contains("Usage: tune4j train");
    Cli number = Cli.run("train", "--rank", "eight");
    assertThat(number.status()).isEqualTo(2);
    assertThat(number.err()).contains("--rank").contains("eight");
  }

  @Test
  void optionsThatNeedAnotherSaySo() {
    for (List<String> args :
        List.of(
            List.of("train", "--replay", "0.1"),
            List.of("train", "--strategy", "sequential", "--mixing", "uniform"),
            List.of("train", "--strategy", "independent", "--gradient-surgery"),
            List.of("train", "--strategy", "sequential", "--uncertainty-weighting"),
            List.of("train", "--ewc", "100"),
            List.of("train", "--orthogonal", "0.5"),
            List.of("train", "--strategy", "sequential", "--ewc", "9", "--orthogonal", "1"),
            List.of("train", "--strategy", "sequential", "--ewc", "9", "--carry", "STACK"),
            List.of("train", "--strategy", "sequential", "--orthogonal", "1", "--carry", "MERGE"),
            List.of("train", "--strategy", "grouped"),
            List.of("train", "--group", "a,b"),
            List.of("train", "--merge-method", "ties"),
            List.of("train", "--strategy", "merged", "--merge-rank", "4"),
            List.of("train", "--strategy", "sequential", "--then-specialise"),
            List.of("train", "--resume"),
            List.of("train", "--overwrite"),
            List.of("quickstart", "--resume"),
            List.of("generate", "--system", "x", "y"),
            List.of("generate", "--template-arg", "a=1", "y"))) {
      Cli run = Cli.run(args.toArray(new String[0]));
      assertThat(run.status()).as("%s", args).isEqualTo(2);
      assertThat(run.err()).as("%s", args).contains("need");
    }
    Cli both = Cli.run("train", "--resume", "--overwrite", "--output", "x");
    assertThat(both.status()).isEqualTo(2);
    assertThat(both.err()).contains("give one of them");
  }

  @Test
  void columnsOfNoFormatAreAUsageError() {
    Cli run = Cli.run("train", "--column", "promt=question");
    assertThat(run.status()).isEqualTo(2);
    assertThat(run.err()).contains("--column: no format has a field 'promt'");
  }

  @Test
  void templateArgumentsAreJsonOrText() {
    Cli broken = Cli.run("generate", "--chat", "--template-arg", "a={", "y");
    assertThat(broken.status()).isEqualTo(2);
    assertThat(broken.err()).contains("--template-arg a: no valid JSON");
    Cli taken = Cli.run("generate", "--chat", "--template-arg", "messages=1", "y");
    assertThat(taken.status()).isEqualTo(2);
    assertThat(taken.err()).contains("'messages' cannot be a variable");
  }

  @Test
  void missingFilesAreNamed() {
    Path nowhere = directory.resolve("nowhere");
    for (List<String> args :
        List.of(
            List.of("train", "--task", nowhere.toString()),
            List.of("train", "--model", nowhere.toString()),
            List.of("generate", "--model", nowhere.toString(), "x"),
            List.of("generate", "--adapter", nowhere.toString(), "x"),
            List.of("generate", "--chat", "--tools", nowhere.toString(), "x"),
            List.of("golden", nowhere.toString()))) {
      Cli run = Cli.run(args.toArray(new String[0]));
      assertThat(run.status()).as("%s", args).isEqualTo(1);
      assertThat(run.out() + run.err()).as("%s", args).contains(nowhere.toString());
    }
  }

  @Test
  void valuesOutOfRangeAreExplained() {
    Cli run = Cli.run("generate", "--temperature", "-1", "x");
    assertThat(run.status()).isEqualTo(1);
    assertThat(run.err()).contains("temperature -1.0: 0 or more").doesNotContain("Exception");
  }

  @Test
  void malformedTaskFileIsNamedWithItsLine() throws IOException {
    Path file = directory.resolve("broken.jsonl");
    Files.writeString(file, "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"a\"\n");
    Cli run = Cli.run("train", "--task", file.toString());
    assertThat(run.status()).isEqualTo(1);
    assertThat(run.err()).contains(file.toString()).contains("2");
  }
}
