package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The bundled model's texts end with {@code <|endoftext|>}, and its chat template's turns with
 * {@code <|im_end|>}: what is learned by heart from conversations is answered, and no more.
 */
class ChatEndTest {
  @TempDir private Path directory;

  @Test
  void answersEndWhereTheTemplateEndsATurn() throws IOException {
    String task = Path.of("src/test/resources/chat-end").toString();
    String run = directory.resolve("run").toString();
    Cli train =
        Cli.run(
            "train",
            "--task",
            task,
            "--epochs",
            "8",
            "--batch",
            "8",
            "--learning-rate",
            "5e-3",
            "--output",
            run);
    assertThat(train.status()).as(train.err()).isZero();
    String adapter = Path.of(run, "adapters", "multi-task").toString();
    Cli evaluate = Cli.run("evaluate", "--task", task, "--adapter", adapter);
    assertThat(evaluate.status()).as(evaluate.err()).isZero();
    assertThat(evaluate.out()).contains("exact-match 1.000");
    Cli generate = Cli.run("generate", "--chat", "--adapter", adapter, "Say the colour of snow.");
    assertThat(generate.out().strip()).isEqualTo("It is white.");
    assertThat(generate.err()).contains("ended by end token");
  }
}
