package org.tune4j.eval.affinity;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.common.collect.ImmutableList;
import com.google.common.collect.ImmutableSet;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tune4j.core.data.Example;
import org.tune4j.core.data.Task;
import org.tune4j.core.model.LanguageModel;
import org.tune4j.core.progress.Progress;
import org.tune4j.core.train.Hyperparameters;
import org.tune4j.core.train.TrainingException;
import org.tune4j.eval.advice.WordModel;
import org.tune4j.lora.LoraConfig;
import org.tune4j.strategies.Grouped;

class LinearisedFineTuningTest {
  private static final Hyperparameters H =
      Hyperparameters.builder().learningRate(5e-3).epochs(8).examplesPerStep(8).build();

  @TempDir static Path directory;
  private static LanguageModel model;

  @BeforeAll
  static void load() throws IOException {
    model = WordModel.create(directory);
  }

  @AfterAll
  static void close() {
    model.close();
  }

  private static LinearisedFineTuning of(Task... tasks) {
    return LinearisedFineTuning.of(model)
        .tasks(tasks)
        .lora(LoraConfig.rank(4))
        .hyperparameters(H)
        .trainExamples(48)
        .validationExamples(32);
  }

  @Test
  void aCopyIsPredictedToHelpMoreThanContradictingLabels() throws IOException {
    PredictedLosses p =
        of(
                WordModel.colours("a", 0, 80, 1),
                WordModel.colours("copy", 0, 80, 2),
                WordModel.colours("against", 1, 80, 3))
            .hyperparameters(H.toBuilder().epochs(40).build())
            .warmUp(0.3)
            .measure();
    assertThat(p.of("a", ImmutableSet.of("a", "copy"))).as("%s", p).isPositive();
    assertThat(p.of("copy", ImmutableSet.of("a", "copy"))).as("%s", p).isPositive();
    assertThat(p.of("a", ImmutableSet.of("a", "against"))).as("%s", p).isNegative();
    assertThat(p.of("against", ImmutableSet.of("a", "against"))).as("%s", p).isNegative();
    assertThat(Grouped.byScore(p.tasks(), p, 3).groups())
        .as("%s", p)
        .containsExactlyInAnyOrder(ImmutableList.of("a", "copy"), ImmutableList.of("against"));
  }

  @Test
  void aSeedDeterminesEverything() throws IOException {
    Task a = WordModel.colours("a", 0, 40, 1);
    Task b = WordModel.sizes("b", 40, 3);
    String first = exact(of(a, b).seed(5).measure());
    assertThat(exact(of(a, b).seed(5).measure())).isEqualTo(first);
    assertThat(exact(of(a, b).seed(6).measure())).isNotEqualTo(first);
  }

  private static String exact(PredictedLosses p) {
    return p.affinity() + " " + p.commonLoss("a");
  }

  @Test
  void taskOfTwoExamplesIsMeasuredOnOneOfThem() throws IOException {
    Task two =
        Task.builder("two")
            .train(List.of(Example.of("thing1 colour is ", "green"), Example.of("thing2 ", "red")))
            .build();
    PredictedLosses p = of(two, WordModel.sizes("b", 30, 1)).measure();
    assertThat(p.trainExamples()).containsEntry("two", 1).containsEntry("b", 30);
    assertThat(p.validationExamples()).containsEntry("two", 1).containsEntry("b", 32);
    assertThat(p.loss("two", ImmutableSet.of("two", "b"))).isFinite();
    assertThat(p.gain("two", ImmutableSet.of("two", "b")).kept()).isFalse();
  }

  @Test
  void refusesWhatCannotBeMeasured() {
    Task one = Task.builder("one").train(List.of(Example.of("thing1 colour is ", "green"))).build();
    Task b = WordModel.sizes("b", 10, 1);
    assertThatThrownBy(() -> of(one, b).measure())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'one'")
        .hasMessageContaining("at least 2");
    assertThatThrownBy(() -> of(b, b).measure())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("two tasks are named 'b'");
    assertThatThrownBy(() -> of(b).warmUp(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("warm-up is 0.0");
    assertThatThrownBy(() -> of(b).trainExamples(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("0");
    assertThatThrownBy(() -> of(b).validationExamples(-1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("-1");
  }

  @Test
  void tellsHowFarItIsAndStopsWhenAsked() throws IOException {
    List<Progress> told = new ArrayList<>();
    of(WordModel.sizes("b", 20, 1), WordModel.colours("a", 0, 20, 1)).progress(told::add).measure();
    assertThat(told.get(told.size() - 1).done()).isEqualTo(100);
    assertThat(told).extracting(Progress::done).isSorted();
    assertThat(told).extracting(Progress::work).contains("common adapter", "gradients of a");
    for (int after : new int[] {0, told.size() / 3, told.size() - 5}) {
      List<Progress> seen = new ArrayList<>();
      assertThatThrownBy(
              () ->
                  of(WordModel.sizes("b", 20, 1), WordModel.colours("a", 0, 20, 1))
                      .progress(seen::add)
                      .cancelled(() -> seen.size() >= after)
                      .measure())
          .isInstanceOf(CancellationException.class);
    }
  }

  @Test
  void lossesThatAreNoNumbersAreNamed(@TempDir Path poisoned) throws IOException {
    try (LanguageModel broken = WordModel.poisoned(poisoned, "thing1")) {
      assertThatThrownBy(
              () ->
                  LinearisedFineTuning.of(broken)
                      .tasks(WordModel.colours("a", 0, 40, 1), WordModel.sizes("b", 40, 1))
                      .lora(LoraConfig.rank(2))
                      .measure())
          .isInstanceOf(TrainingException.class)
          .hasMessageContaining("loss of task '");
    }
  }
}
