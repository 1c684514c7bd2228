package org.tune4j.core.io;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import org.junit.jupiter.api.Test;

class TerminalsTest {
  @Test
  void dumbTerminalsAndContinuousIntegrationGetPlainLines() {
    assertThat(Terminals.capable(Map.of("TERM", "xterm-256color"), false)).isTrue();
    assertThat(Terminals.capable(Map.of("TERM", "dumb"), false)).isFalse();
    assertThat(Terminals.capable(Map.of(), false)).isFalse();
    assertThat(Terminals.capable(Map.of(), true)).isTrue();
    assertThat(Terminals.capable(Map.of("TERM", "xterm", "CI", "true"), false)).isFalse();
    assertThat(Terminals.capable(Map.of("TERM", "xterm", "CI", "false"), false)).isTrue();
  }
}
