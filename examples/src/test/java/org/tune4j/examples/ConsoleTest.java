package org.tune4j.examples;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a process of its own writes where nobody watches. */
class ConsoleTest {
  @TempDir private Path directory;

  private String run(List<String> properties, String... arguments)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("-Xmx1g");
    command.add("-Dorg.bytedeco.javacpp.maxphysicalbytes=0");
    command.addAll(properties);
    command.add("-cp");
    command.add(
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")));
    command.add(Main.class.getName());
    command.addAll(List.of(arguments));
    Path output = directory.resolve("output");
    ProcessBuilder process = new ProcessBuilder(command).redirectErrorStream(true);
    process.environment().put("TERM", "xterm-256color");
    process.environment().remove("CI");
    int status = process.redirectOutput(Redirect.to(output.toFile())).start().waitFor();
    String text = Files.readString(output, UTF_8);
    assertThat(status).as(text).isZero();
    return text;
  }

  @Test
  void trainingIntoAFileWritesPlainLines() throws IOException, InterruptedException {
    String text =
        run(
            List.of(),
            "train",
            "--task",
            "part-of-speech",
            "--task",
            "hypernym",
            "--train",
            "16",
            "--validation",
            "4",
            "--output",
            directory.resolve("run").toString());
    assertThat(text)
        .doesNotContain("\r", "\u001b", "SLF4J", "nd4j")
        .contains("all-tasks: step 2 of 2, ", "part-of-speech ", "hypernym ");
  }

  @Test
  void theNumericalLibraryStartsQuietlyInEveryLog() throws IOException, InterruptedException {
    assertThat(
            run(
                List.of("-Dorg.slf4j.simpleLogger.defaultLogLevel=info"),
                "generate",
                "--max-tokens",
                "1",
                "a tree"))
        .contains("INFO org.tune4j.core.model.LanguageModel - loaded")
        .doesNotContain("org.nd4j");
  }
}
