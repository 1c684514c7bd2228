package org.tune4j.core.engine;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.text.Tokenizer;

/**
 * Native libraries that can be extracted nowhere: the true cause, and how another place is named.
 */
class UnwritableHomeTest {
  @TempDir Path temporary;

  /** A process without a folder that it can write to. */
  static final class Child {
    private Child() {}

    public static void main(String[] args) {
      for (int i = 0; i < 2; i++) { // what failed once says why the next time, too
        try {
          Engines.create(Precision.F32).close();
        } catch (IllegalStateException e) {
          System.out.println("engine: " + e.getMessage());
        }
        try {
          Tokenizer.load(Path.of(args[0])).close();
        } catch (IOException e) {
          System.out.println("tokenizer: " + e.getMessage());
        }
      }
    }
  }

  @Test
  void theCauseIsNamed() throws Exception {
    Path file = Files.writeString(temporary.resolve("file"), "no folder");
    String nowhere = file.resolve("home").toString(); // for whoever runs this, root included
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Duser.home=" + nowhere,
                "-Djava.io.tmpdir=" + nowhere,
                "-cp",
                System.getProperty("java.class.path"),
                Child.class.getName(),
                Path.of("src/test/resources/tiny").toAbsolutePath().toString())
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    try {
      String output = new String(process.getInputStream().readAllBytes(), UTF_8);
      assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
      assertThat(output.lines().filter(l -> l.startsWith("engine: ")))
          .hasSize(2)
          .allMatch(l -> l.contains("org.bytedeco.javacpp.cachedir"), output)
          .noneMatch(l -> l.contains("NoClassDefFoundError") || l.contains("Initializer"), output);
      assertThat(output.lines().filter(l -> l.startsWith("tokenizer: ")))
          .hasSize(2)
          .allMatch(l -> l.contains("DJL_CACHE_DIR") && l.contains(nowhere), output);
    } finally {
      process.destroyForcibly();
    }
  }
}
