package org.tune4j.core.text;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** Every recorded rendering of transformers comes out equal. */
class TemplateCheckTest {
  @Test
  void rendersAsTransformers() throws IOException {
    TemplateCheck.Report report =
        TemplateCheck.run(Path.of("src/test/resources/chat-templates/cases.jsonl.gz"));
    assertThat(report.differences()).isEmpty();
    assertThat(report.cases()).isEqualTo(1022);
  }
}
