package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.engine.Engines;
import org.tune4j.core.engine.Precision;
import picocli.CommandLine;

/** The command's report and exit status; the comparison itself is tested where it lives. */
class GoldenTest {
  private static final Path CASES = Path.of("../core/src/test/resources/golden");

  @TempDir Path folder;
  private final StringWriter out = new StringWriter();

  private int run(String... args) {
    return new CommandLine(new Golden()).setOut(new PrintWriter(out)).execute(args);
  }

  @Test
  void agreementIsStatus0() {
    int status = run(CASES.resolve("gpt2").toString());
    assertThat(out.toString())
        .contains("gpt2", "base logits", "gradients", "trained tensors")
        .contains("PASSED: 1 of 1 cases agree");
    assertThat(status).isZero();
  }

  @Test
  void precisionsHaveTheirOwnTolerance() {
    String gpt2 = CASES.resolve("gpt2").toString();
    for (Precision precision : List.of(Precision.BF16, Precision.INT8)) {
      boolean runs = Engines.providers().stream().anyMatch(p -> p.unavailable(precision).isEmpty());
      assertThat(run("--precision", precision.name(), gpt2)).isEqualTo(runs ? 0 : 1);
      assertThat(out.toString()).contains(runs ? "PASSED: 1 of 1" : "no engine can run here");
    }
    assertThat(run("--precision", "F16", gpt2)).isEqualTo(2);
  }

  @Test
  void oneCaseThatIsOffIsStatus1() throws IOException {
    Path broken = folder.resolve("broken");
    Path good = CASES.resolve("qwen2");
    for (String file :
        List.of(
            "case.json",
            "io.safetensors",
            "model/config.json",
            "model/model.safetensors",
            "adapter/adapter_config.json",
            "adapter/adapter_model.safetensors",
            "adapter_trained/adapter_config.json")) {
      Files.createDirectories(broken.resolve(file).getParent());
      Files.copy(good.resolve(file), broken.resolve(file));
    }
    int status = run(broken.toString(), good.toString());
    assertThat(out.toString())
        .contains("adapter_model.safetensors: no such adapter weights")
        .contains("FAILED: 1 of 2 cases agree");
    assertThat(status).isEqualTo(1);
  }

  @Test
  void aMissingCaseIsStatus1() {
    assertThat(run(folder.resolve("nowhere").toString())).isEqualTo(1);
    assertThat(out.toString()).contains("no such case directory");
  }

  @Test
  void anUnknownEngineIsNamed() {
    assertThat(run("--engine", "abacus", CASES.resolve("gpt2").toString())).isEqualTo(1);
    assertThat(out.toString()).contains("no engine is named 'abacus'");
  }
}
