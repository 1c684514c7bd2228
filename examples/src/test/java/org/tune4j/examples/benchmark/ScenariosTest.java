package org.tune4j.examples.benchmark;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.examples.benchmark.Scenario.Use;

/** What scenarios are made of. */
class ScenariosTest {
  @Test
  void noTaskServesBothUses() {
    Set<String> fit = new HashSet<>(Sources.of(Use.FIT));
    assertThat(fit).doesNotContainAnyElementsOf(Sources.of(Use.REPORT));
  }

  @Test
  void thereAreFortyOfManyKindsAndTheyAreTheSameEveryTime() throws Exception {
    List<Scenario> all = Scenarios.all();
    assertThat(all).hasSizeGreaterThanOrEqualTo(40).isEqualTo(Scenarios.all());
    assertThat(all).extracting(Scenario::id).doesNotHaveDuplicates();
    for (Use use : Use.values()) {
      List<Scenario> of = all.stream().filter(s -> s.use() == use).toList();
      assertThat(of)
          .extracting(Scenario::kind)
          .contains("balanced", "skewed", "noisy", "contradicting", "conventions", "parts");
      assertThat(of).extracting(s -> s.parts().size()).contains(2, 8);
      for (Scenario s : of) {
        assertThat(s.parts()).extracting(Part::source).isSubsetOf(Sources.of(use));
      }
    }
    for (Scenario s : all) {
      for (Task t : s.tasks()) {
        assertThat(t.train()).hasSizeBetween(30, 4000);
        assertThat(t.test()).hasSize(Scenario.TEST);
        assertThat(t.validation()).isNotEmpty();
      }
    }
  }

  @Test
  void noiseChangesAnswersOfTrainingAndNotOfTesting() throws Exception {
    Task whole = Sources.task("noun-category");
    Task noisy = Part.of("noun-category", 1000).noise(0.4).task(whole, 100, 300);
    int changed = 0;
    for (int i = 0; i < 1000; i++) {
      assertThat(noisy.train().get(i).prompt()).isEqualTo(whole.train().get(i).prompt());
      changed +=
          noisy.train().get(i).completion().equals(whole.train().get(i).completion()) ? 0 : 1;
    }
    // an answer is drawn from all: some are the right one
    assertThat(changed).isBetween(250, 400);
    assertThat(noisy.test().stream().map(Example::completion))
        .containsExactlyElementsOf(
            whole.test().subList(0, 300).stream().map(Example::completion).toList());
  }

  @Test
  void aConventionContradictsTheSourceWhereItIsRelabelled() throws Exception {
    Task whole = Sources.task("noun-category");
    Task other =
        Part.of("noun-category", 200)
            .named("other")
            .relabelled(1)
            .cue(" (other)")
            .task(whole, 100, 300);
    assertThat(other.labels()).isEqualTo(whole.labels());
    for (int i = 0; i < 200; i++) {
      assertThat(other.train().get(i).completion())
          .isNotEqualTo(whole.train().get(i).completion())
          .isIn(whole.labels());
      assertThat(other.train().get(i).prompt()).endsWith(" (other):");
    }
    assertThat(other.test().get(0).completion()).isNotEqualTo(whole.test().get(0).completion());
  }

  @Test
  void moreExamplesThanThereAreAreRefused() throws Exception {
    Task whole = Sources.task("noun-category");
    assertThatThrownBy(() -> Part.of("noun-category", 100_000).task(whole, 1, 1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("noun-category")
        .hasMessageContaining("100000");
  }
}
