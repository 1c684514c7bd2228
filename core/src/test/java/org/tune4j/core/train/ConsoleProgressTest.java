package org.tune4j.core.train;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import org.junit.jupiter.api.Test;
import org.tune4j.core.progress.Progress;

class ConsoleProgressTest {
  @Test
  void workIsShownOnceItTakesLong() throws InterruptedException {
    ByteArrayOutputStream console = new ByteArrayOutputStream();
    ConsoleProgress progress = ConsoleProgress.lines(new PrintStream(console, true, UTF_8));
    progress.onProgress(examples("encoding quick", 512, 600));
    progress.onProgress(examples("encoding quick", 600, 600));
    progress.onProgress(examples("encoding slow", 512, 300_000));
    Thread.sleep(2_050);
    progress.onProgress(examples("encoding slow", 1024, 300_000));
    progress.onProgress(examples("encoding slow", 1536, 300_000));
    progress.onProgress(examples("encoding slow", 300_000, 300_000));
    assertThat(console.toString(UTF_8).lines())
        .containsExactly(
            "encoding slow: 1,024 of 300,000 examples",
            "encoding slow: 300,000 of 300,000 examples");
  }

  @Test
  void activitiesOfOneWholeAreOneWork() throws InterruptedException {
    ByteArrayOutputStream console = new ByteArrayOutputStream();
    ConsoleProgress progress = ConsoleProgress.lines(new PrintStream(console, true, UTF_8));
    progress.onProgress(new Progress("profile of a", 0, 100, Progress.Unit.PERCENT));
    Thread.sleep(2_050);
    progress.onProgress(new Progress("gradients of a", 12, 100, Progress.Unit.PERCENT));
    progress.onProgress(examples("evaluating a", 64, 640)); // another work, not long yet
    progress.onProgress(examples("evaluating a", 640, 640));
    assertThat(console.toString(UTF_8).lines()).containsExactly("12 %: gradients of a");
  }

  private static Progress examples(String work, int done, int total) {
    return new Progress(work, done, total, Progress.Unit.EXAMPLES);
  }
}
