package org.tune4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class AffinityTest {
  @Test
  void predictionsAreHeldAgainstTrainings() {
    Cli run =
        Cli.run(
            "affinity",
            "--task",
            "part-of-speech",
            "--task",
            "noun-category",
            "--train",
            "32",
            "--validation",
            "8",
            "--examples",
            "6",
            "--held",
            "4",
            "--verify",
            "2");
    assertThat(run.status()).as(run.err()).isZero();
    assertThat(run.out())
        .contains("Groups: [", "part-of-speech in [part-of-speech, noun-category]: loss predicted")
        .containsPattern("4 losses: mean relative error \\d\\.\\d{3}, correlation")
        .contains("2 gains: correlation");
  }

  @Test
  void whatCannotBeIsNamed() {
    Cli run = Cli.run("affinity", "--task", "part-of-speech", "--train", "8", "--share", "2");
    assertThat(run.status()).isEqualTo(1);
    assertThat(run.err()).contains("the warm-up is 2.0 of the training");
  }
}
