package org.tune4j.core.train;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import org.junit.jupiter.api.Test;

class EncodingProgressTest {
  @Test
  void encodingIsShownOnceItTakesLong() throws InterruptedException {
    ByteArrayOutputStream console = new ByteArrayOutputStream();
    ConsoleProgress progress = ConsoleProgress.lines(new PrintStream(console, true, UTF_8));
    progress.onEncoding("quick", 512, 600);
    progress.onEncoding("quick", 600, 600);
    progress.onEncoding("slow", 512, 300_000);
    Thread.sleep(2_050);
    progress.onEncoding("slow", 1024, 300_000);
    progress.onEncoding("slow", 1536, 300_000);
    progress.onEncoding("slow", 300_000, 300_000);
    assertThat(console.toString(UTF_8).lines())
        .containsExactly(
            "encoding slow: 1,024 of 300,000 examples",
            "encoding slow: 300,000 of 300,000 examples");
  }
}
