package org.tune4j.eval.advice;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;

/** Conventions are told from words, without a model. */
class LabelTransferTest {
  private static final List<String> LABELS = List.of(" red", " green", " blue");

  /** Prompts of words of which each belongs to one of three labels. */
  private static Task task(String name, int shift, String cue, int examples, long seed) {
    Random random = new Random(seed);
    List<Example> all = new ArrayList<>();
    for (int i = 0; i < examples; i++) {
      int label = random.nextInt(3);
      StringBuilder prompt = new StringBuilder(cue);
      for (int w = 0; w < 4; w++) {
        prompt.append(" word").append(label + 3 * random.nextInt(10));
      }
      all.add(Example.of(prompt + " colour:", LABELS.get((label + shift) % 3)));
    }
    return Task.builder(name).labels(Set.copyOf(LABELS)).train(all).build();
  }

  @Test
  void partsOfOneTaskAreKin() {
    LabelTransfer t = LabelTransfer.of(List.of(task("a", 0, "", 200, 1), task("b", 0, "", 200, 2)));
    assertThat(t.kinship()).isEqualTo(1);
    assertThat(t.disagreement()).isZero();
  }

  @Test
  void otherConventionsDisagreeAlthoughNoPromptIsInBoth() {
    List<Task> tasks = List.of(task("a", 0, "", 200, 1), task("b", 1, "", 200, 2));
    assertThat(AnswerConflicts.of(tasks).lost()).as("prompts differ").isLessThan(0.05);
    LabelTransfer t = LabelTransfer.of(tasks);
    assertThat(t.disagreement()).isGreaterThan(0.6);
    assertThat(t.kinship()).isZero();
  }

  @Test
  void conventionsThatPromptsTellApartDoNotDisagree() {
    LabelTransfer t =
        LabelTransfer.of(List.of(task("a", 0, "one", 200, 1), task("b", 1, "other", 200, 2)));
    assertThat(t.disagreement()).isLessThan(0.05);
  }

  @Test
  void aThirdOfTheTasksCountsAThird() {
    Task open =
        Task.builder("open")
            .train(List.of(Example.of("a", "b c"), Example.of("d", "e f")))
            .type(Task.Type.GENERATION)
            .build();
    double pair =
        LabelTransfer.of(List.of(task("a", 0, "", 200, 1), task("b", 1, "", 200, 2)))
            .disagreement();
    LabelTransfer t =
        LabelTransfer.of(List.of(task("a", 0, "", 200, 1), task("b", 1, "", 200, 2), open));
    assertThat(t.disagreement()).isCloseTo(pair * 2 / 3, within(1e-9));
    assertThat(LabelTransfer.of(List.of(open)).kinship()).isZero();
  }

  @Test
  void wordsThatTellNothingTellNothing() {
    List<Task> tasks = new ArrayList<>();
    for (int k = 0; k < 2; k++) {
      Random random = new Random(k);
      List<Example> all = new ArrayList<>();
      for (int i = 0; i < 60; i++) {
        all.add(Example.of("thing" + random.nextInt(1000), LABELS.get(random.nextInt(3))));
      }
      tasks.add(Task.builder("t" + k).labels(Set.copyOf(LABELS)).train(all).build());
    }
    assertThat(LabelTransfer.of(tasks).disagreement()).isZero();
  }
}
