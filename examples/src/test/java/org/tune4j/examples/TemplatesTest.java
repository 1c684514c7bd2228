package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The command's report and exit status. */
class TemplatesTest {
  private static final Path CASES =
      Path.of("../core/src/test/resources/chat-templates/cases.jsonl.gz");

  @TempDir Path folder;

  @Test
  void allRecordedCasesAreEqual() {
    Cli run = Cli.run("templates", CASES.toString());
    assertThat(run.out()).contains("PASSED: 1022 of 1022 cases equal");
    assertThat(run.status()).isZero();
  }

  @Test
  void aDifferenceIsShownAndStatus1() throws IOException {
    Path file = folder.resolve("cases.jsonl");
    Files.writeString(
        file,
        """
        {"name": "good", "template": "{{ 1 }}", "messages": [], "expected": "1"}
        {"name": "text", "template": "{{ 1 }}\\n", "messages": [], "expected": "2\\n"}
        {"name": "error", "template": "{{ x.y }}", "messages": [], "error_kind": "type"}
        {"name": "message", "template": "{{ raise_exception('a') }}", "messages": [], "error_kind": "raise", "error": "b"}
        {"name": "spans", "template": "a{% generation %}b{% endgeneration %}", "messages": [], "expected": "ab", "assistant_spans": [[0, 2]]}
        """);
    Cli run = Cli.run("templates", file.toString());
    assertThat(run.out())
        .contains("text", "expected \"2\\n\"", "found    \"1\"")
        .contains("an error of kind type", "an error of kind undefined")
        .contains("\"raise: b\"", "\"raise: a\"")
        .contains("[[0,2]] ab", "[[1,2]] ab")
        .doesNotContain("good")
        .contains("FAILED: 1 of 5 cases equal");
    assertThat(run.status()).isEqualTo(1);
  }

  @Test
  void whatIsNoCaseIsNamedWithItsLine() throws IOException {
    Path file = folder.resolve("cases.jsonl");
    Files.writeString(file, "\n{\"name\": \"x\"}\n");
    Cli run = Cli.run("templates", file.toString());
    assertThat(run.err()).contains(file.toString(), "line 2", "expected or error_kind");
    assertThat(run.status()).isEqualTo(1);
  }
}
